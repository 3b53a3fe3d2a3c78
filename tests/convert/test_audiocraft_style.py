"""MusicGen-Style in audiocraft's files: every tensor of the official layout, settings there and back, MERT found."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from cadenza.checkpoint import on_meta
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.style import Style, StyleConditioner, StyleConfig
from cadenza.conditioning.text import TextConfig
from cadenza.convert.audiocraft import read_musicgen, write_musicgen
from cadenza.convert.audiocraft_codec import save_checkpoint
from cadenza.convert.audiocraft_conditions import condition_names
from cadenza.convert.audiocraft_lm import read_lm
from cadenza.convert.audiocraft_style import PICKLED_WEIGHTS, read_mert, read_style, rename_style, write_style
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CadenzaError, CheckpointError, UserError
from cadenza.loading import load
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import noise
from tiny_style import MERT_CONFIG, tiny_mert, write_published_mert

PARITY = Path(__file__).parents[1] / "parity"
PREFIX = "condition_provider.conditioners.self_wav."
OFFICIAL: dict[str, Any] = {  # the group `style` of audiocraft's configuration style2music
    "model_name": "mert",
    "transformer_scale": "default",
    "sample_rate": "${sample_rate}",
    "encodec_checkpoint": "//pretrained/facebook/encodec_32khz",
    "encodec_n_q": 3,
    "length": 3.0,
    "ds_factor": 15,
    "n_q_out": 6,
    "eval_q": 3,
    "q_dropout": True,
    "bins": 1024,
    "varying_lengths": [1.5, 4.5],
    "batch_norm": True,
    "compute_mask": True,
    "num_codebooks_lm": "${transformer_lm.n_q}",
    "ds_rate_compression": 640,
    "use_middle_of_segment": False,
    "rvq_threshold_ema_dead_code": 0.1,
}


def layout(dim: int = 512, layers: int = 8, heard: int = 768, books: int = 6, bins: int = 1024, out: int = 1536) -> Any:
    """Names and shapes of the condition's tensors, from the reference (section 5.5)."""
    shapes: dict[str, tuple[int, ...]] = {"embed.weight": (dim, heard), "embed.bias": (dim,)}
    for i in range(layers):
        shapes |= {
            f"transformer.layers.{i}.self_attn.in_proj_weight": (3 * dim, dim),
            f"transformer.layers.{i}.self_attn.out_proj.weight": (dim, dim),
            f"transformer.layers.{i}.linear1.weight": (4 * dim, dim),
            f"transformer.layers.{i}.linear2.weight": (dim, 4 * dim),
            **{f"transformer.layers.{i}.norm{n}.{leaf}": (dim,) for n in (1, 2) for leaf in ("weight", "bias")},
        }
    for k in range(books):
        book = f"rvq.vq.layers.{k}._codebook"
        shapes |= {f"{book}.inited": (1,), f"{book}.cluster_size": (bins,)}
        shapes |= {f"{book}.embed": (bins, dim), f"{book}.embed_avg": (bins, dim)}
    shapes |= {"batch_norm.running_mean": (dim,), "batch_norm.running_var": (dim,)}
    shapes |= {"batch_norm.num_batches_tracked": (), "output_proj.weight": (out, dim), "output_proj.bias": (out,)}
    return shapes


def on_paper(config: StyleConfig, dim: int = 1536) -> StyleConditioner:
    with on_meta():
        return StyleConditioner(config, dim)


# ---- names and settings ----------------------------------------------------------------------------------------------


def test_every_tensor_of_the_published_model_and_no_other() -> None:
    config = ConditioningConfig(
        dim=1536,
        conditioners={"description": TextConfig(), "self_wav": StyleConfig()},
        fuser=FuserConfig(prepend=("self_wav", "description")),
    )
    with on_meta():
        provider = ConditionProvider(config)
    state = provider.state_dict()
    found = {foreign: tuple(state[ours].shape) for ours, (foreign,) in condition_names(provider).items()}
    expected = {PREFIX + name: shape for name, shape in layout().items()}
    text = "condition_provider.conditioners.description.output_proj"
    assert found == expected | {f"{text}.weight": (1536, 768), f"{text}.bias": (1536,)}


def test_the_published_settings_are_the_defaults_there_and_back() -> None:
    conditioner = on_paper(StyleConfig())
    state = {rename_style(name): tensor for name, tensor in conditioner.state_dict().items()}
    assert StyleConfig.model_validate(read_style(OFFICIAL, state, "x")) == StyleConfig()
    assert StyleConfig.model_validate(read_style({}, state, "x")) == StyleConfig()
    assert write_style(StyleConfig()) == OFFICIAL


@pytest.mark.parametrize(
    "config",
    [
        StyleConfig(dim=256, num_layers=4, excerpt_seconds=2.0, middle=True, used_codebooks=2, num_codebooks=4),
        StyleConfig(dim=1024, num_heads=16, num_layers=24, downsample=5, quantizer_dropout=False, codebook_size=2048),
        StyleConfig(extractor="encodec", codec_codebooks=4, batch_norm=False),
    ],
    ids=["xsmall", "large", "encodec"],
)
def test_other_settings_there_and_back(config: StyleConfig) -> None:
    state = {rename_style(name): tensor for name, tensor in on_paper(config).state_dict().items()}
    assert StyleConfig.model_validate(read_style(write_style(config), state, "x")) == config
    if config.extractor == "encodec":
        assert {name for name in state if name.startswith("embed")} == {f"embed.{k}.weight" for k in range(4)}
        assert not any(name.startswith("batch_norm") for name in state)


def test_what_cannot_be_said_or_read_is_refused() -> None:
    for config in (StyleConfig(dim=64), StyleConfig(extractor_dim=1024)):
        with pytest.raises(UserError, match=r"audiocraft cannot express this style .* keep it as a Cadenza directory"):
            write_style(config)
    with pytest.raises(CheckpointError, match="is heard by 'clap': only 'mert' and 'encodec'"):
        read_style({"model_name": "clap"}, {}, "x")
    with pytest.raises(CheckpointError, match="transformer_scale is 'huge', the known ones are xsmall, default, large"):
        read_style({"transformer_scale": "huge"}, {}, "x")


# ---- files -----------------------------------------------------------------------------------------------------------

TWIN = {"dim": 256, "layers": 4, "heard": 768, "bins": 32, "out": 64}
"""The smallest that audiocraft knows, with fewer entries, for the language model of the melody oracle."""


def random_state(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    for name, shape in layout(**TWIN).items():
        draws = torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif len(shape) > 1:
            state[name] = draws / shape[-1] ** 0.5
        else:
            state[name] = 0.1 * draws + (0.0 if name.endswith(("bias", "mean")) else 1.0)
    return state


def style_files(directory: Path, **changes: Any) -> Path:
    """A directory as audiocraft distributes the style model: the official names and settings, small."""
    directory.mkdir(parents=True)
    content = read_pickle(PARITY / "musicgen_melody_tiny" / "state_dict.bin")
    state = {name: tensor for name, tensor in content["best_state"].items() if not name.startswith(PREFIX)}
    state |= {PREFIX + name: tensor for name, tensor in random_state().items()}
    settings = yaml.safe_load(content["xp.cfg"])
    own = OFFICIAL | {"transformer_scale": "xsmall", "bins": 32} | changes
    settings["conditioners"]["self_wav"] = {"model": "style", "style": own}
    save_checkpoint(directory / "state_dict.bin", state, settings)
    shutil.copy(PARITY / "encodec_32khz_tiny" / "compression_state_dict.bin", directory)
    return directory


@pytest.fixture
def find(tmp_path: Path) -> Any:
    mert = write_published_mert(tmp_path / "mert")
    places = {("t5-base", "text encoder"): PARITY / "t5_tiny", ("m-a-p/MERT-v1-95M", "style encoder"): mert}
    return lambda name, part: places[name, part]


CLIP = Style(noise(4.0, 32000), 3)


def heard(conditioning: ConditionProvider) -> Tensor:
    item = {"self_wav": CLIP, "description": "slow piano"}
    return conditioning(conditioning.prepare([item, item | {"self_wav": None}])).prefix


@torch.no_grad()
def test_a_model_in_the_official_layout_there_and_back(tmp_path: Path, find: Any) -> None:
    source = style_files(tmp_path / "source")
    model = read_musicgen(source, find, "style", "none")
    config = model.conditioning.config
    assert config.fuser.prepend == ("self_wav", "description")
    assert config.conditioners["self_wav"] == StyleConfig(dim=256, num_layers=4, codebook_size=32)
    prefix = heard(model.conditioning)
    assert prefix.shape[:2] == (
        2,
        15 + len(model.conditioning.prepare([{"description": "slow piano"}])["description"][0]),
    )
    assert not bool(prefix[1, :15].any())

    model.save_pretrained(tmp_path / "ours")
    folder = tmp_path / "ours" / "conditioning" / "style_encoder"
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    ours = MusicGen.from_pretrained(tmp_path / "ours", "cpu", "fp32")
    assert torch.equal(heard(ours.conditioning), prefix)

    write_musicgen(ours, tmp_path / "back")
    written, original = (read_pickle(one / "state_dict.bin") for one in (tmp_path / "back", source))
    assert written["best_state"].keys() == original["best_state"].keys()
    assert all(torch.equal(written["best_state"][key], tensor) for key, tensor in original["best_state"].items())
    settings, before = (yaml.safe_load(content["xp.cfg"])["conditioners"] for content in (written, original))
    assert settings["self_wav"] == before["self_wav"]
    again = read_musicgen(tmp_path / "back", lambda name, _: pytest.fail(f"{name} lies beside the files"))
    assert torch.equal(heard(again.conditioning), prefix)


@torch.no_grad()
def test_a_model_in_sixteen_bits_hears_in_float32(tmp_path: Path, find: Any) -> None:
    source = style_files(tmp_path / "source")
    content = read_pickle(source / "state_dict.bin")
    half = {name: one.half() if one.is_floating_point() else one for name, one in content["best_state"].items()}
    save_checkpoint(source / "state_dict.bin", half, yaml.safe_load(content["xp.cfg"]))
    read_musicgen(source, find).save_pretrained(tmp_path / "ours")
    exact, rounded = (
        MusicGen.from_pretrained(tmp_path / "ours", "cpu", precision).conditioning for precision in ("fp32", "bf16")
    )
    assert torch.equal(*(one.prepare([{"self_wav": CLIP}])["self_wav"][0] for one in (exact, rounded)))
    bottleneck = rounded.conditioner("self_wav").bottleneck
    assert torch.equal(bottleneck.embed.weight, half[f"{PREFIX}embed.weight"].float())
    assert rounded.conditioner("self_wav").output_projection.weight.dtype == torch.bfloat16


def test_files_that_do_not_fit_their_settings_are_refused(tmp_path: Path) -> None:
    source = style_files(tmp_path / "source", batch_norm=False) / "state_dict.bin"
    with pytest.raises(CheckpointError, match=r"holds, beyond what its configuration describes, .*batch_norm"):
        read_lm(source)
    content = read_pickle(source)
    del content["best_state"][f"{PREFIX}embed.weight"]
    save_checkpoint(source, content["best_state"], yaml.safe_load(content["xp.cfg"]))
    with pytest.raises(CheckpointError, match=r"lacks .*embed\.weight"):
        read_lm(source)


# ---- MERT ------------------------------------------------------------------------------------------------------------


def test_mert_is_read_as_published_without_running_what_comes_with_it(tmp_path: Path) -> None:
    found = read_mert(write_published_mert(tmp_path / "mert", MERT_CONFIG))
    assert found.config == MERT_CONFIG
    clip = noise(1.0, 24000)
    cpu = torch.device("cpu")
    assert torch.equal(found.extract(clip, cpu), tiny_mert().extract(clip, cpu))
    found.save_pretrained(tmp_path / "plain")
    assert torch.equal(read_mert(tmp_path / "plain").extract(clip, cpu), tiny_mert().extract(clip, cpu))


def test_a_mert_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model.safetensors or pytorch_model.bin in .*nothing"):
        read_mert(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"deepnorm is True, only False is supported"):
        read_mert(write_published_mert(tmp_path / "large", MERT_CONFIG, deepnorm=True))
    with pytest.raises(CheckpointError, match=r"does not match its configuration \(missing: encoder.layers.2"):
        read_mert(write_published_mert(tmp_path / "deep", MERT_CONFIG, num_hidden_layers=3))
    broken = write_published_mert(tmp_path / "broken", MERT_CONFIG)
    torch.save([1, 2], broken / PICKLED_WEIGHTS)
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_mert(broken)


def test_without_mert_it_says_where_to_put_it(tmp_path: Path) -> None:
    def find(name: str, part: str) -> Path:
        if part == "style encoder":
            raise CadenzaError(f"cannot download {name}: no network")
        return PARITY / "t5_tiny"

    source = style_files(tmp_path / "source")
    with pytest.raises(CadenzaError, match=r"MERT-v1-95M: no network; its files may also lie in .*/style_encoder$"):
        read_musicgen(source, find)
    write_published_mert(source / "style_encoder")
    assert read_musicgen(source, find).conditioning.prepare([{"self_wav": CLIP}])["self_wav"][0].shape == (15, 256)


def test_by_its_name_on_the_hub_it_loads_and_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def cached(repository: str) -> Path:
        """Where the Hub's cache keeps this repository's files."""
        place = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("0" * 40)
        return place / "snapshots" / ("0" * 40)

    style_files(cached("facebook/musicgen-style"))
    write_published_mert(cached("m-a-p/MERT-v1-95M"))
    shutil.copytree(PARITY / "t5_tiny", cached("google-t5/t5-base"))
    model = load("facebook/musicgen-style", "cpu", "fp32")
    assert model.generate("slow piano", 0.2, 1).samples.shape == (1, 6400)
    # Converted now: nothing of the Hub is needed any more.
    shutil.rmtree(tmp_path / "hub")
    again = load("facebook/musicgen-style", "cpu", "fp32")
    assert np.array_equal(*(one.generate("slow piano", 0.2, 1).samples for one in (model, again)))


# ---- at work ---------------------------------------------------------------------------------------------------------


def test_it_plays_what_style_and_text_ask_for_in_double_guidance(tmp_path: Path, find: Any) -> None:
    read_musicgen(style_files(tmp_path / "source"), find, "style", "none").save_pretrained(tmp_path / "ours")
    model = MusicGen.from_pretrained(tmp_path / "ours", "cpu", "fp32")
    assert model.config.style_condition == "self_wav"

    def play(text: str = "slow piano", style: Any = CLIP, beta: float | None = None) -> np.ndarray:
        settings = model.config.generation.model_copy(update={"guidance_beta": beta, "duration": 0.4})
        return model.generate(text, seed=1, style=style, config=settings).samples

    plain = play()
    assert np.array_equal(play(), plain)
    assert not np.array_equal(play(style=None), plain)
    assert not np.array_equal(play(style=CLIP._replace(start_seconds=0.5)), plain)
    assert np.array_equal(play(beta=1.0), plain)  # a beta of 1 is single guidance
    doubled = play(beta=5.0)
    assert not np.array_equal(doubled, plain)
    assert not np.array_equal(play("fast drums", beta=5.0), doubled)
    # With one of the two missing, there is nothing to weigh against it.
    assert np.array_equal(play(style=None, beta=5.0), play(style=None))
    assert np.array_equal(play("", beta=5.0), play(""))
    # In a batch each item hears its own style.
    both = model.generate(
        ["slow piano"] * 2,
        0.4,
        [1, 1],
        style=[CLIP, None],
        config=model.config.generation.model_copy(update={"guidance_beta": 5.0}),
    )
    assert np.array_equal(both[0].samples, doubled)
    assert not np.array_equal(both[1].samples, doubled)


def test_the_model_with_its_codec_for_ears_plays(tmp_path: Path, find: Any) -> None:
    """`model_name: encodec`: nothing to fetch, the model's own codec is handed over."""
    source = style_files(tmp_path / "source", model_name="encodec", encodec_n_q=3)
    content = read_pickle(source / "state_dict.bin")
    state = {name: one for name, one in content["best_state"].items() if not name.startswith(f"{PREFIX}embed.")}
    generator = torch.Generator().manual_seed(0)
    state |= {f"{PREFIX}embed.{k}.weight": torch.randn(64, 256, generator=generator) for k in range(3)}
    save_checkpoint(source / "state_dict.bin", state, yaml.safe_load(content["xp.cfg"]))
    read_musicgen(source, find).save_pretrained(tmp_path / "ours")
    assert not (tmp_path / "ours" / "conditioning" / "style_encoder").exists()
    model = MusicGen.from_pretrained(tmp_path / "ours", "cpu", "fp32")
    first, second = (model.generate("slow piano", 0.2, 1, style=one).samples for one in (CLIP, None))
    assert not np.array_equal(first, second)
