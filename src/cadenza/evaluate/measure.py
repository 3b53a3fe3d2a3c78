"""Clips to `Measurements`: every sound is read once, heard, embedded, and forgotten.

What is found is kept at once in a folder, by the sound's own content, the network that heard it and the code that
measured it: an interrupted run goes on where it stopped, and a clip that several sets share is heard once. One thread
computes each clip, in this process or in others, so that any number of workers gives the same figures.
"""

import hashlib
import json
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

import numpy as np
import pydantic
import torch

from cadenza.audio import Audio
from cadenza.checkpoint import cache_directory
from cadenza.errors import CadenzaError, UserError
from cadenza.evaluate.chroma_similarity import chroma_cosine
from cadenza.evaluate.clips import Clip, ClipSet, Refused, read_sound, reason_of
from cadenza.evaluate.embedders.base import Embedder, Identity, JointEmbedder, Labeller
from cadenza.evaluate.hearing import Ear, hear, name_sounds, pitch_classes, version
from cadenza.evaluate.measurements import Embeddings, Heard, Joint, Labels, MeasuredClip, Measurements
from cadenza.files import atomic_file

FIGURES = 2
"""Of the rules that `Heard` follows: raised whenever a figure of the same clip changes. Sets of different rules do not
merge."""
LOUDNESS_LUFS = -14.0
"""Of what the networks hear: that of MusicGen's evaluation."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_HEARD = pydantic.TypeAdapter(Heard)
_Network = TypeVar("_Network", Embedder, Labeller, JointEmbedder)


def measure(
    clips: ClipSet,
    embedders: Sequence[Embedder] = (),
    labellers: Sequence[Labeller] = (),
    joints: Sequence[JointEmbedder] = (),
    ear: Ear | None = None,
    loudness_lufs: float | None = LOUDNESS_LUFS,
    cache: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
) -> Measurements:
    """Hear every clip.

    Args:
        embedders, labellers, joints: What is to be heard; an object may be several of them.
        ear: Names instruments and genres; None leaves them out.
        loudness_lufs: Every clip is brought to this loudness before networks hear it (None: as it is). The figures of
            level, peak and clipping are those of the file.
        cache: Where what was heard is kept; None: `measured` in the user's cache.
        progress: Told how many clips of how many are done.
        workers: Processes; the networks are sent to each. The program must then be importable (`if __name__ ==
            "__main__"` around what starts it).

    Clips that are silent, damaged or too short for a network are listed in `refused`. Raises UserError where none is
    left.
    """
    if workers < 1:
        raise UserError(f"{workers} workers: give 1 or more")
    networks = Networks(_named(embedders), _named(labellers), _named(joints), ear, loudness_lufs)
    folder = cache_directory() / "measured" if cache is None else Path(cache)
    listener = Listening(networks, folder)
    found: list[MeasuredClip] = []
    vectors: list[Mapping[str, np.ndarray]] = []
    refused = list(clips.refused)
    for number, (clip, result) in enumerate(zip(clips.clips, _all(listener, clips.clips, workers), strict=True), 1):
        if isinstance(result, str):
            refused.append(Refused(clip.id, result))
        else:
            found.append(result.clip)
            vectors.append(result.vectors)
        if progress is not None:
            progress(number, len(clips))
    if not found:
        raise UserError(
            f"{clips.name}: nothing to judge; of {len(refused)} the first was refused as {refused[-1].reason}; give "
            "recordings with sound in them"
        )

    def column(key: str) -> tuple[np.ndarray, ...]:
        return tuple(row[key] for row in vectors)

    with _one_thread():
        texts = [clip.asked.text for clip in found]
        words = {name: listener.texts(joint, texts) for name, joint in networks.joints.items()}
    return Measurements(
        clips.name,
        tuple(found),
        {n: Embeddings(e.identity, column(f"embedder/{n}")) for n, e in networks.embedders.items()},
        {n: Labels(e.identity, e.labels, column(f"labeller/{n}")) for n, e in networks.labellers.items()},
        {n: Joint(j.identity, np.stack(column(f"joint/{n}")), words[n]) for n, j in networks.joints.items()},
        tuple(refused),
        {
            "loudness_lufs": loudness_lufs,
            "ear": None if ear is None else ear.identity.record(),
            "figures": FIGURES,
        },
    )


@dataclass(frozen=True)
class Networks:
    """All that hears, and at which loudness."""

    embedders: Mapping[str, Embedder]
    labellers: Mapping[str, Labeller]
    joints: Mapping[str, JointEmbedder]
    ear: Ear | None
    loudness_lufs: float | None

    @property
    def least_seconds(self) -> tuple[float, str]:
        """The shortest clip that all can hear, and whose limit that is."""
        every: list[Embedder | Labeller | JointEmbedder] = [
            *self.embedders.values(), *self.labellers.values(), *self.joints.values()
        ]  # fmt: skip
        return max(((network.least_seconds, network.identity.name) for network in every), default=(0.0, ""))


@dataclass(frozen=True)
class Result:
    """What was heard in one clip; vectors by kind and name."""

    clip: MeasuredClip
    vectors: dict[str, np.ndarray]


class Listening:
    """Measures a clip at a time, and keeps what it found."""

    def __init__(self, networks: Networks, folder: Path) -> None:
        self.networks, self.folder = networks, folder
        self._tunes: dict[Path, np.ndarray] = {}

    def measure(self, clip: Clip) -> Result | str:
        """What is heard in a clip, or why it cannot be judged."""
        try:
            audio = read_sound(clip.path)
            tune = self._tune(clip)
        except UserError as error:
            return reason_of(error, clip.path)
        least, name = self.networks.least_seconds
        if audio.duration_seconds < least:
            return f"too short: {audio.duration_seconds:.3g} s, {name} hears {least:g} s or more"
        loudness_lufs = audio.loudness_lufs()
        if not math.isfinite(loudness_lufs):
            return "silent: below -70 LUFS throughout"
        try:
            return self._measure(clip, audio, tune)
        except UserError as error:
            return str(error).split("; ")[0]

    def _measure(self, clip: Clip, audio: Audio, tune: np.ndarray) -> Result:
        sound = sound_hash(audio)
        loud = _Levelled(audio, self.networks.loudness_lufs)
        ear, level = self.networks.ear, repr(self.networks.loudness_lufs)

        def plain() -> dict[str, np.ndarray]:
            return {"heard": _packed(hear(audio)), "pitches": pitch_classes(audio)}

        figures = self._kept(sound, ("heard", version()), plain)
        heard, pitches = _HEARD.validate_json(figures["heard"].tobytes()), figures["pitches"]
        if ear is not None:  # kept by itself: another ear hears no other tempo
            names = ("names", level, ear.identity.digest, version())
            figures = self._kept(sound, names, lambda: {"heard": _packed(name_sounds(heard, ear, loud.audio))})
            heard = _HEARD.validate_json(figures["heard"].tobytes())
        if tune.size:
            heard = replace(heard, melody_similarity=chroma_cosine(tune, pitches))
        vectors = {}
        for key, identity, compute in self._computations(loud):
            vectors[key] = self._kept_vectors(sound, (key.split("/")[0], level, identity.digest), compute)
        measured = MeasuredClip(clip.id, clip.piece, clip.asked, heard, sound, dict(clip.record), pitches, tune)
        return Result(measured, vectors)

    def _computations(self, loud: "_Levelled") -> Iterator[tuple[str, Identity, Callable[[], np.ndarray]]]:
        for name, embedder in self.networks.embedders.items():
            yield f"embedder/{name}", embedder.identity, partial(loud.heard_by, embedder.embed)
        for name, labeller in self.networks.labellers.items():
            yield f"labeller/{name}", labeller.identity, partial(loud.heard_by, labeller.probabilities)
        for name, joint in self.networks.joints.items():
            yield f"joint/{name}", joint.identity, partial(loud.heard_by, joint.embed_audio)

    def texts(self, joint: JointEmbedder, texts: Sequence[str]) -> np.ndarray:
        """Each text by itself, so that its vector does not depend on its neighbours; zeros for no text."""
        rows = {"": np.zeros(joint.dim, np.float32)}
        for text in texts:
            if text not in rows:
                place = hashlib.sha256(text.encode()).hexdigest()
                vectors = self._kept_vectors(place, ("text", joint.identity.digest), partial(joint.embed_text, [text]))
                rows[text] = vectors[0]
        return np.stack([rows[text] for text in texts])

    def _tune(self, clip: Clip) -> np.ndarray:
        """Of the melody that was asked for; empty without one."""
        path = clip.asked.melody
        if path is None:
            return np.zeros(0, np.uint8)
        if path not in self._tunes:
            try:
                self._tunes[path] = pitch_classes(read_sound(path))
            except UserError as error:
                raise UserError(f"its melody {path.name}: {reason_of(error, path)}") from error
        return self._tunes[path]

    def _kept_vectors(self, content: str, heard_by: tuple[str, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
        return self._kept(content, heard_by, lambda: {"vectors": compute()})["vectors"]

    def _kept(
        self, content: str, heard_by: tuple[str, ...], compute: Callable[[], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """What was heard before in this content, or what is heard now, kept for the next time.

        A file of the cache that is damaged is made anew.
        """
        key = hashlib.sha256(json.dumps(heard_by).encode()).hexdigest()
        path = self.folder / content[:2] / f"{content[2:34]}-{key[:32]}.npz"
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            pass
        found = dict(compute())
        with atomic_file(path) as temporary, temporary.open("wb") as new:
            np.savez(new, **found)  # type: ignore[arg-type]
        return found


class _Levelled:
    """A clip at the loudness that networks hear, made when it is first asked for; the same object each time, so that a
    network that is several things hears it once."""

    def __init__(self, audio: Audio, loudness_lufs: float | None) -> None:
        self._audio, self._loudness = audio, loudness_lufs

    @cached_property
    def audio(self) -> Audio:
        return self._audio if self._loudness is None else self._audio.normalize(self._loudness)

    def heard_by(self, network: Callable[[Audio], np.ndarray]) -> np.ndarray:
        return network(self.audio)


def _packed(heard: Heard) -> np.ndarray:
    return np.frombuffer(_HEARD.dump_json(heard), np.uint8)


def sound_hash(audio: Audio) -> str:
    """SHA-256 of rate, channels and samples, whatever the file's format and metadata."""
    total = hashlib.sha256(f"{audio.sample_rate} {audio.channels}\0".encode())
    total.update(np.ascontiguousarray(audio.samples.T).data)
    return total.hexdigest()


def _named(networks: Sequence[_Network]) -> dict[str, _Network]:
    """By name; of several with one name (two checkpoints of CLAP) each with the start of its hash."""
    names = [network.identity.name for network in networks]
    result = {}
    for name, network in zip(names, networks, strict=True):
        shown = name if names.count(name) == 1 else f"{name}-{network.identity.digest[:8]}"
        if shown in result:
            raise UserError(f"{name} was named twice: leave one of them out")
        result[shown] = network
    return result


# ------------------------------------------------------------------------------------------------------------- workers


def _all(listener: Listening, clips: Sequence[Clip], workers: int) -> Iterator[Result | str]:
    """In the order of the clips."""
    if workers == 1 or len(clips) < 2:
        with _one_thread():
            yield from map(listener.measure, clips)
        return
    with _single_threaded_children():
        pool = ProcessPoolExecutor(
            min(workers, len(clips)), multiprocessing.get_context("spawn"), _begin, (listener,)
        )  # fmt: skip
        try:
            rest = iter(clips)
            waiting: list[Future[Result | str]] = [pool.submit(_measure, clip) for clip in islice(rest, 4 * workers)]
            while waiting:  # never many more than are computed: results must not pile up, and Ctrl-C ends soon
                yield waiting.pop(0).result()
                waiting += [pool.submit(_measure, clip) for clip in islice(rest, 1)]
        except BrokenProcessPool as error:
            raise CadenzaError(
                "a worker was ended by the system, which mostly means that memory ran out: start again with fewer "
                "workers; what was heard is kept"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Processes that begin now use one thread each, in every library."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_listener: Listening | None = None


def _begin(listener: Listening) -> None:
    global _listener
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(1)
    _listener = listener


def _measure(clip: Clip) -> Result | str:
    assert _listener is not None, "the pool has run _begin"
    return _listener.measure(clip)
