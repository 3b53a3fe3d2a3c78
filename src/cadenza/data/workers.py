"""Who computes the shards of a token cache: this process, or several on this machine, a thread each.

In: a plan (what to compute, and where the models lie) and parts of the manifest. Out: the shards, written, and their
checksums. A shard depends on its part and the plan alone, so that any number of workers writes the same bytes.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cadenza.checkpoint import Config
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.text import TextEncoder
from cadenza.data.coding import LAYER as CODES
from cadenza.data.coding import TokenConfig, encode_recordings
from cadenza.data.melodies import LAYER as MELODY
from cadenza.data.melodies import MelodyAnalysis
from cadenza.data.shards import Part, current, made_of, shard_path, write_shard
from cadenza.data.texts import LAYER as TEXT
from cadenza.data.texts import TextForm, Texts, encode_texts
from cadenza.errors import CadenzaError
from cadenza.jukebox.level import VQVAELevel
from cadenza.jukebox.vqvae import JukeboxVQVAE

OnDone = Callable[[int], None]
"""Told how many recordings more are done."""


class Plan(Config):
    """All that a worker needs to know; the models lie in folders that it can read."""

    folder: str
    config: TokenConfig
    settings: dict[str, dict[str, Any]]
    """Per layer, what decides its tensors."""
    codec: str
    level: int | None
    """Of Jukebox' VQ-VAE, if the codec is one."""
    stereo: bool
    device: str
    text_encoder: str | None
    text: TextForm | None
    melody: ChromaConfig | None


class Made(NamedTuple):
    """The shards of one part."""

    number: int
    checksums: dict[str, str]
    skipped: dict[str, str]


class PartMaker:
    """Computes the shards of a part that are not there yet, with models that are loaded."""

    def __init__(self, plan: Plan, codec: Codec, texts: Texts | None) -> None:
        self.plan, self.codec, self.texts = plan, codec, texts
        self.melodies = None if plan.melody is None else MelodyAnalysis(plan.melody)

    @classmethod
    def load(cls, plan: Plan) -> "PartMaker":
        """In another process: the same models from their folders."""
        codec: Codec
        if plan.level is None:
            codec = EnCodec.from_pretrained(plan.codec, plan.device, torch.float32)
        else:
            codec = VQVAELevel(JukeboxVQVAE.from_pretrained(plan.codec, plan.device, torch.float32), plan.level)
        texts = None
        if plan.text is not None and plan.text_encoder is not None:
            texts = Texts(TextEncoder.from_pretrained(plan.text_encoder, plan.device), plan.text)
        return cls(plan, StereoCodec(codec) if plan.stereo else codec, texts)

    def make(self, part: Part, on_done: OnDone = lambda count: None) -> Made:
        """Codes first: what has none is left out of the melodies."""
        path, recipe = self._place(CODES, part)
        shard = current(path, recipe, [entry.id for entry in part.entries])
        if shard is None:
            codes, skipped = encode_recordings(self.codec, part.entries, self.plan.config, on_done)
            checksums = {CODES: write_shard(path, codes, recipe, skipped)}
        else:
            on_done(len(part.entries))
            skipped, checksums = shard.skipped, {CODES: shard.checksum}
        if self.melodies is not None:
            path, recipe = self._place(MELODY, part)
            if (shard := current(path, recipe)) is None:
                heard = [entry for entry in part.entries if entry.id not in skipped]
                classes = self.melodies.classes(heard, self.plan.config.first_seconds)
                checksums[MELODY] = write_shard(path, classes, recipe, {})
            else:
                checksums[MELODY] = shard.checksum
        if self.texts is not None:
            path, recipe = self._place(TEXT, part)
            if (shard := current(path, recipe)) is None:
                checksums[TEXT] = write_shard(path, encode_texts(self.texts, part.entries), recipe, {})
            else:
                checksums[TEXT] = shard.checksum
        return Made(part.number, checksums, skipped)

    def _place(self, layer: str, part: Part) -> tuple[Path, str]:
        return shard_path(self.plan.folder, layer, part.number), recipe_of(self.plan.settings, layer, part)


def recipe_of(settings: Mapping[str, Mapping[str, Any]], layer: str, part: Part) -> str:
    """What the shard of a part must say that it was made of."""
    return made_of(settings[layer], part, with_captions=layer == TEXT)


def found(folder: str | Path, settings: Mapping[str, Mapping[str, Any]], part: Part) -> Made | None:
    """The shards of a part, if all are there, whole and made of just this."""
    checksums: dict[str, str] = {}
    skipped: dict[str, str] = {}
    for layer in settings:
        path = shard_path(folder, layer, part.number)
        names = [entry.id for entry in part.entries] if layer == CODES else ()
        shard = current(path, recipe_of(settings, layer, part), names) if path.exists() else None
        if shard is None:
            return None
        checksums[layer] = shard.checksum
        skipped |= shard.skipped
    return Made(part.number, checksums, skipped)


def make_here(maker: PartMaker, parts: Sequence[Part], on_done: OnDone) -> Iterator[Made]:
    """One part after the other, in this process."""
    with _one_thread(maker.plan.device):
        for part in parts:
            yield maker.make(part, on_done)


def make_in_pool(plan: Plan, parts: Sequence[Part], workers: int, on_done: OnDone) -> Iterator[Made]:
    """Whole parts to processes; in the order in which they become ready.

    Raises CadenzaError if the system ends a worker: what was written stays. The program must be importable (`if
    __name__ == "__main__"` around what starts it), since processes are begun anew.
    """
    context = multiprocessing.get_context("spawn")
    done = context.Value("q", 0)
    told = 0
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(min(workers, len(parts)), context, _begin, (plan, done))
    waiting: set[Future[Made]] = {pool.submit(_make, part) for part in parts}
    try:
        while waiting:
            ready, waiting = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            count = done.value
            on_done(count - told)
            told = count
            for future in ready:
                yield future.result()
    except BrokenProcessPool as error:
        raise CadenzaError(
            "a worker was ended by the system, which mostly means that memory ran out: start the same command with "
            "fewer --workers or a smaller --batch-seconds; it goes on from the shards that are written"
        ) from error
    finally:
        pool.shutdown(wait=not waiting, cancel_futures=True)
        if waiting:
            for process in set(multiprocessing.active_children()).difference(others):
                process.terminate()


_maker: PartMaker | None = None
_count: Any = None


def _begin(plan: Plan, done: Any) -> None:
    """The start of a worker. Ctrl-C is its parent's to answer, and it ends with its parent, however that ended."""
    global _maker, _count
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _maker, _count = PartMaker.load(plan), done


def _make(part: Part) -> Made:
    assert _maker is not None, "the pool has run _begin"
    return _maker.make(part, _add)


def _add(count: int) -> None:
    with _count.get_lock():
        _count.value += count


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """On a processor, sums do not depend on how many threads share them; afterwards as before."""
    before = torch.get_num_threads()
    if torch.device(device).type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
