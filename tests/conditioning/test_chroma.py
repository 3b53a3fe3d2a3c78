"""Melody as a condition: the reference's numbers, official shapes, and views of a melody over time."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cadenza.audio import Audio
from cadenza.conditioning.chroma import ChromaConditioner, ChromaConfig, Melody
from musicgen_oracles import PARITY, oracle

FRAME = 4096 / 32000
WITHOUT_LENGTH = ChromaConfig(length=None, stems="none")


def tones(*classes: int, seconds: float = 1.024, rate: int = 32000) -> Audio:
    """Pitch classes above middle C, eight frames each."""
    time = np.arange(round(seconds * rate)) / rate
    waves = [0.3 * np.sin(2 * np.pi * 440 * 2 ** ((c - 9) / 12) * time) for c in classes]
    return Audio(np.concatenate(waves)[None].astype(np.float32), rate)


def conditioner(config: ChromaConfig = WITHOUT_LENGTH) -> ChromaConditioner:
    return ChromaConditioner(config, 8)


def heard(features: torch.Tensor | None) -> list[int]:
    assert features is not None
    assert (features.sum(1) == 1).all(), "one class per frame"
    return features.argmax(1).tolist()


def test_the_reference_s_condition_from_its_waveforms() -> None:
    """As the file says it: each as long as it is. One-hot vectors through one layer: equal to the bit."""
    melody = oracle("melody").by_name()["self_wav"]
    assert torch.equal(melody.embedding, oracle("melody").expected["condition.self_wav"])


def test_the_official_condition_is_as_long_as_the_training_segments() -> None:
    """`ChromaConfig()` is what the reference's loader makes of a checkpoint: 30 s are 235 frames."""
    part = conditioner(ChromaConfig(stems="none"))
    for seconds in (1.0, 12.0):
        features = part.prepare([tones(0, 4, 7, seconds=seconds)])[0]
        seen = part.window(features, 0.0)
        assert seen is not None
        assert features is not None
        assert seen.shape == (235, 12)
        assert torch.equal(seen, features[torch.arange(235) % features.shape[0]]), "cut, or repeated from its beginning"
        assert part([seen]).mask.all(), "never masked"


def test_a_missing_melody_is_silence_heard_as_c() -> None:
    null = conditioner(ChromaConfig(stems="none")).null()
    assert heard(null) == [0] * 235
    condition = conditioner()([None])
    assert condition.embedding.shape == (1, 5, 8), "one analysis window"
    assert not condition.embedding.any()
    assert conditioner(ChromaConfig(null="nothing")).null() is None


def test_any_rate_and_any_number_of_channels() -> None:
    part = conditioner()
    expected = [0] * 8 + [4] * 8 + [7] * 8
    inside = [t for t in range(24) if t % 8 in range(2, 7)]  # frames that hear one tone only
    for rate in (16000, 44100, 48000):
        audio = tones(0, 4, 7, rate=rate)
        stereo = Audio(np.repeat(audio.samples, 2, axis=0), rate)
        for other in (audio, stereo, Melody(stereo)):
            classes = heard(part.prepare([other])[0])
            assert [classes[t] for t in inside] == [expected[t] for t in inside]


def test_a_window_begins_where_the_piece_is() -> None:
    part = conditioner(WITHOUT_LENGTH.model_copy(update={"length": 24}))
    features = torch.eye(12)[torch.arange(40) % 12]
    assert heard(part.window(features, 0.0)) == [t % 12 for t in range(24)]
    assert heard(part.window(features, 10 * FRAME)) == [t % 12 for t in range(10, 34)]
    assert heard(part.window(features, 30 * FRAME)) == [(t % 40) % 12 for t in range(30, 54)], (
        "from the beginning again"
    )
    assert part.window(None, 3.0) is None


def test_frames_can_follow_the_steps_of_the_model() -> None:
    """50 steps a second over 7.8125 frames a second: each step has the frame that is nearest in time."""
    part = conditioner(WITHOUT_LENGTH.model_copy(update={"length": 500, "steps_per_second": 50.0}))
    features = torch.eye(12)[torch.arange(90) % 12]
    for start in (0.0, 1.26, 4.5):
        frames = [round((start + step / 50) * 7.8125) % 90 for step in range(500)]
        assert heard(part.window(features, start)) == [frame % 12 for frame in frames]


def test_pauses_can_be_told_from_tones() -> None:
    silence = Audio(np.zeros((1, 32768), np.float32), 32000)
    audio = Audio(np.concatenate([tones(9).samples, silence.samples], axis=1), 32000)
    assert heard(conditioner().prepare([audio])[0])[-4:] == [0] * 4, "silence is class 0, as in the reference"
    part = conditioner(WITHOUT_LENGTH.model_copy(update={"quiet_db": 40.0}))
    features = part.prepare([audio])[0]
    assert features is not None
    assert heard(features[1:7]) == [9] * 6
    assert not features[-4:].any()


def test_all_twelve_values_can_be_kept() -> None:
    expected = load_file(PARITY / "musicgen_melody_tiny" / "io.safetensors")
    part = conditioner(WITHOUT_LENGTH.model_copy(update={"only_strongest": False}))
    features = part.prepare([Audio(expected["melody_wav_0"].numpy(), 32000)])[0]
    assert features is not None
    torch.testing.assert_close(features, expected["chroma_soft"][0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stems", ["none", "auto"])
def test_drums_and_bass_are_taken_out_first(stems: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the separator that keeps the right channel."""

    class Right:
        name = "right"

        def __call__(self, wave: torch.Tensor, sample_rate: int) -> torch.Tensor:
            return wave[1:]

    monkeypatch.setattr(
        "cadenza.conditioning.chroma.find_separator", lambda choice: None if choice == "none" else Right()
    )
    loud_bass, tune = tones(0).samples, 0.2 * tones(7).samples
    audio = Audio(np.concatenate([loud_bass, tune]), 32000)
    part = conditioner(WITHOUT_LENGTH.model_copy(update={"stems": "none"}))
    expected = 0 if stems == "none" else 7
    assert set(heard(part.prepare([Melody(audio, stems)])[0])[1:-1]) == {expected}
