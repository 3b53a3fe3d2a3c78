"""Streams: equal to the whole, early to begin, and gone without a trace when nobody listens."""

import gc
import itertools
import math
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from cadenza import Audio
from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.codec.stereo import StereoCodec
from cadenza.pipelines import streaming
from cadenza.pipelines.musicgen import MusicGen
from cadenza.pipelines.streaming import Decoder, Piece, decode_stream, piece_sizes
from cadenza.testing import noise, tiny_codec, tiny_conditioning, tiny_lm, tiny_musicgen

HOP = 640
DELAY = 3  # steps from a frame's first codebook to its last


def spectral_codec() -> EnCodec:
    half = SpectralConfig(dim=16, num_layers=2, fast_dim=8, fast_layers=2)
    config = EnCodecConfig(num_codebooks=4, codebook_size=32, latent_dim=16, encoder=half, decoder=half)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return EnCodec(config).eval()


CODECS = {
    "seanet": tiny_codec,
    "spectral": spectral_codec,
    "stereo": lambda: StereoCodec(tiny_codec()),
    "spectral stereo": lambda: StereoCodec(spectral_codec()),
}


@pytest.fixture(scope="module", params=CODECS)
def codec(request) -> Codec:
    return CODECS[request.param]()


@pytest.fixture(scope="module", params=CODECS)
def music(request) -> MusicGen:
    codec = CODECS[request.param]()
    return MusicGen(codec, tiny_lm(num_codebooks=codec.num_codebooks), tiny_conditioning())


@pytest.fixture(scope="module")
def mono() -> MusicGen:
    return tiny_musicgen()


@pytest.fixture(scope="module")
def six_seconds(mono: MusicGen) -> Audio:
    return mono.generate("harp", 6.0, 5)


def some_codes(codec: Codec, frames: int) -> Tensor:
    return torch.randint(32, (2, codec.num_codebooks, frames), generator=torch.Generator().manual_seed(0))


def joined(codec: Codec, parts: Iterator[Tensor] | tuple[Tensor, ...], num_samples: int) -> Tensor:
    return torch.cat(list(decode_stream(codec, parts, num_samples)), dim=2)


def first_size(codec: Codec) -> int:
    return next(piece_sizes(codec))


# ---- equal to the whole -------------------------------------------------------------------------------------


def test_pieces_begin_small_and_grow_to_a_second(codec):
    sizes = list(itertools.islice(piece_sizes(codec), 7))
    assert sizes == [5 + math.ceil(codec.lookahead_frames), 10, 20, 40, 50, 50, 50]


@pytest.mark.parametrize("num_samples", [1, HOP, 20 * HOP - 1, 173 * HOP])
def test_streamed_decoding_is_one_shot_decoding(codec, num_samples):
    codes = some_codes(codec, -(-num_samples // HOP))
    audio = joined(codec, codes.split(1, dim=2), num_samples)
    # 1e-5: convolutions over pieces add in another order
    torch.testing.assert_close(audio, codec.decode(codes)[..., :num_samples], atol=1e-5, rtol=1e-5)


def test_how_the_codes_arrive_makes_no_difference(codec):
    codes = some_codes(codec, 173)
    whole = joined(codec, (codes,), 173 * HOP)
    for cut in ([1, 50, 51, 7, 64], [0, 3, 170], [1] * 173):
        assert torch.equal(joined(codec, codes.split(cut, dim=2), 173 * HOP), whole)


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("pieces", [1, 2])
def test_codes_that_end_early_are_all_heard(codec, pieces, extra):
    """Just before, at and just behind a cut: what the codec kept back is flushed each time."""
    frames = sum(itertools.islice(piece_sizes(codec), pieces)) + extra
    codes = some_codes(codec, frames)
    audio = joined(codec, codes.split(1, dim=2), 10_000_000)
    torch.testing.assert_close(audio, codec.decode(codes), atol=1e-5, rtol=1e-5)


def test_no_codes_no_sound(codec):
    assert list(decode_stream(codec, [], 1000)) == []


@pytest.mark.parametrize("duration", [0.3, 1.001, 2.02])
@pytest.mark.parametrize("prompted", [False, True])
def test_a_stream_is_the_whole(music, duration, prompted):
    prompt = noise(0.25) if prompted else None
    chunks = list(music.stream("harp", duration, 5, prompt=prompt))
    whole = music.generate("harp", duration, 5, prompt=prompt)
    assert np.array_equal(Audio.concatenate(chunks).samples, whole.samples)
    assert whole.num_samples == round(duration * 32000)
    assert whole.channels == music.codec.channels


def test_no_piece_is_longer_than_a_second(mono):
    lengths = [chunk.duration_seconds for chunk in mono.stream("harp", 4.0, 5)]
    assert 0.1 <= lengths[0] < 0.13  # and a part of a frame that the codec's lookahead leaves
    assert max(lengths) <= 1.0 + mono.codec.lookahead_frames * HOP / 32000


# ---- early --------------------------------------------------------------------------------------------------


def test_the_first_piece_comes_with_its_last_frame(codec):
    taken = []
    parts = (taken.append(part) or part for part in some_codes(codec, 100).split(1, dim=2))
    audio = next(decode_stream(codec, parts, 100 * HOP))
    assert len(taken) == first_size(codec)
    assert audio.shape[2] >= 0.1 * 32000


def test_the_first_sound_takes_the_fewest_steps(music):
    steps = []
    stream = music.stream("harp", 4.0, 5, progress=lambda made, total: steps.append(made))
    next(stream)
    delay = max(music.lm.config.pattern.delays)
    assert len(steps) == first_size(music.codec) + delay


def test_an_audio_prompt_is_heard_before_the_first_step(mono):
    steps = []
    stream = mono.stream("x", 2.0, 5, prompt=noise(1.0), progress=lambda made, total: steps.append(made))
    assert next(stream).duration_seconds >= 0.1
    assert not steps


# ---- nobody listens -----------------------------------------------------------------------------------------


def test_a_consumer_that_stops_reading_stops_the_work(mono):
    steps = []
    stream = mono.stream("harp", 30.0, 5, progress=lambda made, total: steps.append(made))
    threads = threading.enumerate()
    next(stream)
    before = len(steps)
    next(stream)
    # Between two pieces of 5 and 10 frames lie 10 steps: nothing ran ahead meanwhile.
    assert len(steps) - before == 10
    assert threading.enumerate() == threads


@pytest.mark.parametrize("how", ["close", "forget", "raise"])
@pytest.mark.parametrize("chunks", [1, 3])
def test_an_abandoned_stream_leaves_nothing_behind(mono, monkeypatch, how, chunks):
    decoders, closed = [], []

    class Watched(Decoder):
        def __init__(self, codec: Codec) -> None:
            super().__init__(codec)
            decoders.append(weakref.ref(self))

    steps = type(mono.lm)

    def watch(original):
        def new_cache(self, *args):
            cache = original(self, *args)
            closed.append(weakref.ref(cache))
            return cache

        return new_cache

    monkeypatch.setattr(streaming, "Decoder", Watched)
    monkeypatch.setattr(steps, "new_cache", watch(steps.new_cache))
    threads = threading.enumerate()
    stream = mono.stream("harp", 30.0, 5)
    for _ in range(chunks):
        next(stream)
    assert decoders[0]() is not None
    assert closed[0]() is not None
    if how == "close":
        stream.close()
        assert next(stream, None) is None
    elif how == "raise":
        with pytest.raises(KeyboardInterrupt):
            stream.throw(KeyboardInterrupt())
    del stream
    gc.collect()
    assert [ref() for ref in decoders + closed] == [None] * len(decoders + closed)
    assert threading.enumerate() == threads


def test_an_error_of_the_model_surfaces_once(codec):
    def codes() -> Iterator[Tensor]:
        yield some_codes(codec, first_size(codec))
        raise RuntimeError("no memory")

    stream = decode_stream(codec, codes(), 1_000_000)
    assert next(stream).shape[2] > 0
    with pytest.raises(RuntimeError, match="no memory"):
        next(stream)
    assert next(stream, None) is None


def test_an_error_of_the_codec_ends_the_model(codec, monkeypatch):
    ended = []

    def codes() -> Iterator[Tensor]:
        try:
            yield from some_codes(codec, 100).split(1, dim=2)
        finally:
            ended.append(True)

    def fail(*_: object) -> Tensor:
        raise RuntimeError("no memory")

    monkeypatch.setattr(type(codec), "decode_step", fail)
    stream = decode_stream(codec, codes(), 100 * HOP)
    with pytest.raises(RuntimeError, match="no memory"):
        next(stream)
    assert next(stream, None) is None
    gc.collect()
    assert ended == [True]


@pytest.mark.parametrize("stop_after", [1, 2, 4, 8, 9, 10, 11, 12, 20, 21, 22, 60])
def test_stopping_at_any_step_keeps_what_is_made(mono, stop_after):
    def made(function) -> list[Audio]:
        steps = []
        result = function(
            "x", 2.0, 3, progress=lambda *_: steps.append(0), should_stop=lambda: len(steps) >= stop_after
        )
        return [result] if isinstance(result, Audio) else list(result)

    (whole,) = made(mono.generate)
    assert whole.num_samples == max(0, stop_after - DELAY) * HOP
    chunks = [chunk.samples for chunk in made(mono.stream)]
    assert np.array_equal(np.concatenate([whole.samples[:, :0], *chunks], axis=1), whole.samples)


# ---- decoding beside the language model ---------------------------------------------------------------------


class LateEvent:
    """An event of CUDA that happens at the `wait`th question, or when somebody waits for it."""

    def __init__(self, wait: int) -> None:
        self.wait = wait

    def query(self) -> bool:
        self.wait -= 1
        return self.wait < 0

    def synchronize(self) -> None:
        self.wait = 0


@pytest.mark.parametrize("wait", [0, 1, 7, 1000])
def test_pieces_that_finish_late_come_in_order_and_are_not_too_many(mono, six_seconds, monkeypatch, wait):
    """What CUDA does, on a CPU: pieces are handed over between steps once they are done."""
    most = []

    class Late(Decoder):
        def start(self, codes: Tensor, last: bool) -> None:
            super().start(codes, last)
            self.under_way.append(Piece(self.under_way.pop().audio, LateEvent(wait)))

        def finished(self, most_under_way: int) -> Iterator[Tensor]:
            yield from super().finished(most_under_way)
            most.append(len(self.under_way))

    monkeypatch.setattr(streaming, "Decoder", Late)
    steps = []
    stream = mono.stream("harp", 6.0, 5, progress=lambda *_: steps.append(0))
    chunks = [next(stream)]
    first = first_size(mono.codec) + DELAY
    # Two questions follow the step that starts a piece, one every other; a piece that is never done is waited for when
    # the second after it has started.
    assert len(steps) == (first + max(0, wait - 1) if wait < 10 else first + 10 + 20)
    chunks += stream
    assert np.array_equal(Audio.concatenate(chunks).samples, six_seconds.samples)
    assert max(most) <= streaming.MOST_UNDER_WAY
    assert most[-1] == 0


@pytest.mark.gpu
def test_cuda_decodes_beside_the_model(codec):
    reference = joined(codec, (some_codes(codec, 173),), 173 * HOP)
    codec = codec.to("cuda")
    try:
        codes = some_codes(codec, 173).to("cuda")
        audio = joined(codec, codes.split(1, dim=2), 173 * HOP)
        assert audio.device.type == "cpu"
        assert not audio.is_pinned()
        assert torch.equal(audio, joined(codec, (codes,), 173 * HOP))
        # 1e-2: TF32 convolutions and phases that follow the largest of nearly equal peaks; noise differs by 1
        assert float((audio - reference).pow(2).mean() / reference.pow(2).mean()) < 1e-2
        stream = decode_stream(codec, codes.split(1, dim=2), 173 * HOP)
        next(stream)
        stream.close()  # kernels may still run: their memory must outlive them
        assert torch.equal(audio, joined(codec, (codes,), 173 * HOP))
    finally:
        codec.to("cpu")
