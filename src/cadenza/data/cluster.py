"""Token caches computed by the machines of a Ray cluster, which share the cache's folder (extra `cluster`).

In: the plan and parts that a pool of processes gets too. Out: the same bytes. Ray Data hands whole parts to actors that
have loaded the models once; only checksums travel back.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from cadenza.data.manifest import Entry
from cadenza.data.shards import Part
from cadenza.data.workers import Made, OnDone, PartMaker, Plan
from cadenza.errors import CadenzaError, UserError

LOCAL = "local"
"""The address of a cluster that is begun here and ends with the call."""


def make_on_cluster(plan: Plan, parts: Sequence[Part], workers: int, address: str, on_done: OnDone) -> Iterator[Made]:
    """Parts as they become ready, by `workers` actors of one core (and one GPU, if the plan names one).

    Raises UserError without Ray, and for an address where no cluster answers.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError("a cluster needs Ray: pip install cadenza[cluster]") from error
    own = not ray.is_initialized()
    if own:
        try:
            where = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
            ray.init(address, log_to_driver=False, logging_level="ERROR", **where)
        except (ConnectionError, ValueError) as error:
            raise UserError(f"no Ray cluster answers at {address}: start one with `ray start`") from error
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        gpus = 1 if torch.device(plan.device).type == "cuda" else 0
        rows = [{"part": _to_text(part)} for part in parts]
        results = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            PartActor,
            fn_constructor_args=(plan.model_dump_json(),),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(parts))),
            num_cpus=1,
            num_gpus=gpus,
        )
        sizes = {part.number: len(part.entries) for part in parts}
        for row in results.iter_rows():
            made = _made(row["answer"])
            on_done(sizes[made.number])
            yield made
    finally:
        if own:
            ray.shutdown()


class PartActor:
    """One worker of the cluster: the models, loaded once."""

    def __init__(self, plan: str) -> None:
        torch.set_num_threads(1)
        self._maker = PartMaker.load(Plan.model_validate_json(plan))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Ray's batches: columns of arrays."""
        return {"answer": [self._answer(_from_text(text)) for text in batch["part"]]}

    def _answer(self, part: Part) -> str:
        """An error as an answer: thrown through Ray it would come back as pages of its own."""
        try:
            return json.dumps(self._maker.make(part)._asdict())
        except CadenzaError as error:
            return json.dumps({"error": str(error), "to_put_right": isinstance(error, UserError)})


def _made(answer: str) -> Made:
    facts = json.loads(answer)
    if "error" in facts:
        raise (UserError if facts["to_put_right"] else CadenzaError)(facts["error"])
    return Made(**facts)


def _to_text(part: Part) -> str:
    return json.dumps([part.number, [entry.model_dump(mode="json") for entry in part.entries]])


def _from_text(text: str) -> Part:
    number, rows = json.loads(text)
    return Part(number, tuple(Entry.model_validate(row) for row in rows))
