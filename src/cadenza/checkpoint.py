"""The model directory: JSON and safetensors, nothing else.

In: a module with a frozen `config`, or a directory that holds `config.json` and `model.safetensors`. Out: the other.

Loading builds the module on the meta device, memory-maps the file and assigns, so that the peak is about one copy of
the weights. Every file is written beside its place and then renamed: a full disk or a crash leaves the old file as it
was.
"""

import hashlib
import json
import mmap
import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import pydantic
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cadenza.errors import CadenzaError, CheckpointError, UserError
from cadenza.files import atomic_file

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


class Config(pydantic.BaseModel):
    """Base of every configuration: frozen, complete, and unknown fields are an error."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Options(Config):
    """A configuration that people fill in by hand: what cannot be is a UserError with the field and the value."""

    subject: ClassVar[str] = "options"
    """What the error speaks of where no single field is wrong."""

    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except pydantic.ValidationError as error:
                first = error.errors()[0]
                name = ".".join(map(str, first["loc"])) or self.subject
                raise UserError(f"{name} = {first['input']!r:.60}: {first['msg']}") from error


C = TypeVar("C", bound=Config)
P = TypeVar("P", bound="Pretrained")


class Pretrained:
    """Mixin for an `nn.Module` built as `X(config)`: adds `from_pretrained` and `save_pretrained`.

    The class names its configuration in `config_class` and keeps it in `self.config`. Building on the meta device
    leaves every tensor empty, so state must live in parameters and buffers. A (sub)module that registers
    *non-persistent* buffers defines `reset_buffers()`, which registers them anew from its configuration; loading calls
    it on the target device. A submodule with a true `float32_weights` is loaded in float32 whatever `dtype` says.
    """

    config_class: ClassVar[type[Config]]
    ignored_weights: ClassVar[tuple[str, ...]] = ()
    """Prefixes of tensors that a file may hold beyond what this module needs."""

    @classmethod
    def read_config(cls, directory: str | Path) -> Config:
        """The configuration in `directory`; a class that reads another library's `config.json` overrides this."""
        return read_config(cls.config_class, Path(directory) / CONFIG_FILE)

    @classmethod
    def from_pretrained(
        cls: type[P], directory: str | Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
    ) -> P:
        """Load the module, in evaluation mode. `dtype` converts floating-point tensors; None keeps what is stored.

        Raises CheckpointError for a missing, truncated or corrupt file and for names or shapes that do not match.
        """
        directory = Path(directory)
        if not directory.is_dir():
            raise CheckpointError(f"no model directory at {directory}: check the path")
        module = cls._build(directory)
        load_weights(module, directory / WEIGHTS_FILE, device, dtype, cls.ignored_weights)
        return cast(P, module.eval())

    @classmethod
    def skeleton(cls: type[P], directory: str | Path) -> P:
        """The module on the meta device: shapes without values. The file of weights was found to be whole and to fit.

        Raises CheckpointError as `from_pretrained` does.
        """
        directory = Path(directory)
        module = cls._build(directory)
        stored = weight_shapes(directory / WEIGHTS_FILE)
        shapes = {name: shape for name, (shape, _) in stored.items() if not name.startswith(cls.ignored_weights)}
        expected = _expected(module, shapes)
        check_shapes(directory / WEIGHTS_FILE, expected, shapes)
        return cast(P, module.eval())

    @classmethod
    def _build(cls, directory: Path) -> nn.Module:
        """The module of the configuration in `directory`, on the meta device."""
        build = cast(Callable[[Config], nn.Module], cls)
        config = cls.read_config(directory)
        try:
            with on_meta():
                return build(config)
        except CheckpointError:
            raise
        except (ValueError, TypeError, RuntimeError, ArithmeticError, AssertionError, LookupError) as error:
            # Fields are checked one by one; numbers that do not fit each other fail in the module's own arithmetic.
            raise CheckpointError(
                f"{directory / CONFIG_FILE} describes no model that can be built ({_first_line(error)}): "
                "fetch or convert it again"
            ) from error

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write `config.json` and `model.safetensors` into `directory`, floating-point tensors as `dtype` if given."""
        module = cast(nn.Module, self)
        directory = Path(directory)
        write_weights(directory / WEIGHTS_FILE, module.state_dict(), dtype)
        write_json(directory / CONFIG_FILE, cast(Config, module.config).model_dump(mode="json"))


_CALCULATED = (torch.hann_window, torch.linspace, torch.arange)
"""What buffers that no file holds begin with: small, and calculated for real."""


class _Uninitialized(TorchFunctionMode):
    """Leaves out the random initialisation of new modules."""

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else options["tensor"]
        if func in _CALCULATED:
            options.setdefault("device", "cpu")
        return func(*args, **options)


@contextmanager
def on_meta() -> Iterator[None]:
    """Modules built inside have shapes but no memory and no values.

    Arithmetic on the meta device gives nothing, but the first of it imports torch's compiler: a second of work.
    """
    with torch.device("meta"), _Uninitialized():
        yield


# ---- weights ----------------------------------------------------------------------------------------------------


def load_weights(
    module: nn.Module,
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    ignored: tuple[str, ...] = (),
) -> None:
    """Give `module`, built on the meta device, the tensors of a safetensors file; names and shapes must match."""
    path, device = Path(path), torch.device(device)
    shapes = {name: shape for name, (shape, _) in weight_shapes(path).items() if not name.startswith(ignored)}
    expected = _expected(module, shapes)
    check_shapes(path, expected, shapes)
    # One mapping per tensor: pages that were touched stay resident until it is closed, and would be a second copy of
    # what is converted here, or packed later.
    state: dict[str, Tensor] = {}
    exact = tuple(f"{name}." for name, part in module.named_modules() if getattr(part, "float32_weights", False))
    for name in expected:
        tensor = read_weights(path, (name,))[name]
        state[name] = tensor.to(device, _kind(name, tensor, torch.float32 if name.startswith(exact) else dtype))
    assign_weights(module, state, path, device, dtype)


def assign_weights(
    module: nn.Module,
    state: Mapping[str, Tensor],
    source: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
) -> None:
    """Make the tensors of `state`, which came from the file `source`, the parameters and buffers of `module`.

    `device` and `dtype` are those of buffers that no file holds; the tensors are taken as they are.
    """
    expected = module.state_dict()
    check_shapes(source, expected, {name: tuple(tensor.shape) for name, tensor in state.items()})
    for name, tensor in state.items():
        free = tensor.is_floating_point() and expected[name].is_floating_point() and not name.endswith(_EXACT)
        if not free and tensor.dtype != expected[name].dtype:
            raise CheckpointError(f"{source}: tensor {name} is {tensor.dtype}, expected {expected[name].dtype}")
    module.load_state_dict(dict(state), strict=True, assign=True)
    _restore_buffers(module, torch.device(device), dtype)


def read_weights(path: str | Path, names: Iterable[str] | None = None) -> dict[str, Tensor]:
    """Memory-mapped tensors of a safetensors file: all, or those named. Pages are read when they are first touched."""
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in (file.keys() if names is None else names)}


def weight_shapes(path: str | Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (shape, safetensors type such as "BF16") of every tensor in a file, without reading the tensors."""
    with _open(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}


def read_metadata(path: str | Path) -> dict[str, str]:
    """What the header of a safetensors file says besides its tensors."""
    with _open(path) as file:
        return dict(file.metadata() or {})


class RestingWeights:
    """Lets a module that is used now and then give memory back in between: 330 MB for T5-base.

    Its parameters become views of one private mapping of their file. `rest()` drops the pages that reading them has
    filled; they come back from the file at the next touch. Only for frozen modules: once a parameter was changed or
    may be trained, nothing is dropped any more.
    """

    def __init__(self, module: nn.Module, path: str | Path) -> None:
        """`module` was loaded from `path`, in the precision of the file, onto the CPU; what was not stays as it is."""
        with Path(path).open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        start = 8 + int.from_bytes(self._memory[:8], "little")
        header = json.loads(self._memory[8:start])
        self._parameters = []
        for name, parameter in module.named_parameters():
            entry = header.get(name)
            if entry is None or DTYPES.get(entry["dtype"]) != parameter.dtype or parameter.device.type != "cpu":
                continue
            offset = start + entry["data_offsets"][0]
            values = torch.frombuffer(self._memory, dtype=parameter.dtype, count=parameter.numel(), offset=offset)
            parameter.data = values.view(parameter.shape)
            self._parameters.append(parameter)
        self._versions = self._state()

    def rest(self) -> None:
        """Give the memory back, where the system can (Linux)."""
        if platform.system() == "Linux" and self._state() == self._versions:
            self._memory.madvise(mmap.MADV_DONTNEED)

    def _state(self) -> list[tuple[int, bool]]:
        return [(parameter._version, parameter.requires_grad) for parameter in self._parameters]


def write_weights(
    path: str | Path,
    state: Mapping[str, Tensor],
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file atomically, floating-point tensors as `dtype` if given, `metadata` in its header."""
    tensors = {}
    for name, tensor in state.items():
        tensors[name] = tensor.detach().to("cpu", _kind(name, tensor, dtype)).contiguous()
    with atomic_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={"format": "pt", **(metadata or {})})
        except SafetensorError as error:
            raise OSError(_first_line(error)) from error


def write_pickle(path: str | Path, content: Any) -> None:
    """`torch.save`, but a full disk is the OSError that it is everywhere else (torch says RuntimeError)."""
    try:
        torch.save(content, path)
    except RuntimeError as error:
        raise OSError(f"the disk is full or failing ({_first_line(error)})") from error


_EXACT = (".weight_scale", ".weight_zero")
"""Tensors of quantised layers that are part of their values: never converted."""


def _kind(name: str, tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    """What a tensor becomes where `dtype` is asked for."""
    if dtype is None or not tensor.is_floating_point() or name.endswith(_EXACT):
        return tensor.dtype
    return dtype


def _expected(module: nn.Module, stored: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a module on the meta device, after its parts took the form in which a file holds them.

    A part that knows several forms, as a layer with quantised weights does, defines `adopt(names)`.
    """
    names: dict[str, list[str]] = {}
    for name in stored:
        prefix, _, leaf = name.rpartition(".")
        names.setdefault(prefix, []).append(leaf)
    for prefix, part in module.named_modules():
        adopt = getattr(part, "adopt", None)
        if callable(adopt):
            adopt(names.get(prefix, []))
    return dict(module.state_dict())


DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@contextmanager
def _open(path: str | Path) -> Iterator[Any]:
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no weights at {path}: the model directory is incomplete, fetch or convert it again")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({_first_line(error)}): fetch or convert it again"
        ) from error


def check_shapes(source: str | Path, expected: Mapping[str, Tensor], stored: Mapping[str, tuple[int, ...]]) -> None:
    """Raise one line that says what is missing, what is too much and what has another shape (three of each at most)."""
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    complaints = []
    for words, names in (
        ("missing", [name for name in shapes if name not in stored]),
        ("not in the model", [name for name in stored if name not in shapes]),
        (
            "of another shape",
            [
                f"{name} {list(stored[name])}, expected {list(shape)}"
                for name, shape in shapes.items()
                if name in stored and stored[name] != shape
            ],
        ),
    ):
        if names:
            rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
            complaints.append(f"{words}: {', '.join(names[:3])}{rest}")
    if complaints:
        raise CheckpointError(f"{source} does not match its configuration ({'; '.join(complaints)})")


def _restore_buffers(module: nn.Module, device: torch.device, dtype: torch.dtype | None) -> None:
    """Recompute the buffers that no file holds, where the module now is."""
    for name, part in module.named_modules():
        if not part._non_persistent_buffers_set:
            continue
        reset = getattr(part, "reset_buffers", None)
        assert callable(reset), f"{name} ({type(part).__name__}) has non-persistent buffers but no reset_buffers()"
        with torch.device(device):
            reset()
        for key, buffer in part._buffers.items():
            if buffer is not None and key in part._non_persistent_buffers_set:
                kind = dtype if dtype is not None and buffer.is_floating_point() else buffer.dtype
                part._buffers[key] = buffer.to(device, kind)
            assert buffer is None or not buffer.is_meta, f"{name}.{key} was not restored by reset_buffers()"


# ---- JSON ----------------------------------------------------------------------------------------------------


def read_json(path: str | Path) -> dict[str, Any]:
    """The JSON object in a file; CheckpointError if there is none."""
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no file {path}: the model directory is incomplete, fetch or convert it again"
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not readable JSON ({_first_line(error)}): fetch or convert it again"
        ) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a JSON {type(value).__name__}, expected an object")
    return value


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, indented, with a final newline."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_config(config_class: type[C], path: str | Path) -> C:
    """A validated configuration from a JSON file; the first wrong field is named in a CheckpointError."""
    return parse_config(config_class, read_json(path), path)


def parse_config(config_class: type[C], value: Mapping[str, Any], source: str | Path) -> C:
    """A validated configuration from a mapping that was read from `source`."""
    try:
        return config_class.model_validate(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or config_class.__name__
        raise CheckpointError(f"{source}: {field}: {first['msg']} (got {first['input']!r:.60})") from error


# ---- files ----------------------------------------------------------------------------------------------------


def cache_directory() -> Path:
    """Where what can be made again is kept: $CADENZA_CACHE, else the platform's place for caches."""
    if own := os.environ.get("CADENZA_CACHE"):
        return Path(own).expanduser()
    home = Path.home()
    match platform.system():
        case "Darwin":
            return home / "Library" / "Caches" / "cadenza"
        case "Windows":
            return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "cadenza" / "Cache"
        case _:
            return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "cadenza"


_hashes: dict[tuple[str, int, int], str] = {}
_NOTED_BYTES = 64 * 2**20


def weights_hash(directory: str | Path) -> str:
    """SHA-256 over the safetensors files below `directory`, names included: the identity of a model's weights."""
    directory = Path(directory)
    files = sorted(directory.rglob("*.safetensors"))
    if not files:
        raise CheckpointError(f"no safetensors files below {directory}: it is not a model directory")
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(directory).as_posix()}\0{file_hash(file)}\n".encode())
    return total.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file. That of a large one is noted in the cache, for it takes a second per gigabyte."""
    status = path.stat()
    key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
    if key not in _hashes:
        name = hashlib.sha256(repr(key).encode()).hexdigest()
        note = cache_directory() / "hashes" / name if status.st_size >= _NOTED_BYTES else None
        _hashes[key] = _noted(note) or _hash_and_note(path, note)
    return _hashes[key]


def _noted(note: Path | None) -> str | None:
    try:
        text = "" if note is None else note.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if re.fullmatch("[0-9a-f]{64}", text) else None


def _hash_and_note(path: Path, note: Path | None) -> str:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if note is not None:
        with suppress(CadenzaError), atomic_file(note) as temporary:  # without a note it is only slower
            temporary.write_text(found, encoding="ascii")
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
