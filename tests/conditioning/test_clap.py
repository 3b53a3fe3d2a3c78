"""CLAP as a condition: sentences, sounds and vectors become one vector each."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cadenza.audio import Audio
from cadenza.checkpoint import on_meta
from cadenza.conditioning.clap import ClapConditioner, ClapConfig
from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.errors import UserError
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import DIM as TINY_DIM
from cadenza.testing import noise, tiny_codec, tiny_lm, tone
from tiny_clap import DIM, write_tiny_clap

RATE = 48000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clap(tmp_path_factory.mktemp("clap"))


def conditioner(folder: Path | None = None, **changes: Any) -> ClapConditioner:
    torch.manual_seed(0)
    part = ClapConditioner(ClapConfig(**({"dim": DIM, "num_codebooks": 3, "codebook_size": 8} | changes)), 24).eval()
    if folder is not None:
        part.attach(ClapEncoder.from_pretrained(folder))
    return part


@torch.no_grad()
def test_a_sentence_is_its_tower_then_the_codebooks_then_the_projection(folder: Path) -> None:
    part = conditioner(folder)
    features = part.prepare(["slow piano"])
    assert torch.equal(features[0], part.encoder.encode_text(["slow piano"], 77))
    condition = part(features)
    assert condition.embedding.shape == (1, 1, 24)
    assert condition.mask.tolist() == [[True]]
    books = [book.embed for book in part.quantizer.layers]
    left = F.normalize(features[0][0], dim=0)
    total = torch.zeros(DIM)
    for book in books:
        chosen = book[torch.cdist(left[None], book)[0].argmin()]
        left, total = left - chosen, total + chosen
    torch.testing.assert_close(condition.embedding[0, 0], part.output_projection(total))


@torch.no_grad()
def test_a_long_sound_is_the_mean_over_its_windows(folder: Path) -> None:
    """12.5 s are three windows; the half second behind them is not heard."""
    part = conditioner(folder)
    sound = noise(12.5, RATE)
    wave = torch.from_numpy(sound.samples[0])
    windows = torch.stack([wave[start * RATE : (start + 10) * RATE] for start in range(3)])
    expected = part.encoder.encode_windows(windows).mean(0, keepdim=True)
    assert torch.equal(part.prepare([sound])[0], expected)
    assert not torch.allclose(expected[0], part.encoder.encode_windows(windows[:1])[0], atol=1e-3)
    assert torch.equal(part.prepare([sound.slice(0, 12.0)])[0], expected)


@torch.no_grad()
def test_any_rate_and_channels_are_heard(folder: Path) -> None:
    part = conditioner(folder)
    other = tone(440, 2.0, 32000, channels=2)
    expected = part.encoder.encode_windows(torch.from_numpy(other.with_channels(1).resample(RATE).samples))
    assert torch.equal(part.prepare([other])[0], expected)


@torch.no_grad()
def test_a_batch_equals_its_items_and_nothing_is_exactly_zero(folder: Path) -> None:
    part = conditioner(folder)
    torch.nn.init.ones_(part.output_projection.bias)
    values = ["slow piano", None, tone(440, 1.0, RATE), "", torch.randn(4, DIM), "rock", "slow piano"]
    features = part.prepare(values)
    together = part(features)
    assert together.mask[:, 0].tolist() == [True, False, True, False, True, True, True]
    assert not bool(together.embedding[~together.mask].any())
    assert part.null() is None
    for row, value in enumerate(values):
        alone = part(part.prepare([value]))
        # Two sentences share a padded batch: float32 sums in another order, then the nearest of few entries.
        torch.testing.assert_close(together.embedding[row], alone.embedding[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_unit_length_comes_before_the_codebooks_and_can_be_left_out() -> None:
    vector = torch.randn(1, DIM)
    part = conditioner()
    assert torch.equal(part([vector]).embedding, part([vector * 8]).embedding)  # a power of two: no rounding
    plain = conditioner(quantize=False)
    torch.testing.assert_close(
        plain([vector]).embedding[0], plain.output_projection(vector / vector.norm()), atol=1e-6, rtol=1e-5
    )
    assert plain.quantizer is None
    raw = conditioner(quantize=False, normalize=False)
    torch.testing.assert_close(raw([vector]).embedding[0], raw.output_projection(vector))


@torch.no_grad()
def test_vectors_of_windows_computed_elsewhere_are_averaged() -> None:
    part = conditioner()
    vectors = torch.randn(3, DIM)
    assert torch.equal(part.prepare([vectors])[0], vectors.mean(0, keepdim=True))
    assert part(part.prepare([vectors])).embedding.shape == (1, 1, 24)


def test_training_moves_the_codebooks_and_reaches_the_projection() -> None:
    part = conditioner(num_codebooks=2, codebook_size=4).train()
    before = part.quantizer.layers[0].embed.clone()
    values = [*part.prepare([torch.randn(1, DIM) for _ in range(12)]), None]
    condition = part(values)
    condition.embedding.square().sum().backward()
    assert part.output_projection.weight.grad.abs().sum() > 0
    assert bool(part.quantizer.layers[0].inited)
    assert not torch.equal(part.quantizer.layers[0].embed, before)
    assert not bool(condition.embedding[-1].any())
    moved = part.quantizer.layers[0].embed.clone()
    part.eval()(values)
    assert torch.equal(part.quantizer.layers[0].embed, moved)


@torch.no_grad()
def test_codes_are_chosen_in_float32(folder: Path) -> None:
    part = conditioner(folder, num_codebooks=8, codebook_size=256)
    features = part.prepare(["slow piano"])
    exact = part(features).embedding
    part.to(torch.bfloat16)
    half = part(features)
    assert half.embedding.dtype == torch.bfloat16
    assert torch.equal(part.prepare(["slow piano"])[0], features[0])
    # bfloat16 rounds the entries and the projection to 8 bits; a few of the nearest change, the sum hardly does.
    torch.testing.assert_close(half.embedding.float(), exact, atol=0.05, rtol=0.05)


@pytest.mark.gpu
@torch.no_grad()
def test_on_cuda_it_is_the_same_but_for_rounding(folder: Path) -> None:
    values = ["slow piano", tone(440, 1.0, RATE)]
    part, other = conditioner(folder), conditioner(folder).to("cuda")
    for one, two in zip(part.prepare(values), other.prepare(values), strict=True):
        torch.testing.assert_close(two.cpu(), one, atol=1e-3, rtol=0)  # unit vectors, through two towers in float32
    assert other(other.prepare(values)).embedding.device.type == "cuda"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, r"a int \(3\) is no condition: give a sentence or a recording \(Audio\)"),
        (Path("hum.wav"), "hum.wav"),
        (np.zeros(4), "a ndarray"),
        (Audio(np.zeros((1, RATE)), RATE), "silent for 1 s: give one that sounds, or a sentence"),
        (Audio(np.array([[0.5], [-0.5]]).repeat(RATE, 1), RATE), "silent for 1 s"),  # as one channel
        (Audio(np.ones((2, 900)), RATE), r"lasts 0\.0187 s \(900 samples\): give at least 0\.021 s"),
        (Audio(np.ones((1, 0)), RATE), r"\(0 samples\)"),
        ("abcdef" * 20, "has 122 tokens, at most 77 fit: shorten it"),
        (torch.zeros(1, DIM), "points nowhere"),
        (torch.zeros(1, DIM + 1), rf"\[1, {DIM + 1}\] is no condition: give \[length, {DIM}\], or a sentence or"),
        (torch.full((1, DIM), torch.nan), "holds NaN"),
        (torch.ones(1, DIM, dtype=torch.int64), "whole numbers"),
    ],
    ids=str,
)
def test_bad_values_are_refused(folder: Path, value: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        conditioner(folder).prepare([value])


def test_long_sentences_are_cut_where_that_is_configured(folder: Path) -> None:
    part = conditioner(folder, truncate=True)
    assert torch.equal(part.prepare(["abcdef" * 20])[0], part.prepare(["abcdef" * 12 + "abc"])[0])


def test_towers_that_are_missing_or_do_not_fit_are_named(folder: Path) -> None:
    part = conditioner()
    with pytest.raises(UserError, match="no CLAP encoder: put one into the folder 'clap_encoder'"):
        part.prepare(["rock"])
    assert part.prepare([None, ""]) == [None, None]
    with pytest.raises(UserError, match=rf"{DIM} wide, the model expects 512"):
        conditioner(dim=512).attach(ClapEncoder.from_pretrained(folder))
    with pytest.raises(UserError, match="hears 10 s at once, not 12 s"):
        conditioner(window_seconds=12).attach(ClapEncoder.from_pretrained(folder))


def test_the_official_configuration() -> None:
    """Section 5.4 of the reference: 512 dimensions, 12 codebooks of 1024 entries, one projection (medium: 1536)."""
    with on_meta():
        part = ClapConditioner(ClapConfig(), 1536)
    shapes = {name: tuple(tensor.shape) for name, tensor in part.state_dict().items()}
    expected: dict[str, tuple[int, ...]] = {
        "output_projection.weight": (1536, 512),
        "output_projection.bias": (1536,),
    }
    for k in range(12):
        expected |= {
            f"quantizer.layers.{k}.inited": (1,),
            f"quantizer.layers.{k}.cluster_size": (1024,),
            f"quantizer.layers.{k}.embed": (1024, 512),
            f"quantizer.layers.{k}.embed_avg": (1024, 512),
        }
    assert shapes == expected


@torch.no_grad()
def test_a_provider_keeps_its_towers_in_their_own_folder(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ConditioningConfig(
        dim=24,
        conditioners={"description": ClapConfig(dim=DIM, num_codebooks=3, codebook_size=8)},
        fuser=FuserConfig(cross=("description",)),
    )
    provider = ConditionProvider(config).eval()
    provider.save_pretrained(tmp_path / "bare")
    assert not (tmp_path / "bare" / "clap_encoder").exists()
    provider.conditioner("description").attach(ClapEncoder.from_pretrained(folder))
    provider.save_pretrained(tmp_path / "whole")
    assert sorted(path.relative_to(tmp_path / "whole").as_posix() for path in (tmp_path / "whole").rglob("*.*")) == [
        "clap_encoder/config.json",
        "clap_encoder/model.safetensors",
        "clap_encoder/preprocessor_config.json",
        "clap_encoder/tokenizer.json",
        "config.json",
        "model.safetensors",
    ]
    loaded = ConditionProvider.from_pretrained(tmp_path / "whole")
    items = [{"description": "slow piano"}, {"description": tone(440, 1.0, RATE)}, {}]
    assert torch.equal(loaded(loaded.prepare(items)).cross, provider(provider.prepare(items)).cross)
    bare = ConditionProvider.from_pretrained(tmp_path / "bare")
    vectors = loaded.prepare(items)
    assert torch.equal(bare(vectors).cross, loaded(vectors).cross)
    with pytest.raises(UserError, match="no CLAP encoder"):
        bare.prepare(items)


def test_a_small_model_plays_what_is_said(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    config = ConditioningConfig(
        dim=TINY_DIM,
        conditioners={"description": ClapConfig(dim=DIM, codebook_size=64)},
        fuser=FuserConfig(cross=("description",)),
    )
    provider = ConditionProvider(config)
    torch.nn.init.normal_(provider.conditioner("description").output_projection.weight)  # so that it makes a difference
    provider.conditioner("description").attach(ClapEncoder.from_pretrained(folder))
    model = MusicGen(tiny_codec(), tiny_lm(), provider)
    said = [model.generate(text, 0.2, 1).samples for text in ("slow piano", "an old man hums a tune", "")]
    assert not np.array_equal(said[0], said[1])
    assert not np.array_equal(said[0], said[2])
    long = model.generate("abcdef " * 11 + "abcdef", 0.2, 1).samples
    assert "the prompt has 85 tokens, 77 fit: using the first 10 of 12 words" in caplog.text
    assert np.array_equal(model.generate(" ".join(["abcdef"] * 10), 0.2, 1).samples, long)
    with pytest.raises(UserError, match="write it in UTF-8"):
        model.generate("\ud800", 0.2, 1)
    model.save_pretrained(tmp_path / "model")
    again = MusicGen.from_pretrained(tmp_path / "model", "cpu")
    # Loading packs the weights: the same codes, rounded otherwise.
    np.testing.assert_allclose(again.generate("slow piano", 0.2, 1).samples, said[0], atol=1e-4)
