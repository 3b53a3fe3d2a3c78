"""The pickle reader: equal to torch on honest files, deaf to all others."""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from cadenza.convert.unpickle import Inert, read_pickle
from cadenza.errors import CheckpointError


def equal(a: Any, b: Any) -> bool:
    if isinstance(b, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(b, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


def honest() -> dict[str, Any]:
    torch.manual_seed(0)
    base = torch.randn(6, 4)
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    return {
        "state": module.state_dict(),
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "kinds": [
            torch.arange(7).to(kind)
            for kind in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16)
        ],
        "bytes": [torch.arange(5, dtype=torch.uint8), torch.arange(5, dtype=torch.int8), torch.tensor([True, False])],
        "views": (base[2:4, 1:], base.t(), torch.empty(0, 3), torch.tensor(1.5), torch.ones(1).expand(1, 1)),
        "plain": OrderedDict(
            a=1, b=-(2**70), c=1.5, d="二胡", e=None, f=b"\x00\xff", g=True, h=[(), {}], i=torch.Size([2])
        ),
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_honest_files_read_as_torch_reads_them(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "honest.bin"
    torch.save(honest(), path, _use_new_zipfile_serialization=zipped)
    expected = honest()
    expected["plain"]["i"] = (2,)
    expected["parameter"] = expected["parameter"].data
    assert equal(read_pickle(path), expected)


def test_shared_values_stay_shared_and_cycles_end(tmp_path: Path) -> None:
    tensor, shared = torch.ones(3), [1]
    tree: dict[str, Any] = {"a": tensor, "b": tensor, "c": shared, "d": shared}
    tree["self"] = tree
    torch.save(tree, tmp_path / "x.bin")
    read = read_pickle(tmp_path / "x.bin")
    assert read["a"] is read["b"]
    assert read["c"] is read["d"]
    assert read["self"] is read


def test_writing_to_what_was_read_leaves_the_file_alone(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(4)}, tmp_path / "x.bin")
    read_pickle(tmp_path / "x.bin")["a"].fill_(1.0)
    assert equal(read_pickle(tmp_path / "x.bin"), {"a": torch.zeros(4)})


# ---- hostile files: each would leave the file `witness` behind -----------------------------------------------------


def as_zip(path: Path, stream: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", stream)
        archive.writestr("x/data/0", bytes(64))
        archive.writestr("x/version", "3\n")


def as_legacy(path: Path, stream: bytes) -> None:
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    path.write_bytes(b"".join(parts) + stream + pickle.dumps([], 2))


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def attacks(witness: Path) -> dict[str, bytes]:
    shell, code = f"touch {witness}", f"open({str(witness)!r}, 'w').close()"
    text = code.encode()
    nested = Call(getattr, Call(__import__, "os"), "system")
    return {
        "posix.system": pickle.dumps({"best_state": Call(os.system, shell)}, 2),
        "__builtin__.eval": pickle.dumps([Call(eval, code)], 2),
        "builtins.exec": pickle.dumps(Call(exec, code), 4),
        "__builtin__.getattr": pickle.dumps({"a": nested}, 2),
        "os.system": b"cos\nsystem\n(V" + shell.encode() + b"\ntR.",
        "subprocess.Popen": b"(S'" + b"touch " + bytes(witness) + b"'\nisubprocess\nPopen\n.",  # INST
        "builtins.eval": b"(cbuiltins\neval\nV" + text + b"\no.",  # OBJ
        "builtins.compile": b"\x80\x04\x8c\x08builtins\x8c\x07compile\x93.",  # STACK_GLOBAL
        "torch.load": b"ctorch\nload\n(V" + bytes(witness) + b"\ntR.",
        "collections.OrderedDict.__init__": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
        "torch._utils._rebuild_tensor_v2.__globals__": b"\x80\x04\x8c\x0ctorch._utils\x8c\x1e"
        b"_rebuild_tensor_v2.__globals__\x93.",
    }


@pytest.mark.parametrize("container", [as_zip, as_legacy])
@pytest.mark.parametrize("name", list(attacks(Path("/x"))))
def test_a_hostile_file_is_refused_by_name_and_runs_nothing(tmp_path: Path, name: str, container: Any) -> None:
    witness = tmp_path / "witness"
    container(tmp_path / "model.bin", attacks(witness)[name])
    with pytest.raises(CheckpointError, match="refused") as caught:
        read_pickle(tmp_path / "model.bin")
    assert name in str(caught.value)
    assert str(tmp_path / "model.bin") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not witness.exists()


def test_the_attacks_are_real(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    for name in ("posix.system", "__builtin__.eval", "os.system"):
        pickle.loads(attacks(witness)[name])
        assert witness.exists(), name
        witness.unlink()


@pytest.mark.parametrize(
    "stream",
    [
        # Change what a later step would call: a constructor's attributes, a class, an OrderedDict's method.
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x06\x00\x00\x00_buildNs\x86b.",
        b"\x80\x02ccollections\nOrderedDict\nN}X\x05\x00\x00\x00itemsNs\x86b.",
        b"\x80\x02ctorch\nFloatStorage\n)R.",
        b"\x80\x02X\x03\x00\x00\x00abc)R.",
        # Tensors out of bounds, negative, absurd, malformed.
        *(
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR."
            for storage in [
                b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x10tQ"
            ]
            for arguments in (
                storage + b"K\x0fK\x02\x85K\x01\x85\x89N",  # offset 15, 2 elements
                storage + b"J\xff\xff\xff\xffK\x02\x85K\x01\x85\x89N",  # offset -1
                storage + b"K\x00J\xff\xff\xff\x7f\x85K\x00\x85\x89N",  # two thousand million overlapping elements
                storage + b"K\x00K\x02\x85)\x89N",  # more sizes than strides
                storage + b"K\x00X\x01\x00\x00\x00a\x85K\x01\x85\x89N",  # a size that is a string
                b"NK\x00K\x02\x85K\x01\x85\x89N",  # no storage
            )
        ),
        b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x009X\x03\x00\x00\x00cpuK\x10tQ.",
        b"\x80\x02X\x04\x00\x00\x00evilQ.",
        b"",
        b"garbage",
        b"(" * 5000 + b"t" * 5000 + b".",
    ],
)
def test_malformed_streams_are_one_clear_line(tmp_path: Path, stream: bytes) -> None:
    as_zip(tmp_path / "model.bin", stream)
    with pytest.raises(CheckpointError) as caught:
        read_pickle(tmp_path / "model.bin")
    assert str(tmp_path / "model.bin") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_overwritten_method_of_a_dictionary_is_not_called(tmp_path: Path) -> None:
    # OrderedDict([("a", 1)]) with its attribute `items` set to a constructor
    stream = b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00aK\x01u}X\x05\x00\x00\x00itemsctorch\nSize\nsb."
    as_zip(tmp_path / "model.bin", stream)
    assert read_pickle(tmp_path / "model.bin") == {"a": 1}


# ---- broken files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(tmp_path: Path, zipped: bool, share: float) -> None:
    path = tmp_path / "model.bin"
    torch.save({"best_state": {"a": torch.randn(500)}}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CheckpointError, match=r"model\.bin is truncated or not a PyTorch checkpoint"):
        read_pickle(path)


def test_other_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    with pytest.raises(CheckpointError, match="no file"):
        read_pickle(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hi")
    with pytest.raises(CheckpointError, match=r"without data\.pkl"):
        read_pickle(path)
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(10_000))
    with pytest.raises(CheckpointError, match="compressed"):
        read_pickle(path)
    as_zip(path, pickle.dumps({}, 2))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x/byteorder", "big")
    with pytest.raises(CheckpointError, match="big-endian"):
        read_pickle(path)


def test_a_storage_longer_than_its_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    torch.save({"a": torch.randn(8)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    at = len(content) - 8 * 4 - 8
    assert struct.unpack("<q", content[at : at + 8]) == (8,)
    path.write_bytes(content[:at] + struct.pack("<q", 2**60) + content[at + 8 :])
    with pytest.raises(CheckpointError, match="truncated"):
        read_pickle(path)


def test_named_classes_can_be_read_as_notes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pickle.dump({"path": Path("a/b"), "call": Call(os.system, "true"), "kind": complex}, buffer, 2)
    as_zip(tmp_path / "x.bin", buffer.getvalue())
    names = frozenset({"pathlib.PosixPath", "posix.system", "builtins.complex", "__builtin__.complex"})
    read = read_pickle(tmp_path / "x.bin", names)
    assert isinstance(read["path"], Inert)
    assert (read["path"].name, read["path"].arguments) == ("pathlib.PosixPath", ("a", "b"))
    assert (read["call"].name, read["call"].arguments) == ("posix.system", ("true",))
    assert isinstance(read["kind"], Inert)
