"""Processes that train: forked from a server that has imported everything once, and ended as real ones are."""

import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from cadenza.train.config import TrainConfig

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["cadenza.cli.app", "cadenza.train.run", "torch.distributed.fsdp", "torch._dynamo"])
TIMES = ("seconds", "steps_per_second", "items_per_second", "tokens_per_second", "mfu", "data_wait")

Job = tuple[int, list[str]]
"""A command of cadenza, and how many processes run it together."""


def write_recipe(path: Path, config: TrainConfig) -> str:
    lines = ["from cadenza.train.config import TrainConfig", "def config():"]
    path.write_text("\n".join([*lines, f"    return TrainConfig.model_validate_json({config.model_dump_json()!r})"]))
    return str(path)


def start(jobs: Sequence[Job], log: Path, sabotage: Callable[[], None] | None = None) -> list[BaseProcess]:
    """As many processes as the largest job needs; what they say goes to `log`, with the process's number behind it.

    `sabotage` is called in each of them before anything else.
    """
    ports = [_free_port() for _ in jobs]
    count = max(number for number, _ in jobs)
    children = [
        CONTEXT.Process(target=_run, args=(rank, jobs, ports, f"{log}{rank}", sabotage)) for rank in range(count)
    ]
    for child in children:
        child.start()
    return children


def finish(children: Sequence[BaseProcess]) -> list[int | None]:
    """The exit codes; 60 seconds are for a machine that does much else."""
    for child in children:
        child.join(60)
        if child.is_alive():
            child.kill()
    return [child.exitcode for child in children]


def wait_for(path: Path) -> None:
    """Until there is such a file; 60 seconds are for a machine that does much else."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.005)


def die_in_second_snapshot() -> None:
    """kill -9 when all is written but the last file."""
    _at_second_snapshot(lambda: os.kill(os.getpid(), signal.SIGKILL))


def disk_full_in_second_snapshot() -> None:
    def refuse() -> None:
        raise OSError(28, "No space left on device")

    _at_second_snapshot(refuse)


def _at_second_snapshot(act: Callable[[], None]) -> None:
    from cadenza.train import snapshot

    write, count = snapshot.write_json, 0

    def counted(path: Path, value: dict) -> None:
        nonlocal count
        count += 1
        if count == 2:
            act()
        write(path, value)

    snapshot.write_json = counted


def _run(rank: int, jobs: Sequence[Job], ports: Sequence[int], log: str, sabotage: Callable[[], None] | None) -> None:
    """In a child: the jobs one after the other, until one fails."""
    from cadenza.cli import run

    if sabotage is not None:
        sabotage()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    for (count, arguments), port in zip(jobs, ports, strict=True):
        if rank >= count:
            continue
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({name: str(value) for name, value in place.items()})
        code = run(arguments)
        if code:
            sys.exit(code)


def curve(folder: Path, kind: str | None = None) -> list[dict]:
    """What a run logged, without times."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in row.items() if name not in TIMES}
        for row in rows
        if kind is None or row["kind"] == kind
    ]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
