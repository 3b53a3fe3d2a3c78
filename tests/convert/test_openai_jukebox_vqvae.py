"""OpenAI's VQ-VAE: every name and shape of the official file, and what is refused."""

from pathlib import Path

import pytest
import torch

from cadenza.checkpoint import on_meta
from cadenza.convert.names import scatter
from cadenza.convert.openai_jukebox_vqvae import convert_vqvae, read_vqvae, vqvae_names
from cadenza.errors import CheckpointError
from cadenza.jukebox.vqvae import JukeboxVQVAE, JukeboxVQVAEConfig
from jukebox.vqvae_oracle import FILE, audio, recorded, tiny


def official() -> dict[str, tuple[int, ...]]:
    """The released file, written down from its description: three encoders and decoders, and three codebooks."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, *shape: int, transposed: bool = False) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = (shape[1] if transposed else shape[0],)

    for level, (width, depth) in enumerate([(64, 8), (32, 4), (32, 4)]):
        for stage, downs in enumerate((3, 2, 2)[: level + 1]):
            encoder, decoder = (f"{half}.{level}.level_blocks.{stage}.model" for half in ("encoders", "decoders"))
            conv(f"{decoder}.0", width, 64, 3)
            for i in range(downs):
                conv(f"{encoder}.{i}.0", width, (1 if stage == 0 else 64) if i == 0 else width, 4)
                conv(f"{decoder}.{i + 1}.1", width, 64 if i == downs - 1 else width, 4, transposed=True)
                for stack in (f"{encoder}.{i}.1", f"{decoder}.{i + 1}.0"):
                    for j in range(depth):
                        conv(f"{stack}.model.{j}.model.1", width, width, 3)
                        conv(f"{stack}.model.{j}.model.3", width, width, 1)
            conv(f"{encoder}.{downs}", 64, width, 3)
        conv(f"decoders.{level}.out", 1, 64, 3)
        shapes[f"bottleneck.level_blocks.{level}.k"] = (2048, 64)
    return shapes


def test_names_and_shapes_of_the_official_file() -> None:
    with on_meta():
        model = JukeboxVQVAE(JukeboxVQVAEConfig())
    found = {name: tuple(t.shape) for name, t in scatter(vqvae_names(model), model.state_dict()).items()}
    assert found == official()
    assert len(found) == 669


def test_a_file_without_hyper_parameters_is_the_released_model(tmp_path: Path) -> None:
    """Of the released files only the weights are promised. A process group's wrapper leaves its mark on names."""
    state = {f"module.{name}": torch.zeros(shape) for name, shape in official().items()}
    torch.save({"model": state}, tmp_path / "vqvae.pth.tar", _use_new_zipfile_serialization=False)
    assert read_vqvae(tmp_path / "vqvae.pth.tar").config == JukeboxVQVAEConfig()


def test_a_converted_model_directory_makes_the_same_codes(tmp_path: Path) -> None:
    convert_vqvae(FILE, tmp_path / "model")
    assert {file.name for file in (tmp_path / "model").iterdir()} == {"config.json", "model.safetensors"}
    model = JukeboxVQVAE.from_pretrained(tmp_path / "model")
    assert model.config == tiny().config
    assert torch.equal(model.encode(audio("wav"), [0])[0], recorded()["codes.level0"])


def test_what_the_file_says_of_itself_counts(tmp_path: Path) -> None:
    content = torch.load(FILE, weights_only=True)
    content["hps"] |= {"sr": 22050, "dilation_growth_rate": 2, "dilation_cycle": 1}
    torch.save(content, tmp_path / "x.pth.tar")
    config = read_vqvae(tmp_path / "x.pth.tar").config
    assert (config.sample_rate, config.dilation_growth, config.dilation_cycle) == (22050, 2, 1)


def test_other_files_are_refused(tmp_path: Path) -> None:
    content, path = torch.load(FILE, weights_only=True), tmp_path / "x.pth.tar"

    def refused(message: str, **changes: object) -> None:
        torch.save(content | changes, path)
        with pytest.raises(CheckpointError, match=message):
            read_vqvae(path)

    weights = content["model"]
    refused("no weights under 'model'", model=3)
    refused("holds no codebooks", model={"prior.x_out.weight": torch.zeros(1)})
    refused("only 2 is supported", hps=content["hps"] | {"strides_t": (2, 4, 2)})
    refused("lacks decoders.0.out.bias", model={n: t for n, t in weights.items() if n != "decoders.0.out.bias"})
    refused("its configuration lacks 'encoders.0", model={n: t for n, t in weights.items() if "encoders.0" not in n})
    refused("of another shape", model=weights | {"bottleneck.level_blocks.1.k": torch.zeros(64, 8)})
    path.write_bytes(FILE.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="truncated"):
        read_vqvae(path)
