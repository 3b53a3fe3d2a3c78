"""Trials of coders: paired, and what cannot be judged is listed for all alike."""

import json
from pathlib import Path

import numpy as np
import pytest

from cadenza.audio import Audio
from cadenza.errors import UserError
from cadenza.evaluate.clips import Clip, ClipSet, read_clips
from cadenza.evaluate.codec_quality import (
    Coded,
    DecodedFolder,
    NeuralCoder,
    OpusCoder,
    Resampler,
    common_form,
    hold_trial,
)
from cadenza.testing import noise, tiny_codec
from data.recordings import save, tune


class Softer:
    """Half the level: a loudness error of 6 LU, and nothing else."""

    name = "softer"
    most_delay_seconds = 0.0

    def code(self, audio: Audio, clip: Clip) -> Coded:
        return Coded(Audio(audio.samples / 2, audio.sample_rate), 1.0)


class Same:
    name = "same"
    most_delay_seconds = 0.0

    def code(self, audio: Audio, clip: Clip) -> Coded:
        return Coded(audio, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        save(tune(seed, 1.2), tmp_path / "clips" / f"{seed}.wav")
    return tmp_path / "clips"


def test_means_and_paired_differences_of_known_coders(folder: Path):
    trial = hold_trial(read_clips(folder), [Softer(), Same()], 16000, 1)
    found = trial.record()
    assert found["coders"]["softer"]["loudness_error_lu"]["mean"] == pytest.approx(6.02, abs=0.01)
    assert found["differences"]["same"]["loudness_error_lu"]["low"] == pytest.approx(6.02, abs=0.01)
    assert found["coders"]["softer"]["kbps"]["mean"] == 1.0
    assert found["coders"]["same"]["kbps"] is None
    assert (found["clips"], found["refused"]) == (3, [])
    json.dumps(found, allow_nan=False)
    assert len(trial.rows()) == 6


def test_one_piece_has_no_interval_and_json_no_infinity(folder: Path):
    clips = read_clips(folder)
    one = ClipSet("one", tuple(Clip(clip.id, clip.path, "piece") for clip in clips.clips))
    found = hold_trial(one, [Softer()], 16000, 1).record()
    assert found["coders"]["softer"]["mel_distance"]["low"] is None
    json.dumps(found, allow_nan=False)


def test_silent_and_broken_clips_are_listed_and_the_rest_judged(folder: Path):
    save(Audio(np.zeros(32000), 16000), folder / "silent.wav")
    (folder / "broken.wav").write_bytes(b"RIFF nothing")
    trial = hold_trial(read_clips(folder), [Same()], 16000, 1)
    assert trial.ids == ("0", "1", "2")
    assert {one.name.removesuffix(".wav") for one in trial.refused} == {"silent", "broken"}
    with pytest.raises(UserError, match="no clip is left"):
        hold_trial(ClipSet("x", (Clip("s", folder / "silent.wav", "s"),)), [Same()], 16000, 1)


def test_a_codec_and_its_first_codebooks_and_opus(folder: Path):
    codec = tiny_codec()
    whole, first = NeuralCoder(codec), NeuralCoder(codec, 1)
    told: list[tuple[int, int]] = []
    trial = hold_trial(
        read_clips(folder),
        [whole, first, OpusCoder(24.0), Resampler()],
        codec.sample_rate,
        codec.channels,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    facts = whole.record()
    assert trial.settings["opus"].startswith("libsndfile ")
    assert trial.settings["resampled"] == 3  # clips of 16 kHz, a codec of 32
    spent = trial.kbps("codec")
    assert spent is not None
    assert spent.mean == pytest.approx(facts["nominal_kbps"], rel=0.02)  # a last frame that is not full
    assert facts["entropy_kbps"] < facts["nominal_kbps"]
    assert len(facts["codebooks"]) == codec.num_codebooks
    fewer = trial.kbps(first.name)
    assert fewer is not None
    assert fewer.mean == pytest.approx(spent.mean / codec.num_codebooks)
    # 12.5 dB better than nothing: an untrained codec makes noise, Opus at 24 kbit/s does not.
    assert trial.interval("opus 24", "si_sdr_db").low > trial.interval("codec", "si_sdr_db").high
    assert trial.interval("48 kHz and back", "mel_distance").mean < trial.interval("opus 24", "mel_distance").mean
    with pytest.raises(UserError, match="choose as many or fewer"):
        NeuralCoder(codec, codec.num_codebooks + 1)


def test_files_that_somebody_else_decoded_are_paired_by_name(folder: Path, tmp_path: Path):
    for seed in range(4):
        late = np.pad(tune(seed, 1.2).samples, ((0, 0), (80, 0)))
        save(Audio(late, 16000).resample(24000 if seed == 1 else 16000), tmp_path / "theirs" / f"{seed}.flac")
    save(tune(9, 1.2), folder / "unpaired.wav")
    clips = read_clips(folder)
    decoded = DecodedFolder(read_clips(tmp_path / "theirs"))
    assert [one.name for one in decoded.unpaired(clips)] == ["3"]
    assert common_form(clips) == (16000, 1)
    trial = hold_trial(clips, [decoded], 16000, 1)
    assert trial.ids == ("0", "1", "2")
    assert [(one.name, one.reason) for one in trial.refused] == [("unpaired", "no decoded file of its name")]
    assert [result.delay_samples for result in trial.results["decoded"]] == [80, 80, 80]
    assert trial.values("decoded", "si_sdr_db")[0] > 60  # 16 bits
    assert decoded.resampled == 1
    assert trial.settings["resampled"] == trial.settings["mixed"] == 0
    assert trial.remarks == ()


def test_pairs_that_do_not_match_are_listed(folder: Path, tmp_path: Path):
    save(tune(0, 1.0), tmp_path / "theirs" / "0.wav")  # 0.2 s are within what whole frames may take
    save(noise(1.2, sample_rate=16000), tmp_path / "theirs" / "1.wav")  # another sound
    save(tune(2, 1.2).with_channels(2), tmp_path / "theirs" / "2.wav")
    save(tune(4, 1.6), folder / "4.wav")
    save(tune(4, 1.2), tmp_path / "theirs" / "4.wav")
    trial = hold_trial(read_clips(folder), [DecodedFolder(read_clips(tmp_path / "theirs"))], 16000, 1)
    assert trial.ids == ("0", "1")
    assert {one.name: one.reason for one in trial.refused} == {
        "2": "decoded to 2 channels, the original has 1",
        "4": "decoded to 1.20 s, the original lasts 1.60 s",
    }
    assert [one.name for one in trial.remarks] == ["1"]
