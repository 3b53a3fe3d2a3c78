"""OpenAI's priors: every name, shape and count of the published files, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cadenza.checkpoint import on_meta, weight_shapes
from cadenza.convert.openai_jukebox_prior import (
    RELEASED,
    convert_prior,
    openai_prior,
    prior_config,
    read_prior,
    released_settings,
)
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError, UserError
from cadenza.jukebox.prior import Prior
from jukebox_priors import LEVEL_1, LYRICS_BESIDE, PARITY, TOP, oracle

# Unique parameters and entries of the files: reference, sections 0 and 3.9.
COUNTS = {
    "upsampler_level_0": (981_298_176, 1006),
    "upsampler_level_1": (981_298_176, 1006),
    "5b": (5_060_452_800, 872),
    "5b_lyrics": (5_640_506_800, 1194),
    "1b_lyrics": (942_643_200, 872),
}


def stack(prefix: str, depth: int, width: int, inner: int, cross: tuple[int, ...] = ()) -> dict[str, tuple[int, ...]]:
    """The layers of a stack, as section 3.9 of the reference lists them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number in range(depth):
        layer = f"{prefix}._attn_mods.{number}"
        queries = inner if number in cross else 3 * inner
        linears = {"attn.c_attn": (width, queries), "attn.c_proj": (inner, width)}
        linears |= {"mlp.c_fc": (width, width), "mlp.c_proj": (width, width)}
        if number in cross:
            linears["attn.c_enc_kv"] = (width, 2 * inner)
        for name, (into, out) in linears.items():
            shapes |= {f"{layer}.{name}.w": (into, out), f"{layer}.{name}.b": (out,)}
        for norm in ("ln_0", "ln_1"):
            shapes |= {f"{layer}.{norm}.weight": (width,), f"{layer}.{norm}.bias": (width,)}
    return shapes


def published(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file."""
    width, vocabulary, length = {
        "1b_lyrics": (2048, 2127, 6528),
        "5b": (4800, 2048, 8192),
        "5b_lyrics": (4800, 2048, 8192),
    }.get(name, (1920, 2048, 8192))
    genres, artists, bins = (604, 7898, 64) if name == "1b_lyrics" else (120, 4111, 128)
    shapes: dict[str, tuple[int, ...]] = {
        "prior.x_emb.weight": (vocabulary, width),
        "prior.x_out.weight": (vocabulary, width),
        "prior.pos_emb.pos_emb": (length, width),
        "y_emb.bow_genre_emb.emb.weight": (genres, width),
        "y_emb.artist_emb.emb.weight": (artists, width),
    }
    cross = tuple(range(18, 79, 10)) if name == "5b_lyrics" else ()
    shapes |= stack("prior.transformer", 79 if cross else 72, width, width // 4, cross)
    if "upsampler" not in name:
        for table in ("total_length", "absolute_pos", "relative_pos"):
            shapes[f"y_emb.{table}_emb.emb.weight"] = (bins, width)
    else:
        block = "conditioner_blocks.0"
        shapes |= {f"{block}.x_emb.weight": (2048, width), f"{block}.ln.weight": (width,), f"{block}.ln.bias": (width,)}
        shapes |= {f"{block}.cond.model.0.weight": (1024, width, 3), f"{block}.cond.model.0.bias": (1024,)}
        for up, out in ((1, 1024), (2, width)):
            for depth in range(16):
                inner = f"{block}.cond.model.{up}.0.blocks.{depth}.model"
                shapes |= {f"{inner}.1.weight": (1024, 1024, 3), f"{inner}.3.weight": (1024, 1024, 1)}
                shapes |= {f"{inner}.1.bias": (1024,), f"{inner}.3.bias": (1024,)}
            shapes |= {f"{block}.cond.model.{up}.1.weight": (1024, out, 4), f"{block}.cond.model.{up}.1.bias": (out,)}
    if name == "5b_lyrics":
        shapes |= stack("prime_prior.transformer", 18, 1280, 320)
        shapes |= {"prime_prior.start_token": (1, 1280), "prime_prior.x_emb.weight": (80, 1280)}
        shapes |= {"prime_prior.pos_emb.pos_emb": (512, 1280), "prime_x_out.weight": (80, 4800)}
        shapes |= {"prime_state_proj.w": (1280, 4800), "prime_state_proj.b": (4800,)}
        shapes |= {"prime_state_ln.weight": (4800,), "prime_state_ln.bias": (4800,)}
    return shapes


@pytest.mark.parametrize("name", RELEASED)
def test_published_priors_have_these_names_and_shapes(name: str) -> None:
    with on_meta():
        prior = Prior(prior_config(RELEASED[name], name))
    state, found = prior.state_dict(), {}
    for ours, (theirs,) in openai_prior(prior).items():
        shape = tuple(state[ours].shape)
        found[theirs] = shape[::-1] if theirs.endswith(".w") else shape
    found["prior.x_out.weight"] = found["prior.x_emb.weight"]  # a copy, where the head is tied
    assert found == published(name)
    assert (sum(parameter.numel() for parameter in prior.parameters()), len(found)) == COUNTS[name]


def test_published_windows() -> None:
    """Seconds of sound in a window: reference, section 0."""
    seconds = {name: prior_config(RELEASED[name], name).window_samples / 44100 for name in RELEASED}
    assert {name: round(value, 2) for name, value in seconds.items()} == {
        "upsampler_level_0": 1.49,
        "upsampler_level_1": 5.94,
        "5b": 23.78,
        "5b_lyrics": 23.78,
        "1b_lyrics": 17.83,
    }


def test_a_model_directory_holds_the_same_prior(tmp_path: Path) -> None:
    convert_prior(PARITY / LYRICS_BESIDE / "prior.pth.tar", tmp_path / "prior")
    stored = weight_shapes(tmp_path / "prior" / "model.safetensors")
    assert stored["transformer.layers.18.attention.source_projection.weight"] == ((24, 48), "F16")
    assert stored["transformer.layers.18.attention.source_projection.bias"] == ((24,), "F32")
    again, expected = Prior.from_pretrained(tmp_path / "prior"), oracle(LYRICS_BESIDE).prior
    assert again.config == expected.config
    assert all(torch.equal(again.state_dict()[name], value) for name, value in expected.state_dict().items())


def edited(tmp_path: Path, name: str, **changes: Any) -> Path:
    """A file with other settings; `model` takes changes of tensors, None for those to leave out."""
    content = read_pickle(PARITY / name / "prior.pth.tar")
    for key, value in changes.pop("model", {}).items():
        content["model"][key] = value
    content["model"] = {key: value for key, value in content["model"].items() if value is not None}
    content["hps"] = content["hps"] | changes if changes.get("hps", True) is not None else None
    torch.save(content, tmp_path / "x.pth.tar")
    return tmp_path / "x.pth.tar"


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (TOP, {"res_scale": True}, "res_scale is True, only False is supported"),
        (TOP, {"attn_order": 5}, "attention order 5 is unknown"),
        (TOP, {"level": 3}, "is of level 3: the VQ-VAE has levels 0 to 2"),
        (TOP, {"prior_depth": 47}, "holds, beyond what its configuration describes, prior.transformer._attn_mods.47"),
        (TOP, {"t_bins": 17}, r"of another shape: timing.total_length.table.weight \[16, 32\], expected \[17, 32\]"),
        (TOP, {"blocks": 7}, "do not make 7 equal rows"),
        (TOP, {"n_vocab": 81}, "malformed|lacks"),
        (TOP, {"model": {"prior.x_out.weight": torch.zeros(143, 32)}}, "its head is not its embedding"),
        (TOP, {"model": {"prior.x_emb.weight": None}}, "lacks prior.x_emb.weight"),
        (TOP, {"hps": None}, "holds no settings: say which model"),
        (LEVEL_1, {"cond_width": 21}, "of another shape: conditioner.stage"),
        (LEVEL_1, {"model": {"module.conditioner_blocks.0.ln.bias": None}}, "lacks conditioner_blocks.0.ln.bias"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_prior(edited(tmp_path, name, **changes))
    assert "\n" not in str(caught.value)


def test_settings_can_be_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lacks prior\.transformer\._attn_mods\.48"):
        read_prior(edited(tmp_path, TOP, hps=None), "1b_lyrics")
    torch.save({"state": {}}, tmp_path / "x.pth.tar")
    with pytest.raises(CheckpointError, match="is no Jukebox checkpoint: it has no model"):
        read_prior(tmp_path / "x.pth.tar")


@pytest.mark.parametrize("name", RELEASED)
def test_a_published_prior_is_known_by_its_shape(name: str) -> None:
    settings = RELEASED[name]
    lyrics = settings["n_tokens"] if settings.get("single_enc_dec") else 0
    rows = 2048 + (settings["n_vocab"] if lyrics else 0)
    state = {f"prior.transformer._attn_mods.{i}.ln_0.bias": torch.empty(0) for i in range(settings["prior_depth"])}
    state["prior.x_emb.weight"] = torch.empty(rows, settings["prior_width"], device="meta")
    state["prior.pos_emb.pos_emb"] = torch.empty(settings["n_ctx"] + lyrics, settings["prior_width"], device="meta")
    assert released_settings(state, settings["level"]) is settings
    assert released_settings(state, settings["level"] + 1) in (None, RELEASED["upsampler_level_1"])
    del state["prior.transformer._attn_mods.3.ln_0.bias"]
    assert released_settings(state, settings["level"]) is None
