"""Mono to a stereo start: what the reference copies, and what follows from it."""

from pathlib import Path

import pytest
import torch
import yaml

from cadenza.checkpoint import on_meta
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.text import TextConfig
from cadenza.convert.formats import read_model, write_model
from cadenza.convert.stereo import stereo_start
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import UserError
from cadenza.lm.model import LM, LMConfig
from cadenza.lm.patterns import CoarseFirstConfig, DelayConfig, ParallelConfig, PatternConfig
from cadenza.nn.linear import num_weights, quantize_linears
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import tiny_codec, tiny_conditioning, tiny_lm, tiny_musicgen


def official(dim: int, layers: int, melody: bool) -> MusicGen:
    """A published mono model, shapes alone."""
    conditioning = ConditioningConfig(dim=dim)
    if melody:
        conditioning = ConditioningConfig(
            dim=dim,
            conditioners={"description": TextConfig(), "self_wav": ChromaConfig()},
            fuser=FuserConfig(prepend=("self_wav", "description")),
        )
    lm = LMConfig(dim=dim, num_layers=layers, num_heads=dim // 64, feed_forward_dim=4 * dim, cross_attention=not melody)
    with on_meta():
        return MusicGen(EnCodec(EnCodecConfig()), LM(lm), ConditionProvider(conditioning))


# Reference, section 4.1.
@pytest.mark.parametrize(
    ("dim", "layers", "melody", "mono", "stereo"),
    [
        (1024, 24, False, 420_371_456, 437_152_768),
        (1536, 48, False, 1_838_737_920, 1_863_909_888),
        (2048, 48, False, 3_256_956_928, 3_290_519_552),
        (1536, 48, True, 1_385_625_600, 1_410_797_568),
        (2048, 48, True, 2_451_480_576, 2_485_043_200),
    ],
)
def test_official_sizes(dim: int, layers: int, melody: bool, mono: int, stereo: int) -> None:
    model = official(dim, layers, melody)
    start = stereo_start(model)
    counts = [num_weights(one.lm) + num_weights(one.conditioning) for one in (model, start)]
    assert counts == [mono, stereo]
    assert start.lm.config.pattern == DelayConfig(delays=(0, 0, 1, 1, 2, 2, 3, 3))
    assert start.lm.config.num_codebooks == start.codec.num_codebooks == 8


def test_weights_are_those_of_the_reference_in_its_own_files(tmp_path: Path) -> None:
    """`emb.k` and `linears.k` are those of mono `k // 2`; everything else is as it was."""
    model = tiny_musicgen()
    write_model(model, tmp_path / "mono", "audiocraft")
    write_model(stereo_start(model), tmp_path / "stereo", "audiocraft")
    mono, stereo = (read_pickle(tmp_path / name / "state_dict.bin") for name in ("mono", "stereo"))
    before, after = mono["best_state"], stereo["best_state"]
    assert len(after) == len(before) + 8
    for name, tensor in after.items():
        part, _, rest = name.partition(".")
        if part in ("emb", "linears"):
            k, _, leaf = rest.partition(".")
            name = f"{part}.{int(k) // 2}.{leaf}"
        assert torch.equal(tensor, before[name]), name
    settings = yaml.safe_load(stereo["xp.cfg"])
    assert settings["channels"] == 2
    assert settings["interleave_stereo_codebooks"]["use"] is True
    assert settings["transformer_lm"]["n_q"] == 8
    assert settings["codebooks_pattern"]["delay"]["delays"] == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("form", ["cadenza", "audiocraft", "transformers"])
def test_it_plays_is_saved_and_loaded(form: str, tmp_path: Path) -> None:
    start = stereo_start(tiny_musicgen())
    assert start.config.name == "tiny (stereo start)"
    write_model(start, tmp_path / "start", form)
    again = read_model(tmp_path / "start")
    assert isinstance(again.codec, StereoCodec)
    one, other = (model.generate("slow piano", 0.3, 1).samples for model in (start, again))
    assert one.shape == (2, 9600)
    # Loading packs the weights, whose products sum in another order; measured 1e-6 on audio of size 3.
    torch.testing.assert_close(torch.from_numpy(one), torch.from_numpy(other), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_left_and_right_begin_alike() -> None:
    """Equal heads: one distribution for both channels. So greedy music is mono, and drawn music is not."""
    start = stereo_start(tiny_musicgen())
    codes = torch.randint(32, (2, 8, 9), generator=torch.Generator().manual_seed(0))
    sequence, _ = start.lm.pattern.build(codes, start.lm.config.special_token)
    logits = start.lm(sequence)
    assert torch.equal(logits[:, 0::2], logits[:, 1::2])
    greedy = start.generate("slow piano", 0.3, 1, greedy=True).samples
    # Two rows of one batch through the codec; measured 1e-6 on audio of size 3.
    torch.testing.assert_close(torch.from_numpy(greedy[0]), torch.from_numpy(greedy[1]), atol=1e-5, rtol=1e-5)
    drawn = start.generate("slow piano", 0.3, 1).samples
    assert abs(drawn[0] - drawn[1]).max() > 0.01 * abs(drawn).max()


@torch.no_grad()
def test_the_same_codes_on_both_sides_are_twice_the_mono_input() -> None:
    """So with embeddings halved the start says, for such codes, what the mono model says."""
    model = tiny_musicgen()
    start = stereo_start(model)
    codes = torch.randint(32, (2, 4, 9), generator=torch.Generator().manual_seed(0))
    sequence, _ = model.lm.pattern.build(codes, model.lm.config.special_token)
    twice, _ = start.lm.pattern.build(codes.repeat_interleave(2, 1), start.lm.config.special_token)
    assert torch.equal(twice, sequence.repeat_interleave(2, 1))
    expected = model.lm(sequence)
    for embedding in start.lm.embeddings:
        embedding.weight.mul_(0.5)
    # Eight halves are summed in another order than four wholes: measured 2e-6 on logits of size 6.
    torch.testing.assert_close(start.lm(twice)[:, 0::2], expected, atol=2e-5, rtol=1e-5)
    assert torch.equal(model.lm(sequence), expected)  # its embeddings are its own


def test_one_step_of_training_tells_left_from_right() -> None:
    """Each channel has weights of its own, and the mono model's embeddings and heads stay as they are."""
    model = tiny_musicgen()
    before = {name: tensor.clone() for name, tensor in model.lm.state_dict().items()}
    lm = stereo_start(model).lm.train()
    codes = torch.randint(32, (4, 8, 9), generator=torch.Generator().manual_seed(0))
    logits, mask = lm.logits_for_codes(codes)
    torch.nn.functional.cross_entropy(logits[mask], codes[mask]).backward()
    assert all(parameter.grad is not None for parts in (lm.embeddings, lm.heads) for parameter in parts.parameters())
    torch.optim.SGD([*lm.embeddings.parameters(), *lm.heads.parameters()], 0.1).step()
    for parts in (lm.embeddings, lm.heads):
        assert all(not torch.equal(parts[k].weight, parts[k + 1].weight) for k in range(0, 8, 2))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.lm.state_dict().items())


@torch.no_grad()
def test_a_packed_model_gives_the_same_start() -> None:
    plain, packed = tiny_musicgen(), tiny_musicgen()
    packed.pack()
    one, other = (stereo_start(model).lm.state_dict() for model in (plain, packed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def with_pattern(pattern: PatternConfig) -> MusicGen:
    lm = tiny_lm()
    other = LM(lm.config.model_copy(update={"pattern": pattern}))
    other.load_state_dict(lm.state_dict())
    return MusicGen(tiny_codec(), other, tiny_conditioning())


def test_other_patterns() -> None:
    assert stereo_start(with_pattern(DelayConfig.partial(4))).lm.config.pattern == DelayConfig.stereo_partial(8)
    assert stereo_start(with_pattern(ParallelConfig())).generate("x", 0.1, 1).samples.shape[0] == 2


def test_what_cannot_be_is_refused_in_one_line() -> None:
    quantized = tiny_musicgen()
    quantize_linears(quantized.lm, "int8")
    two_channels = with_pattern(DelayConfig())
    two_channels.codec = EnCodec(EnCodecConfig(channels=2, num_codebooks=4, codebook_size=32))
    for model, message in (
        (tiny_musicgen(stereo=True), "tiny is in stereo already: a stereo start is made of a mono model"),
        (two_channels, "is in stereo already"),
        (quantized, "tiny has weights in int8, which cannot be trained"),
        (with_pattern(CoarseFirstConfig()), "coarse_first pattern has no stereo form"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            stereo_start(model)
        assert "\n" not in str(caught.value)
