"""Reading other people's pickled weights without running anything they brought along.

In: a file written by `torch.save`, in today's zip form or the form before PyTorch 1.6. Out: the same tree of
dictionaries, lists, strings, numbers and tensors.

A pickle is a program for a small machine, and its dangerous instruction is "fetch the object of this name". Here every
name is looked up in the table below, whose entries are inert: they only write down what the file says. Anything else is
refused by name. Tensors are made afterwards, from the notes, over a private memory map of the file, so reading a
checkpoint costs no copy of it.
"""

import math
import mmap
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadenza.errors import CheckpointError

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}
_OMEGACONF_CLASSES = {
    "base": ("ContainerMetadata", "Metadata"),
    "dictconfig": ("DictConfig",),
    "listconfig": ("ListConfig",),
    "nodes": (
        "AnyNode",
        "BooleanNode",
        "BytesNode",
        "FloatNode",
        "IntegerNode",
        "InterpolationResultNode",
        "PathNode",
        "StringNode",
    ),
}
_PLAIN_TYPES = ("int", "long", "float", "bool", "str", "unicode", "bytes", "type")
"""Protocol 2 calls them by their names in Python 2. `type(None)` is a note like any other."""
OMEGACONF = frozenset(
    {f"omegaconf.{module}.{name}" for module, names in _OMEGACONF_CLASSES.items() for name in names}
    | {"typing.Any", "typing.Union", "typing.Optional", "typing.List", "typing.Dict"}
    | {f"{home}.{name}" for home in ("builtins", "__builtin__") for name in _PLAIN_TYPES}
    | {"pathlib.PosixPath", "pathlib.Path"}
)
"""What a pickled configuration of OmegaConf names: its own classes, and types that its notes mention."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_DEEPEST = 64
"""Levels of a configuration; a hostile one may hold itself."""


class Inert:
    """What a stand-in for a named class keeps: its name, the arguments of its construction and its state."""

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] = ()) -> None:
        self.name, self.arguments, self.state = name, arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_pickle(path: str | Path, stand_ins: frozenset[str] = frozenset()) -> Any:
    """The tree stored in a `torch.save` file.

    Args:
        path: the file.
        stand_ins: full names of further classes (`"omegaconf.dictconfig.DictConfig"`) to be read as `Inert` notes.

    Raises:
        CheckpointError: the file is missing, truncated, corrupt, or asks for an object that weights do not need.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no file {path}: check the path")
    try:
        with path.open("rb") as file:
            read = _read_zip if file.read(2) == b"PK" else _read_legacy
            file.seek(0)
            return read(file, path, stand_ins)
    except CheckpointError:
        raise
    except Exception as error:  # a hostile stream can make the unpickler raise nearly anything
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise CheckpointError(f"{path} is truncated or not a PyTorch checkpoint ({reason}): fetch it again") from error


def plain_settings(note: Any) -> Any:
    """The plain values of a configuration of OmegaConf that was read as `Inert` notes; its references stay text."""
    return _plain(note, depth=0)


def _plain(note: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise CheckpointError("a configuration in the file is nested without end: fetch the file again")
    if isinstance(note, Inert):
        state: dict[Any, Any] = note.state if isinstance(note.state, dict) else {}
        if "_content" in state:
            return _plain(state["_content"], depth + 1)
        if "_val" in state:
            return _plain(state["_val"], depth + 1)
        if note.name.startswith("pathlib."):
            return "/".join(str(part) for part in note.arguments)
        raise CheckpointError(f"a configuration in the file holds a {note.name}, which is no setting")
    if isinstance(note, dict):
        return {_plain(key, depth + 1): _plain(value, depth + 1) for key, value in note.items()}
    if isinstance(note, list | tuple):
        return [_plain(value, depth + 1) for value in note]
    return note


# ---- the machine -----------------------------------------------------------------------------------------------------


class _Storage:
    """Note of a persistent id: `numel` elements of `dtype` in the record `key`."""

    __slots__ = ("dtype", "key", "numel")

    def __init__(self, dtype: torch.dtype, key: str, numel: int) -> None:
        self.dtype, self.key, self.numel = dtype, key, numel


class _Tensor:
    """Note of a tensor: a strided window on a storage."""

    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides


class _StorageType:
    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _Constructor:
    """A callable for the REDUCE instruction. It has no attributes that a BUILD instruction could overwrite."""

    __slots__ = ("_build",)
    _build: Callable[..., Any]

    def __init__(self, build: Callable[..., Any]) -> None:
        object.__setattr__(self, "_build", build)

    def __call__(self, *arguments: Any) -> Any:
        return self._build(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a constructor cannot be changed")


class _Reader(pickle.Unpickler):
    """Unpickler whose every name comes from a table of inert entries, made anew for each file."""

    def __init__(self, file: BufferedIOBase, path: Path, stand_ins: frozenset[str]) -> None:
        super().__init__(file, encoding="latin-1")
        self._path = path
        self._stand_ins = stand_ins
        self._names: dict[str, Any] = {
            "collections.OrderedDict": OrderedDict,
            "builtins.dict": dict,
            "__builtin__.dict": dict,
            "builtins.list": list,
            "__builtin__.list": list,
            "collections.defaultdict": _Constructor(lambda *ignored: {}),
            "torch.Size": _Constructor(tuple),
            "torch.device": _Constructor(lambda *arguments: ":".join(str(part) for part in arguments)),
            "_codecs.encode": _Constructor(_encode),
            "torch._utils._rebuild_tensor": _Constructor(_Tensor),
            "torch._utils._rebuild_tensor_v2": _Constructor(lambda *arguments: _Tensor(*arguments[:4])),
            "torch._utils._rebuild_parameter": _Constructor(lambda data, *ignored: data),
        }
        for name, dtype in _STORAGES.items():
            self._names[f"torch.{name}"] = self._names[f"torch.storage.{name}"] = _StorageType(dtype)

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in self._stand_ins:
            return type(name.rpartition(".")[2], (Inert,), {"__new__": _new_inert(full), "__init__": _no_init})
        if full not in self._names:
            raise CheckpointError(
                f"{self._path} asks for {full}, which weights do not need: refused, and nothing in it was run"
            )
        return self._names[full]

    def persistent_load(self, pid: Any) -> Any:
        kind, storage_type, key, _location, numel, *view = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or any(part is not None for part in view):
            raise pickle.UnpicklingError(f"unknown reference {str(pid)[:60]}")
        return _Storage(storage_type.dtype, str(key), int(numel))


def _new_inert(full: str) -> Callable[..., Inert]:
    def new(cls: type[Inert], *arguments: Any, **_: Any) -> Inert:
        note = object.__new__(cls)
        Inert.__init__(note, full, arguments)
        return note

    return new


def _no_init(self: Inert, *arguments: Any) -> None:
    """Everything was noted by `__new__`, which pickle calls with or without `__init__`."""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Protocol 2 stores bytes as text."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}")
    return text.encode("latin-1")


# ---- containers ------------------------------------------------------------------------------------------------------


def _read_zip(file: BufferedIOBase, path: Path, stand_ins: frozenset[str]) -> Any:
    memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename.partition("/")[2]: entry for entry in archive.infolist()}

        def record(name: str) -> memoryview:
            """Where a record lies in the file; `torch.save` never compresses."""
            entry = entries[name]
            if entry.compress_type != zipfile.ZIP_STORED:
                raise pickle.UnpicklingError("compressed record")
            local = memory[entry.header_offset : entry.header_offset + 30]
            signature, name_length, extra_length = struct.unpack("<4s22xHH", local)
            start = entry.header_offset + 30 + name_length + extra_length
            if signature != b"PK\3\4" or start + entry.file_size > len(memory):
                raise pickle.UnpicklingError("bad record")
            return memory[start : start + entry.file_size]

        if "data.pkl" not in entries:
            raise CheckpointError(f"{path} is a zip file without data.pkl: it was not written by torch.save")
        order = bytes(record("byteorder")).decode() if "byteorder" in entries else "little"
        if order != sys.byteorder:
            raise CheckpointError(f"{path} is {order}-endian, this machine is {sys.byteorder}-endian: cannot read it")
        tree = _Reader(BytesIO(record("data.pkl")), path, stand_ins).load()
        return _Materialiser(lambda key: record(f"data/{key}")).visit(tree)


def _read_legacy(file: BufferedIOBase, path: Path, stand_ins: frozenset[str]) -> Any:
    def load() -> Any:
        return _Reader(file, path, stand_ins).load()

    if load() != _LEGACY_MAGIC or load() != _LEGACY_PROTOCOL:
        raise pickle.UnpicklingError("unknown format")
    if not dict(load()).get("little_endian", True):
        raise CheckpointError(f"{path} is big-endian: cannot read it")
    notes = load()
    keys = [str(key) for key in load()]
    memory = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    widths = _storage_widths(notes)
    records: dict[str, memoryview] = {}
    position = file.tell()
    for key in keys:
        (numel,) = struct.unpack("<q", memory[position : position + 8])
        size = numel * widths.get(key, 0)
        if numel < 0 or key not in widths or position + 8 + size > len(memory):
            raise pickle.UnpicklingError("storage beyond the end of the file")
        records[key] = memory[position + 8 : position + 8 + size]
        position += 8 + size
    return _Materialiser(records.__getitem__).visit(notes)


def _storage_widths(tree: Any) -> dict[str, int]:
    """Bytes per element of every storage that the notes mention."""
    widths: dict[str, int] = {}
    waiting, seen = [tree], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, _Tensor):
            waiting.append(value.storage)
        elif isinstance(value, _Storage):
            widths[value.key] = value.dtype.itemsize
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif isinstance(value, Inert):
            waiting.extend((value.arguments, value.state))
    return widths


class _Materialiser:
    """Replaces the notes of a tree by tensors over the mapped file, each checked against the size of its record."""

    def __init__(self, record: Callable[[str], memoryview]) -> None:
        self._record = record
        self._done: dict[int, Any] = {}
        self._notes: list[Any] = []  # keeps the notes alive, so that no id is used twice

    def visit(self, value: Any) -> Any:
        if value is None or isinstance(value, str | bytes | bool | int | float | complex):
            return value
        if id(value) in self._done:
            return self._done[id(value)]
        self._notes.append(value)
        if isinstance(value, _Tensor):
            result: Any = self._tensor(value)
        elif isinstance(value, Inert):
            result = self._done[id(value)] = Inert(value.name)
            result.arguments, result.state = self.visit(value.arguments), self.visit(value.state)
        elif isinstance(value, dict):
            result = self._done[id(value)] = {}
            # An OrderedDict has attributes, and a file may set one called `items`: take the method of the class.
            result.update((self.visit(key), self.visit(part)) for key, part in dict.items(value))
        elif isinstance(value, list):
            result = self._done[id(value)] = []
            result.extend(self.visit(part) for part in value)
        elif isinstance(value, tuple):
            result = tuple(self.visit(part) for part in value)
        elif isinstance(value, set | frozenset):
            result = value
        elif isinstance(value, type):
            result = Inert(value.__name__)
        else:
            raise pickle.UnpicklingError(f"unexpected {type(value).__name__}")
        self._done[id(value)] = result
        return result

    def _tensor(self, note: _Tensor) -> Tensor:
        storage = note.storage
        shape, strides, offset = tuple(note.shape), tuple(note.strides), note.offset
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, _Storage) or any(type(number) is not int or number < 0 for number in numbers):
            raise pickle.UnpicklingError("malformed tensor")
        if len(shape) != len(strides):
            raise pickle.UnpicklingError("malformed tensor")
        if 0 in shape:
            return torch.empty(shape, dtype=storage.dtype)
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        data = self._record(storage.key)
        if last >= storage.numel or storage.numel * storage.dtype.itemsize > len(data):
            raise pickle.UnpicklingError("tensor beyond the end of its storage")
        if math.prod(shape) > storage.numel:
            raise pickle.UnpicklingError(
                "tensor larger than its storage"
            )  # overlapping strides could ask for petabytes
        elements = torch.frombuffer(data, dtype=storage.dtype, count=storage.numel)
        return elements.as_strided(shape, strides, offset)
