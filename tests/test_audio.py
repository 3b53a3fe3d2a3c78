"""Audio: what is read is what was written, and every bad input is told in one line."""

import errno
import io
import json
import os
import resource

import numpy as np
import pytest
import soundfile

from cadenza.audio import FORMATS, Audio, WavStream
from cadenza.errors import CadenzaError, UserError


def noise(channels: int = 1, num_samples: int = 32000, sample_rate: int = 32000, **metadata: object) -> Audio:
    rng = np.random.default_rng(0)
    return Audio((0.1 * rng.normal(size=(channels, num_samples))).astype(np.float32), sample_rate, metadata)


def tone(sample_rate: int = 32000, seconds: float = 1.0, channels: int = 1, **metadata: object) -> Audio:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * sample_rate)) / sample_rate)
    return Audio(np.repeat(wave[None], channels, axis=0), sample_rate, metadata)


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    return str(error)


# --------------------------------------------------------------------------------------------------- files, both ways


@pytest.mark.parametrize("extension", [".wav", ".flac"])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossless_round_trip(tmp_path, extension, channels):
    audio = noise(channels)
    read = Audio.read(audio.write(tmp_path / f"x{extension}", loudness_lufs=None))
    assert (read.sample_rate, read.channels, read.num_samples) == (32000, channels, 32000)
    np.testing.assert_allclose(
        read.samples, audio.samples, atol=1 / 32768
    )  # half a 16-bit step and the scale's 1/32768


@pytest.mark.parametrize("extension", [".ogg", ".opus", ".mp3"])
def test_lossy_formats_keep_the_sound(tmp_path, extension):
    audio = tone(channels=2)
    read = Audio.read(audio.write(tmp_path / f"x{extension}", loudness_lufs=None))
    assert read.sample_rate == (48000 if extension == ".opus" else 32000)
    assert read.channels == 2
    assert read.duration_seconds == pytest.approx(1.0, abs=0.06)  # MP3 pads to whole frames of 36 ms
    spectrum = np.abs(np.fft.rfft(read.samples[0]))
    assert np.argmax(spectrum) * read.sample_rate / read.num_samples == pytest.approx(440, abs=2)


@pytest.mark.parametrize("extension", list(FORMATS))
def test_metadata_round_trips(tmp_path, extension):
    metadata = {
        "prompt": 'a "slow" waltz 🎹 чардаш',
        "seed": 7,
        "settings": {"top_k": 250, "guidance": 3.0},
        "none": None,
    }
    path = tone(**metadata).write(tmp_path / f"x{extension}")
    assert Audio.read(path).metadata == metadata


@pytest.mark.parametrize("extension", [".wav", ".flac", ".ogg", ".mp3"])
def test_long_metadata_round_trips(tmp_path, extension):
    metadata = {"codes": "x" * 100_001}
    read = Audio.read(tone(**metadata).write(tmp_path / f"x{extension}"))
    assert read.metadata == metadata
    assert read.num_samples >= 32000


def test_metadata_too_long_for_the_format_says_where_to_go(tmp_path):
    with pytest.raises(UserError, match=r"too many for this format; write \.flac"):
        tone(codes="x" * 200_000).write(tmp_path / "x.opus")
    assert not list(tmp_path.iterdir())


def test_a_foreign_comment_is_kept(tmp_path):
    with soundfile.SoundFile(tmp_path / "x.flac", "w", 8000, 1) as file:
        file.comment = "recorded on a Tuesday"
        file.write(np.zeros(100))
    assert Audio.read(tmp_path / "x.flac").metadata == {"comment": "recorded on a Tuesday"}


@pytest.mark.parametrize("extension", [".wav", ".flac"])
def test_same_audio_same_file(tmp_path, extension):
    first = noise(prompt="x").write(tmp_path / f"a{extension}").read_bytes()
    assert first == noise(prompt="x").write(tmp_path / f"b{extension}").read_bytes()


@pytest.mark.parametrize("extension", [".ogg", ".opus", ".mp3"])
def test_same_audio_same_decoded_samples(tmp_path, extension):  # an Ogg stream carries a random serial number
    first, second = (Audio.read(noise().write(tmp_path / f"{name}{extension}")) for name in "ab")
    np.testing.assert_array_equal(first.samples, second.samples)


def test_long_vorbis_is_written(tmp_path):  # one large write overflows the encoder's stack
    assert Audio.read(noise(2, 3_000_000).write(tmp_path / "x.ogg", None)).num_samples == 3_000_000


def test_read_a_part(tmp_path):
    audio = noise(num_samples=64000)
    path = audio.write(tmp_path / "x.flac", loudness_lufs=None)
    part = Audio.read(path, start_seconds=0.5, duration_seconds=0.25)
    np.testing.assert_array_equal(part.samples, Audio.read(path).samples[:, 16000:24000])
    assert Audio.read(path, start_seconds=1.5, duration_seconds=10).num_samples == 16000


def test_write_makes_the_folder(tmp_path):
    assert tone().write(tmp_path / "new" / "deep" / "x.wav").is_file()


def test_write_clips_instead_of_wrapping(tmp_path):
    loud = Audio(np.array([[1.5, -1.5, 0.0, 2.0]], np.float32), 8000)
    read = Audio.read(loud.write(tmp_path / "x.wav", loudness_lufs=None))
    np.testing.assert_allclose(read.samples, [[1, -1, 0, 1]], atol=1e-4)


def test_write_brings_the_loudness(tmp_path):
    assert Audio.read(tone(48000, 2.0).write(tmp_path / "x.wav")).loudness_lufs() == pytest.approx(-14, abs=0.05)


# -------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.wav", None, "no such file"),
        ("empty.wav", b"", "empty"),
        ("text.wav", b"this is no sound" * 10, "not audio that can be read"),
        ("x.raw", b"\0" * 1000, "not audio that can be read"),
        ("riff.wav", b"RIFF\x24\0\0\0WAVE", "not audio that can be read"),
    ],
)
def test_no_audio(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        Audio.read(path)
    assert name in one_line(caught.value)


def test_a_directory_is_no_audio(tmp_path):
    with pytest.raises(UserError, match="is a directory"):
        Audio.read(tmp_path)


@pytest.mark.parametrize("extension", [".wav", ".flac"])
def test_truncated(tmp_path, extension):
    path = noise(num_samples=320000).write(tmp_path / f"x{extension}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"cut short|damaged") as caught:
        Audio.read(path)
    assert path.name in one_line(caught.value)


def test_wav_from_a_pipe_promises_no_length(tmp_path):
    content = bytearray(noise().write(tmp_path / "x.wav").read_bytes())
    at = content.index(b"data")
    content[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    (tmp_path / "pipe.wav").write_bytes(content)
    assert Audio.read(tmp_path / "pipe.wav").num_samples == 32000


def test_zero_samples(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(0), 32000)
    with pytest.raises(UserError, match="holds no sound"):
        Audio.read(tmp_path / "x.wav")


def test_nan_in_a_file(tmp_path):
    samples = np.zeros(1000, np.float32)
    samples[17] = np.nan
    soundfile.write(tmp_path / "x.wav", samples, 32000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"x\.wav: the audio is not a number at sample 17"):
        Audio.read(tmp_path / "x.wav")


def test_silence_is_fine(tmp_path):
    silence = Audio(np.zeros((1, 32000), np.float32), 32000)
    assert silence.loudness_lufs() == -np.inf
    assert silence.true_peak_db() == -np.inf
    read = Audio.read(silence.write(tmp_path / "x.wav"))
    assert not read.samples.any()


def test_eight_bits(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone().samples[0], 32000, subtype="PCM_U8")
    np.testing.assert_allclose(Audio.read(tmp_path / "x.wav").samples, tone().samples, atol=1 / 128)


def test_one_sample(tmp_path):
    audio = Audio(np.array([0.5], np.float32), 32000)
    read = Audio.read(audio.write(tmp_path / "x.wav"))
    assert read.num_samples == 1
    assert read.resample(48000).num_samples == 2
    assert read.resample(8000).num_samples == 1
    assert np.isfinite(read.normalize().samples).all()


def test_three_channels(tmp_path):
    audio = noise(3)
    read = Audio.read(audio.write(tmp_path / "x.wav", loudness_lufs=None))
    assert read.channels == 3
    np.testing.assert_allclose(read.with_channels(1).samples[0], read.samples.mean(axis=0), atol=1e-7)
    assert read.with_channels(2).channels == 2
    with pytest.raises(UserError, match="MP3 holds 2 channels, not 3"):
        audio.write(tmp_path / "x.mp3")


def test_192_khz(tmp_path):
    audio = tone(192000)
    read = Audio.read(audio.write(tmp_path / "x.wav", loudness_lufs=None))
    assert read.sample_rate == 192000
    assert read.resample(32000).num_samples == 32000
    assert Audio.read(audio.write(tmp_path / "x.mp3")).sample_rate == 48000


def test_unknown_extension(tmp_path):
    for name in ("x.xyz", "x"):
        with pytest.raises(UserError, match=r"unknown extension .* use one of \.wav"):
            tone().write(tmp_path / name)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros((1, 10), np.int16), "int16: give floats"),
        (np.zeros((1, 2, 3), np.float32), r"shape \(1, 2, 3\)"),
        (np.zeros((0, 3), np.float32), r"shape \(0, 3\)"),
        (np.array([0, np.inf], np.float32), "not a number at sample 1 of 2"),
    ],
)
def test_bad_samples(samples, words):
    with pytest.raises(UserError, match=words):
        Audio(samples, 32000)


def test_bad_arguments(tmp_path):
    audio = tone()
    for call in (
        lambda: audio.resample(0),
        lambda: audio.with_channels(0),
        lambda: audio.slice(-1),
        lambda: audio.slice(2.0),
        lambda: audio.slice(0, float("nan")),
        lambda: audio.slice(0, 0),
        lambda: audio.normalize(float("nan")),
        lambda: Audio(audio.samples, 0),
        lambda: Audio.concatenate([]),
        lambda: Audio.concatenate([audio, audio.with_channels(2)]),
        lambda: audio.slice(0, 1e-9).write(tmp_path / "x.wav"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert one_line(caught.value)


# ---------------------------------------------------------------------------------------------- while it is written


@pytest.mark.parametrize("channels", [1, 2])
def test_a_growing_file_plays_at_every_moment(tmp_path, channels):
    audio = noise(channels=channels)
    with (tmp_path / "x.wav").open("wb") as file:
        wav = WavStream(file, audio.sample_rate, channels, in_place=True)
        for end in (1, 1000, 32000):
            wav.write(audio.samples[:, wav.num_samples : end])
            read = Audio.read(tmp_path / "x.wav")
            np.testing.assert_allclose(read.samples, audio.samples[:, :end], atol=2**-15)  # 16 bits
            assert read.sample_rate == audio.sample_rate


def test_a_growing_file_that_ends_before_its_header_plays(tmp_path):
    with (tmp_path / "x.wav").open("wb") as file:
        wav = WavStream(file, 32000, 1, in_place=True)
        wav.write(noise().samples)
        file.write(b"\x01\x02" * 500)  # the next piece, cut off
    assert Audio.read(tmp_path / "x.wav").num_samples == 32000


def test_a_stream_is_what_the_file_is(tmp_path):
    loud = Audio(3 * noise().samples, 32000)  # clipped alike
    content = io.BytesIO()
    wav = WavStream(content, 32000, 1, in_place=False)
    for start in range(0, 32000, 7000):
        wav.write(loud.samples[:, start : start + 7000])
    (tmp_path / "pipe.wav").write_bytes(content.getvalue())
    assert content.getvalue()[40:44] == b"\xff\xff\xff\xff"
    read = Audio.read(tmp_path / "pipe.wav")
    assert np.array_equal(read.samples, Audio.read(loud.write(tmp_path / "x.wav", None)).samples)


# ------------------------------------------------------------------------------------------------- a disk that is full


def test_full_disk_leaves_the_good_file(tmp_path):
    """The kernel refuses to write past a size limit, in the middle of the file, as a full disk would."""
    path = tone(seconds=0.1).write(tmp_path / "x.wav")
    good = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(CadenzaError, match=r"cannot write .*x\.wav: .*free space") as caught:
            tone(seconds=10).write(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not isinstance(caught.value, UserError)  # a failure, not the user's mistake: exit code 1
    assert one_line(caught.value)
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


def test_interrupted_sync_leaves_the_good_file(tmp_path, monkeypatch):
    path = tone(seconds=0.1).write(tmp_path / "x.flac")
    good = path.read_bytes()

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CadenzaError, match="No space left on device"):
        tone(seconds=10).write(path)
    assert path.read_bytes() == good
    assert list(tmp_path.iterdir()) == [path]


# --------------------------------------------------------------------------------------------------------- the sound


def test_resample_keeps_pitch_and_length():
    resampled = tone(48000, 1.5).resample(32000)
    assert resampled.num_samples == 48000
    middle = slice(1000, -1000)  # the filter rings at the ends
    np.testing.assert_allclose(resampled.samples[:, middle], tone(32000, 1.5).samples[:, middle], atol=1e-4)


def test_normalize_reaches_loudness_under_the_peak():
    loud = noise(2, 96000).normalize(-14, -1)
    assert loud.loudness_lufs() == pytest.approx(-14, abs=0.5)  # the limiter may take a little
    assert loud.true_peak_db() <= -1 + 0.001
    known = noise(2, 96000)
    np.testing.assert_array_equal(known.normalize(-14, -1, known.loudness_lufs()).samples, loud.samples)


def test_normalize_does_not_squash_dynamics():
    soft = tone(seconds=4.0).samples * 0.01
    soft[:, 64000:64010] = 0.9  # one knock: at -14 LUFS it would need 25 dB of limiting
    level = Audio(soft, 32000).normalize(-14, -1)
    assert level.true_peak_db() <= -1 + 0.001
    assert level.loudness_lufs() < -20


def test_concatenate_undoes_slice():
    audio = noise(2, 50000, prompt="x")
    parts = [audio.slice(0, 0.5), audio.slice(0.5)]
    joined = Audio.concatenate(parts)
    np.testing.assert_array_equal(joined.samples, audio.samples)
    assert joined.metadata == {"prompt": "x"}


def test_metadata_is_plain_json_in_the_file(tmp_path):
    path = tone(prompt="waltz").write(tmp_path / "x.flac")
    with soundfile.SoundFile(io.BytesIO(path.read_bytes())) as file:
        assert json.loads(file.comment) == {"prompt": "waltz"}
