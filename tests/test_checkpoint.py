"""The model directory: what is saved is what is loaded, and what is broken is named."""

import errno
import hashlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import nn

from cadenza import checkpoint
from cadenza.checkpoint import Config, Pretrained, RestingWeights, read_json, weights_hash, write_json
from cadenza.errors import CadenzaError, CheckpointError
from cadenza.files import atomic_file


class BlockConfig(Config):
    dim: int = Field(6, description="Width.")
    kind: str = Field("plain", description="A word.")


class Block(nn.Module, Pretrained):
    """A linear layer, persistent statistics and a table that no file holds."""

    config_class = BlockConfig
    table: torch.Tensor

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.dim, config.dim)
        self.norm = nn.BatchNorm1d(config.dim)
        self.reset_buffers()

    def reset_buffers(self) -> None:
        self.register_buffer("table", torch.arange(self.config.dim) / 2.0, persistent=False)


@pytest.fixture
def block(tmp_path: Path) -> Block:
    torch.manual_seed(0)
    block = Block(BlockConfig(dim=5))
    block.norm.num_batches_tracked.fill_(3)
    block.save_pretrained(tmp_path / "model")
    return block


def test_save_then_load_is_bit_equal(block: Block, tmp_path: Path) -> None:
    loaded = Block.from_pretrained(tmp_path / "model")
    assert loaded.config == block.config
    assert not loaded.training
    for name, tensor in block.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert torch.equal(loaded.table, block.table)
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert sorted(os.listdir(tmp_path / "model")) == ["config.json", "model.safetensors"]


def test_a_loaded_model_can_be_trained_and_saved_over_its_own_file(block: Block, tmp_path: Path) -> None:
    loaded = Block.from_pretrained(tmp_path / "model")
    with torch.no_grad():
        loaded.linear.weight.add_(1.0)
    on_disk = load_file(tmp_path / "model" / "model.safetensors")["linear.weight"]
    assert torch.equal(on_disk, block.linear.weight)  # the mapping is private: writing to memory leaves the file alone
    loaded.save_pretrained(tmp_path / "model")
    again = Block.from_pretrained(tmp_path / "model")
    assert torch.equal(again.linear.weight, block.linear.weight + 1.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_dtype_converts_floating_point_tensors_only(block: Block, tmp_path: Path, dtype: torch.dtype) -> None:
    loaded = Block.from_pretrained(tmp_path / "model", dtype=dtype)
    assert torch.equal(loaded.linear.weight, block.linear.weight.to(dtype))
    assert loaded.table.dtype == dtype
    assert loaded.norm.num_batches_tracked.dtype == torch.int64

    block.save_pretrained(tmp_path / "small", dtype=dtype)
    assert Block.from_pretrained(tmp_path / "small").linear.weight.dtype == dtype
    assert Block.from_pretrained(tmp_path / "small", dtype=torch.float32).linear.weight.dtype == torch.float32


def test_a_buffer_without_recipe_is_our_mistake(tmp_path: Path, block: Block) -> None:
    class Forgetful(Block):
        reset_buffers = None  # type: ignore[assignment]

        def __init__(self, config: BlockConfig) -> None:
            nn.Module.__init__(self)
            self.config = config
            self.linear = nn.Linear(config.dim, config.dim)
            self.norm = nn.BatchNorm1d(config.dim)
            self.register_buffer("table", torch.zeros(2), persistent=False)

    with pytest.raises(AssertionError, match="reset_buffers"):
        Forgetful.from_pretrained(tmp_path / "model")


def test_names_and_shapes_are_strict(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "model" / "model.safetensors"
    state = load_file(path)
    cases = {
        "missing: linear.bias": {name: value for name, value in state.items() if name != "linear.bias"},
        "not in the model: extra": {**state, "extra": torch.zeros(1)},
        r"linear.bias \[9\], expected \[5\]": {**state, "linear.bias": torch.zeros(9)},
        "linear.bias is torch.int64": {**state, "linear.bias": torch.zeros(5, dtype=torch.int64)},
    }
    for message, wrong in cases.items():
        save_file(wrong, path)
        with pytest.raises(CheckpointError, match=message) as caught:
            Block.from_pretrained(tmp_path / "model")
        assert "\n" not in str(caught.value)


def test_ignored_prefixes_may_be_present(block: Block, tmp_path: Path) -> None:
    class Encoder(Block):
        ignored_weights = ("decoder.",)

    path = tmp_path / "model" / "model.safetensors"
    save_file({**load_file(path), "decoder.weight": torch.zeros(2)}, path)
    assert torch.equal(Encoder.from_pretrained(tmp_path / "model").linear.weight, block.linear.weight)


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_truncated_weights_are_named(block: Block, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated or not a safetensors file") as caught:
        Block.from_pretrained(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_missing_parts_are_named(block: Block, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model directory at .*nowhere"):
        Block.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no weights at .*model\.safetensors"):
        Block.from_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no file .*config\.json"):
        Block.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable JSON"),
        ("[1]", "holds a JSON list"),
        ("\xff", "not readable JSON"),
        ('{"dim": "wide"}', r"config\.json: dim: .*'wide'"),
        ('{"dims": 4}', r"config\.json: dims: Extra inputs"),
    ],
)
def test_a_wrong_config_is_one_clear_line(block: Block, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "model" / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=message) as caught:
        Block.from_pretrained(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_configs_are_frozen_and_complete() -> None:
    with pytest.raises(ValueError, match="frozen"):
        BlockConfig().dim = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="Extra"):
        BlockConfig(size=3)  # type: ignore[call-arg]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CadenzaError, match=r"cannot write .*model\.safetensors: .*No space left"):
        Block(BlockConfig()).save_pretrained(tmp_path / "model")
    with pytest.raises(CadenzaError, match=r"cannot write .*config\.json: .*No space left"):
        write_json(tmp_path / "model" / "config.json", {"a": 1})
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == before


def test_a_full_disk_is_one_line_for_pickles_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 12416 vs 12304")

    monkeypatch.setattr(torch, "save", fail)
    with (
        pytest.raises(CadenzaError, match="the disk is full or failing"),
        atomic_file(tmp_path / "x.bin") as temporary,
    ):
        checkpoint.write_pickle(temporary, {})
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(CadenzaError, match=r"cannot write .*file/x\.json"):
        write_json(tmp_path / "file" / "x.json", {})


def test_json_keeps_every_script(tmp_path: Path) -> None:
    value = {"prompt": "二胡 🎻", "number": 0.1}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == value


def test_the_hash_follows_the_weights_and_nothing_else(block: Block, tmp_path: Path) -> None:
    first = weights_hash(tmp_path)
    assert first == weights_hash(tmp_path)
    (tmp_path / "model" / "config.json").write_text("{}")
    assert weights_hash(tmp_path) == first
    block.linear.bias.data[0] += 1
    block.save_pretrained(tmp_path / "model")
    assert weights_hash(tmp_path) != first
    with pytest.raises(CheckpointError, match="no safetensors files"):
        weights_hash(tmp_path / "model" / "none")


def test_the_hash_of_a_large_file_is_noted_until_it_changes(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoint, "_NOTED_BYTES", 0)
    monkeypatch.setattr(checkpoint, "_hashes", {})
    first = weights_hash(tmp_path / "model")
    (note,) = (tmp_path / "cache" / "hashes").iterdir()
    checkpoint._hashes.clear()  # as in another process
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", None)
        assert weights_hash(tmp_path / "model") == first
    note.write_text("damaged")
    checkpoint._hashes.clear()
    assert weights_hash(tmp_path / "model") == first
    block.linear.bias.data[0] += 1
    block.save_pretrained(tmp_path / "model")
    assert weights_hash(tmp_path / "model") != first


MEASURE = """
    import re, sys, torch
    from pathlib import Path
    from cadenza.checkpoint import Config, Pretrained
    from torch import nn

    class WideConfig(Config):
        layers: int = 50

    class Wide(nn.Module, Pretrained):
        config_class = WideConfig
        def __init__(self, config):
            super().__init__()
            self.config = config
            self.layers = nn.ModuleList(nn.Linear(1024, 1024) for _ in range(config.layers))

    def memory(field):  # kB; the peak of this process alone
        return int(re.search(field + r":\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))

    if sys.argv[2] == "save":
        Wide(WideConfig()).save_pretrained(sys.argv[1])
    else:
        dtype = {"None": None, "bfloat16": torch.bfloat16}[sys.argv[3]]
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = memory("VmRSS")
        wide = Wide.from_pretrained(sys.argv[1], dtype=dtype)
        total = sum(float(layer.weight.double().sum()) for layer in wide.layers)  # touch every page
        print(memory("VmHWM") - before, total)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak memory from Linux's /proc")
@pytest.mark.parametrize("dtype", ["None", "bfloat16"])
def test_loading_holds_at_most_1_2_copies_of_the_weights(tmp_path: Path, dtype: str) -> None:
    def measure(*arguments: str) -> str:
        script = [sys.executable, "-c", textwrap.dedent(MEASURE), str(tmp_path), *arguments]
        return subprocess.run(script, check=True, capture_output=True, text=True).stdout

    measure("save")
    size = (tmp_path / "model.safetensors").stat().st_size
    stored = size if dtype == "None" else size // 2
    peak = int(measure("load", dtype).split()[0]) * 1024
    # One weight in double precision for the sum (8 MiB) is ours, not the loader's.
    assert peak - 8 * 2**20 < 1.2 * stored, f"{peak / stored:.2f} copies"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_resting_weights_give_memory_back(tmp_path: Path) -> None:
    def resident_mb() -> float:
        return int(Path("/proc/self/status").read_text().split("RssFile:")[1].split()[0]) / 1024

    Block(BlockConfig(dim=2000)).save_pretrained(tmp_path)  # 16 MB
    block = Block.from_pretrained(tmp_path).requires_grad_(False)
    expected = block.linear.weight.sum()
    weights = RestingWeights(block, tmp_path / "model.safetensors")
    before = resident_mb()
    for _ in range(2):
        assert torch.equal(block.linear.weight.sum(), expected)
        touched = resident_mb()
        weights.rest()
        assert touched - before > 14
        assert resident_mb() - before < 2


@pytest.mark.parametrize("change", ["trained", "written", "converted"])
def test_weights_that_change_do_not_rest(tmp_path: Path, block: Block, change: str) -> None:
    loaded = Block.from_pretrained(tmp_path / "model").requires_grad_(False)
    weights = RestingWeights(loaded, tmp_path / "model" / "model.safetensors")
    if change == "trained":
        loaded.requires_grad_(True)
        torch.optim.SGD(loaded.parameters(), 0.1)
    elif change == "converted":
        loaded.double()
    with torch.no_grad():
        loaded.linear.weight.fill_(7)
    weights.rest()
    assert bool((loaded.linear.weight == 7).all())
    assert torch.equal(loaded.norm.weight.float(), block.norm.weight)
