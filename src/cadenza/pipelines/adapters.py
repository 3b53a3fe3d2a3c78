"""Adapters as people name them -> adapters that play, read once and kept.

In: `generate(..., adapters=[("a.safetensors", 0.7)])`. Out: for every item, the adapters beside the model and how much
each counts. They are known by their content: a file that is copied, or is given as a directory of peft's, is the same.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from os.path import isdir
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from cadenza.engine.memory import require
from cadenza.errors import UserError
from cadenza.lm.adapter import Adapter, Source, mount, notice_other_base, read_adapter, title
from cadenza.lm.adapter_file import PEFT_CONFIG, PEFT_WEIGHTS
from cadenza.lm.model import LM
from cadenza.nn.beside import Gains, Mounted

Chosen = Source | tuple[Source, float]
Adapters = Sequence[Chosen] | Sequence[Sequence[Chosen]]
"""Adapters, each alone (counting 1) or with what it counts: `["a.safetensors", ("b.safetensors", 0.3)]`. For a batch
either these for all items, or a list of such lists."""

Identity = tuple[str | tuple[int, int, int] | None, ...]
"""A file and what it was like when it was read."""

LARGEST_GAIN = 1e4
MOST_KEPT = 16
"""Adapters that stay in memory when nothing plays them."""


class Worn(NamedTuple):
    """One adapter of a request."""

    name: str
    mounted: Mounted
    gain: float

    @property
    def hash(self) -> str:
        return self.mounted.key


def gains_of(worn: Sequence[Worn]) -> Gains:
    """As the engine asks for them."""
    return tuple((one.mounted, one.gain) for one in worn)


class Wardrobe:
    """The adapters of one model. Safe from any thread."""

    def __init__(self, lm: LM, weights: Callable[[], str]) -> None:
        """`weights` tells the hash of the whole model, by which adapters know what they were trained on."""
        self._lm = lm
        self._weights = weights
        self._kept: OrderedDict[str, Mounted] = OrderedDict()
        """By content, the one used last at the end."""
        self._files: dict[Identity, str] = {}
        """File -> content, of those that are kept."""
        self._lock = threading.Lock()

    def choose(self, adapters: object, count: int) -> list[tuple[Worn, ...]]:
        """The adapters of `count` items: the same for all, or a list of lists with one for each.

        One that counts 0 is left out; one that was trained on other weights is played, and that is said. Raises
        UserError for what is no adapter of this shape, and for what does not fit into memory.
        """
        chosen = _per_item(adapters, count)
        with self._lock:
            worn = [tuple(self._wear(*one) for one in item) for item in chosen]
        for item in worn:
            hashes = [one.hash for one in item]
            for one in item:
                if hashes.count(one.hash) > 1:
                    raise UserError(f"the adapter {one.name} is given twice: give it once, with the sum of the numbers")
        return [tuple(one for one in item if one.gain != 0) for item in worn]

    def again(self, given: Sequence[Source], wanted: Sequence[tuple[str, str, float]]) -> tuple[Worn, ...]:
        """The adapters `wanted` (name, hash and what it counts), of those `given` and those that are here already.

        Raises UserError for one that is neither, and for one too many.
        """
        found = {one.hash: one for one in self.choose(given, 1)[0]}
        for content in found.keys() - {content for _, content, _ in wanted}:
            raise UserError(f"the take was made without the adapter {found[content].name}: leave it out")
        worn = []
        for name, content, gain in wanted:
            with self._lock:
                mounted = found[content].mounted if content in found else self._kept.get(content)
            if mounted is None:
                raise UserError(
                    f"the take was made with the adapter {name} ({content[:12]}): give that file along with the take"
                )
            worn.append(Worn(name, mounted, gain))
        return tuple(worn)

    def forget(self) -> None:
        """Let go of all; what plays goes on."""
        with self._lock:
            self._kept.clear()
            self._files.clear()

    def _wear(self, source: Source, gain: float) -> Worn:
        key, name = None, title(source)
        if not isinstance(source, Adapter):
            key = _identity(Path(source))
            content = None if key is None else self._files.get(key)
            if content is not None and content in self._kept:
                self._kept.move_to_end(content)
                return Worn(name, self._kept[content], gain)
        adapter = source if isinstance(source, Adapter) else read_adapter(source)
        content = adapter.hash
        if content not in self._kept:
            self._mount(adapter, str(source) if key is not None else "the adapter")
        self._kept.move_to_end(content)
        if key is not None:
            self._files[key] = content
        return Worn(name, self._kept[content], gain)

    def _mount(self, adapter: Adapter, name: str) -> None:
        require(8 * adapter.num_parameters, self._lm.device, "an adapter", "its weights")
        mounted = mount(self._lm, adapter, name)
        notice_other_base(adapter, name, self._weights)
        self._kept[mounted.key] = mounted
        while len(self._kept) > MOST_KEPT:
            gone, _ = self._kept.popitem(last=False)
            self._files = {file: content for file, content in self._files.items() if content != gone}


def _per_item(adapters: object, count: int) -> list[list[tuple[Source, float]]]:
    if adapters is None:
        return [[] for _ in range(count)]
    if isinstance(adapters, str | Path | Adapter) or not isinstance(adapters, Sequence):
        raise UserError(f"adapters={adapters!r:.60}: give a list, such as [('a.safetensors', 0.7)]")
    if any(isinstance(entry, list) for entry in adapters):
        if len(adapters) != count:
            raise UserError(f"{len(adapters)} lists of adapters for {count} prompts: give one per prompt")
        return [_item(entry) for entry in adapters]
    return [_item(adapters)] * count


def _item(adapters: Sequence[object]) -> list[tuple[Source, float]]:
    if isinstance(adapters, str | Path | Adapter) or not isinstance(adapters, Sequence):
        raise UserError(f"{adapters!r:.60} is no list of adapters: give one per prompt, empty for none")
    chosen = []
    for entry in adapters:
        source: object = entry
        gain: object = 1.0
        if isinstance(entry, tuple) and not isinstance(entry, Adapter) and len(entry) == 2:  # an Adapter is a tuple
            source, gain = entry
        if not isinstance(source, str | Path | Adapter):
            raise UserError(f"{entry!r:.60} is no adapter: give a file, or a pair such as ('a.safetensors', 0.7)")
        is_number = isinstance(gain, int | float | np.floating) and not isinstance(gain, bool)
        if not is_number or not abs(cast(float, gain)) <= LARGEST_GAIN:
            raise UserError(
                f"the adapter {title(source)} counts {gain!r:.20}: "
                f"give a number up to {LARGEST_GAIN:g}, 1 for all of it"
            )
        chosen.append((source, float(cast(float, gain))))
    return chosen


def _identity(path: Path) -> Identity | None:
    """What changes when one of the files does that `read_adapter` looks at; None for an adapter that is not there."""
    folder, file = (path, path / PEFT_WEIGHTS) if isdir(path) else (path.parent, path)
    states: list[tuple[int, int, int] | None] = []
    for part in (file, folder / PEFT_CONFIG):
        try:
            status = part.stat()
        except OSError:
            states.append(None)
        else:
            states.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return None if states[0] is None else (str(file.resolve()), *states)
