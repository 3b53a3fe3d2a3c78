"""The diffusion decoder: as the original, whole or in pieces, mono or stereo, alone or in a batch."""

import itertools
import logging
from pathlib import Path

import pytest
import torch

from cadenza import Audio, CheckpointError, UserError
from cadenza.checkpoint import read_weights
from cadenza.codec.stereo import StereoCodec
from cadenza.convert.audiocraft_codec import read_codec
from cadenza.convert.multiband_diffusion import read_decoder
from cadenza.diffusion.codes import CodeFacts
from cadenza.diffusion.decoder import DiffusionDecoder
from cadenza.diffusion.settings import DiffusionSettings
from cadenza.testing import noise, tiny_codec, tiny_diffusion_decoder

PARITY = Path(__file__).parent.parent / "parity"
SHORT = DiffusionSettings(calls=2, window_seconds=0.2, context_seconds=0.1)


@pytest.fixture(scope="module")
def decoder():
    return tiny_diffusion_decoder()


def codes(frames, items=1, codebooks=4, seed=0):
    return torch.randint(0, 32, (items, codebooks, frames), generator=torch.Generator().manual_seed(seed))


def rms(x):
    return float(x.square().mean().sqrt())


# ---- as the original -------------------------------------------------------------------------------------------------


def test_agrees_with_the_original():
    """Codec and latent to 1e-4. The sound of both bands to what dropout in the second one's transformer changes, with
    which it was most likely recorded: as far from ours without as ours with dropout (0.041, ours 0.039 to 0.041)."""
    codec = read_codec(PARITY / "encodec_32khz_tiny" / "compression_state_dict.bin")
    decoder = read_decoder(PARITY / "multiband_diffusion_tiny" / "mbd_tiny_32khz.th", codec)
    oracle = read_weights(PARITY / "multiband_diffusion_tiny" / "io.safetensors")
    torch.testing.assert_close(codec.decode(oracle["codes"]), oracle["codec_decode"], atol=1e-4, rtol=0)
    torch.testing.assert_close(codec.decode_latent(oracle["codes"]), oracle["embedding"], atol=1e-4, rtol=0)
    steps = oracle["generate.step_list"].tolist()

    def generate():
        noises = iter([oracle[f"generate.noise.{i}"] for i in range(8)])
        return decoder.decode_with(oracle["embedding"], noises, steps)

    ours, theirs = generate(), oracle["generate.short_steps"]
    decoder.bands[1].unet.bottleneck.train()
    torch.manual_seed(0)
    assert rms(theirs - ours) == pytest.approx(rms(generate() - ours), rel=0.15)
    assert rms(theirs - ours) < 0.02 * rms(ours)


# ---- whole and pieces ------------------------------------------------------------------------------------------------


def test_short_clips_are_whole(decoder):
    """One item, no window: the default is the original's way, which couples a batch."""
    one = codes(12)
    made = decoder.decode(one)
    assert made.shape == (1, 1, 12 * 640)
    torch.testing.assert_close(made, decoder.decode(one, exact=True), atol=1e-6, rtol=0)


@pytest.mark.parametrize("sizes", [[3] * 9, [27], [1, 16, 0, 10]])
def test_a_stream_is_the_whole(decoder, sizes):
    wanted = decoder.decode(codes(27), seed=5, settings=SHORT)
    state = decoder.new_decode_state(5, SHORT)
    ends = [0, *itertools.accumulate(sizes)]
    parts = [decoder.decode_step(codes(27)[:, :, a:b], state, last=b == 27) for a, b in itertools.pairwise(ends)]
    assert wanted.shape == (1, 1, 27 * 640)
    assert torch.equal(torch.cat(parts, -1), wanted)


def test_windows_are_the_whole_but_for_what_networks_see_of_it(decoder):
    """Group normalisation sees a window instead of the clip; the convolutions see the same. 12 dB below the sound at
    windows of 0.2 s for these random networks (docs/diffusion.md measures longer ones)."""
    whole = decoder.decode(codes(27), match=False)
    windows = decoder.decode(codes(27), match=False, settings=SHORT)
    assert rms(windows - whole) < 0.25 * rms(whole)
    # A seam is a jump that the whole has not: compare steps where windows meet with steps elsewhere.
    jumps = (windows - whole).diff().abs()[0, 0]
    seams = torch.cat([jumps[i * 6400 - 1600 : i * 6400 + 1600] for i in (1, 2)])
    assert float(seams.max()) < 1.5 * float(jumps.max())


def test_progress_counts_calls(decoder):
    told = []
    decoder.decode(codes(27), settings=SHORT, progress=lambda done, in_all: told.append((done, in_all)))
    in_all = 2 * 2 * 3  # calls, bands, windows
    assert told == [(i + 1, in_all) for i in range(in_all)]


# ---- items and seeds -------------------------------------------------------------------------------------------------


def test_items_do_not_depend_on_their_batch(decoder):
    """Sums of other shapes differ in the last digits of float32."""
    both = decoder.decode(codes(10, items=2), seed=[3, 9])
    torch.testing.assert_close(decoder.decode(codes(10, items=2)[1:], seed=9), both[1:], atol=1e-4, rtol=0)
    assert torch.equal(decoder.decode(codes(10, items=2), seed=3), decoder.decode(codes(10, items=2), seed=[3, 4]))


def test_seeds_and_settings_count(decoder):
    made = decoder.decode(codes(10), seed=1)
    assert torch.equal(made, decoder.decode(codes(10), seed=1))
    for other in ({"seed": 2}, {"calls": 3}, {"solver": "ddim"}, {"solver": "dpm"}, {"match": False}):
        assert not torch.allclose(made, decoder.decode(codes(10), **{"seed": 1, **other}), atol=1e-4), other


def test_levels_are_the_codecs(decoder):
    made, reference = decoder.decode(codes(25)), decoder.codec.decode(codes(25))
    ours, theirs = decoder.splitter.stds(made), decoder.splitter.stds(reference)
    torch.testing.assert_close(ours.log(), theirs.log(), atol=0.3, rtol=0)  # neighbours overlap


# ---- stereo ----------------------------------------------------------------------------------------------------------


def test_equal_channels_stay_equal(decoder):
    """Both see the same noise: what is in the middle stays there."""
    twice = codes(10).repeat_interleave(2, dim=1)
    made = decoder.decode(twice, seed=4)
    assert made.shape == (1, 2, 6400)
    torch.testing.assert_close(made[:, 0], made[:, 1], atol=1e-5, rtol=0)
    torch.testing.assert_close(made[:, :1], decoder.decode(codes(10), seed=4), atol=1e-4, rtol=1e-3)


def test_balance_and_width_are_the_codecs(decoder):
    reference = StereoCodec(decoder.codec).decode(codes(25, codebooks=8))
    made = decoder.decode(codes(25, codebooks=8))
    for left, right in ((1, 0), (0, 1), (1, 1), (1, -1)):
        ours, theirs = (float((left * audio[:, 0] + right * audio[:, 1]).std()) for audio in (made, reference))
        assert ours == pytest.approx(theirs, rel=0.1)
    assert decoder.decode(codes(25, codebooks=8), exact=True).shape == made.shape


# ---- sounds that networks never heard --------------------------------------------------------------------------------


def test_silence_stays_silence(decoder, monkeypatch, caplog):
    monkeypatch.setattr(decoder.codec, "decode", lambda codes: torch.zeros(len(codes), 1, codes.shape[2] * 640))
    with caplog.at_level(logging.WARNING):
        assert not decoder.decode(codes(5), match=False).any()
        assert not decoder.decode(codes(5)).any()
    assert not caplog.records


def test_noise_for_music_is_said(decoder, monkeypatch, caplog):
    quiet = decoder.codec.decode(codes(5)) * 0.01
    monkeypatch.setattr(decoder.codec, "decode", lambda codes: quiet)
    with caplog.at_level(logging.WARNING):
        decoder.decode(codes(5))
    assert "louder than the codec's" in caplog.text


@pytest.mark.parametrize(("channels", "rate", "level"), [(1, 32000, 0.9), (2, 44100, 1e-4)])
def test_regenerate_keeps_length_level_and_channels(decoder, channels, rate, level):
    audio = noise(0.33, rate, channels, level=level)
    made = decoder.regenerate(audio, settings=SHORT)
    assert (made.sample_rate, made.samples.shape) == (rate, audio.samples.shape)
    loud, louder = (decoder.regenerate(Audio(audio.samples * gain, rate), settings=SHORT).samples for gain in (0.5, 1))
    torch.testing.assert_close(torch.from_numpy(2 * loud), torch.from_numpy(louder), atol=1e-3 * level, rtol=1e-3)


def test_regenerate_exactly(decoder):
    """As the original: no change of level, nothing matched."""
    audio = noise(0.2)
    made = decoder.regenerate(audio, exact=True, seed=3)
    wanted = decoder.decode(decoder.codec.encode(torch.from_numpy(audio.samples)[None]).codes, seed=3, match=False)
    torch.testing.assert_close(torch.from_numpy(made.samples), wanted[0, :, : audio.num_samples], atol=1e-5, rtol=0)


def test_regenerate_silence(decoder, caplog):
    audio = Audio(torch.zeros(2, 1000).numpy(), 32000)
    with caplog.at_level(logging.WARNING):
        assert not decoder.regenerate(audio).samples.any()
    assert "silent" in caplog.text
    with pytest.raises(UserError, match="no samples"):
        decoder.regenerate(Audio(torch.zeros(1, 0).numpy(), 32000))


# ---- the model directory ---------------------------------------------------------------------------------------------


def test_saved_is_loaded(decoder, tmp_path):
    decoder.save_pretrained(tmp_path / "a")
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == [
        "README.md", "band_0.safetensors", "band_1.safetensors", "codec", "config.json",
    ]  # fmt: skip
    whole = DiffusionDecoder.from_pretrained(tmp_path / "a")
    lean = DiffusionDecoder.from_pretrained(tmp_path / "a", one_band=True)
    assert whole.config == decoder.config
    assert whole.weights == lean.weights
    assert not list(lean.bands)
    wanted = whole.decode(codes(27), settings=SHORT)
    assert torch.equal(lean.decode(codes(27), settings=SHORT), wanted)
    torch.testing.assert_close(decoder.decode(codes(27), settings=SHORT), wanted, atol=1e-3, rtol=0)  # packed
    lean.save_pretrained(tmp_path / "b", torch.bfloat16)
    half = DiffusionDecoder.from_pretrained(tmp_path / "b")
    assert half.weights != whole.weights
    assert torch.equal(half.bands[1].processor.counts, decoder.bands[1].processor.counts)
    assert rms(half.decode(codes(5), match=False) - whole.decode(codes(5), match=False)) > 0


def test_damaged_directories(decoder, tmp_path):
    with pytest.raises(CheckpointError, match="no file"):
        DiffusionDecoder.from_pretrained(tmp_path)
    decoder.save_pretrained(tmp_path / "a")
    (tmp_path / "a" / "band_1.safetensors").unlink()
    with pytest.raises(CheckpointError, match="band_1"):
        DiffusionDecoder.from_pretrained(tmp_path / "a")
    decoder.save_pretrained(tmp_path / "b")
    tiny_codec(sample_rate=24000).save_pretrained(tmp_path / "b" / "codec")
    with pytest.raises(CheckpointError, match="24000 Hz"):
        DiffusionDecoder.from_pretrained(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "novel.txt").touch()
    with pytest.raises(UserError, match="something else"):
        decoder.save_pretrained(tmp_path / "c")


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: codes(4, codebooks=2), "2 codebooks for a decoder of 4"),
        (lambda: codes(4) + 40, "entries a codebook"),
        (lambda: codes(4) - 1, "codes from -1"),
        (lambda: codes(4)[:, :, :0], "at least one frame"),
        (lambda: codes(4)[:0], "nothing is there"),
    ],
)
def test_codes_of_another_codec(decoder, given, words):
    with pytest.raises(UserError, match=words) as caught:
        decoder.decode(given())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"calls": 0}, "calls = 0"),
        ({"calls": 1000}, "use 1 to 999"),
        ({"seed": [1, 2]}, "2 seeds for 1 clips"),
        ({"seed": -1}, "seed -1"),
        ({"scale": torch.ones(1, 3)}, "separate segments"),
    ],
)
def test_settings_that_cannot_be(decoder, settings, words):
    with pytest.raises(UserError, match=words):
        decoder.decode(codes(4), **settings)
    with pytest.raises(UserError, match="solver = 'euler'"):
        DiffusionSettings(solver="euler")
    with pytest.raises(UserError, match="context"):
        decoder.new_decode_state(0, DiffusionSettings(window_seconds=1, context_seconds=2))


def test_other_things_than_codes():
    for given in (torch.zeros(4, 4, dtype=torch.long), torch.zeros(1, 4, 4)):
        with pytest.raises(UserError, match="give whole numbers"):
            CodeFacts(4, 32, 50.0, 32000).rows(given)


def test_one_frame(decoder):
    made = decoder.decode(codes(1))
    assert made.shape == (1, 1, 640)
    assert made.isfinite().all()


def test_which_codecs_fit(decoder):
    decoder.check_fits(tiny_codec())
    decoder.check_fits(StereoCodec(tiny_codec()))
    with pytest.raises(UserError, match="24000 Hz"):
        decoder.check_fits(tiny_codec(sample_rate=24000))
    with pytest.raises(UserError, match="codes mean other sounds"):
        decoder.check_fits(tiny_codec(seed=1))
    with pytest.raises(UserError, match="24000 Hz"):
        DiffusionDecoder(decoder.config, tiny_codec(sample_rate=24000))


def test_too_little_memory_is_one_line(decoder, monkeypatch):
    def full(*arguments, **options):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(decoder.bands[1], "denoise", full)
    with pytest.raises(UserError, match="window_seconds") as caught:
        decoder.decode(codes(4))
    assert "\n" not in str(caught.value)
