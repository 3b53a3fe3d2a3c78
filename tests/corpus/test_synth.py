"""Our own synthesiser: pitch, level, sidechain, determinism; and the MIDI writer's bytes."""

import numpy as np

from cadenza.corpus.midi import TICKS_PER_QUARTER, write_midi
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.synth import SAMPLE_RATE, synthesize
from cadenza.corpus.theory import Key


def _score(*parts: Part, tempo: float = 120.0) -> Score:
    return Score(
        0,
        "test",
        tempo,
        Key(0, "major"),
        Meter(4),
        (),
        (Section("verse", 0, 2, ("I", "") * 2, Key(0, "major")),),
        parts,
    )


def test_a_note_sounds_at_its_pitch_and_time() -> None:
    for name, pitch in (
        ("synth lead", 69),
        ("synth pad", 57),
        ("synth bass", 45),
        ("acid bass", 45),
        ("synth pluck", 69),
    ):
        samples = synthesize(_score(Part(name, "melody", (Note(2.0, 2.0, pitch, 100),))), 3 * SAMPLE_RATE)
        assert not samples[: SAMPLE_RATE - 10].any()
        sound = samples[SAMPLE_RATE : 2 * SAMPLE_RATE]
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
        frequency = 440.0 * 2 ** ((pitch - 69) / 12)
        # One bin is 1 Hz here; detuned saws spread the fundamental by 0.6 %.
        near = spectrum[int(frequency * 0.985) : int(frequency * 1.015) + 2].max()
        between = spectrum[int(frequency * 1.2) : int(frequency * 1.8)].max()
        assert near > 5 * between, name
        assert 0.02 < np.abs(samples).max() < 1.0, name


def test_high_notes_do_not_alias() -> None:
    samples = synthesize(_score(Part("synth lead", "melody", (Note(0.0, 2.0, 91, 100),))), 2 * SAMPLE_RATE)
    spectrum = np.abs(np.fft.rfft(samples[4000:32000] * np.hanning(28000)))
    frequencies = np.fft.rfftfreq(28000, 1 / SAMPLE_RATE)
    base = 440.0 * 2 ** ((91 - 69) / 12)
    distance = np.abs(frequencies / base - np.round(frequencies / base))
    inharmonic = spectrum[(distance > 0.2) & (frequencies > 500)].max()
    assert 20 * np.log10(inharmonic / spectrum.max()) < -45


def test_the_kick_ducks_the_pad() -> None:
    pad = Part("synth pad", "pad", (Note(0.0, 8.0, 60, 90),))
    silent_kick = Part("drum machine", "drums", (Note(4.0, 0.2, 36, 100),), level=0.0)
    without = synthesize(_score(pad), 4 * SAMPLE_RATE)
    ducked = synthesize(_score(pad, silent_kick), 4 * SAMPLE_RATE)
    window = slice(2 * SAMPLE_RATE + 320, 2 * SAMPLE_RATE + 1600)
    assert np.sqrt(np.mean(ducked[window] ** 2)) < 0.7 * np.sqrt(np.mean(without[window] ** 2))
    np.testing.assert_array_equal(ducked[:SAMPLE_RATE], without[:SAMPLE_RATE])


def test_drums_differ_and_repeat_exactly() -> None:
    hits = [
        synthesize(_score(Part("drum machine", "drums", (Note(0.0, 0.2, k, 100),))), SAMPLE_RATE) for k in (36, 38, 42)
    ]
    assert not np.allclose(hits[0], hits[1])
    centroids = [
        float((np.abs(np.fft.rfft(h)) * np.arange(len(h) // 2 + 1)).sum() / np.abs(np.fft.rfft(h)).sum()) for h in hits
    ]
    assert centroids[0] < centroids[1] < centroids[2]
    again = synthesize(_score(Part("drum machine", "drums", (Note(0.0, 0.2, 36, 100),))), SAMPLE_RATE)
    np.testing.assert_array_equal(again, hits[0])


def test_midi_bytes_of_one_note() -> None:
    midi = write_midi(_score(Part("piano", "melody", (Note(1.0, 0.5, 60, 90),)), Part("synth lead", "melody", ())))
    assert midi[:14] == b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1]) + TICKS_PER_QUARTER.to_bytes(2, "big")
    assert b"\xff\x51\x03" + (500_000).to_bytes(3, "big") in midi
    # 480 ticks are the variable-length number 83 60, 240 ticks are 81 70.
    assert bytes([0x83, 0x60, 0x90, 60, 90, 0x81, 0x70, 0x80, 60, 0]) in midi
    assert midi.endswith(b"\xff\x2f\x00")


def test_midi_gives_each_player_a_channel_and_drums_the_tenth() -> None:
    names = ("piano", "violin", "drums", "cello")
    midi = write_midi(_score(*(Part(n, "melody", (Note(0.0, 1.0, 60, 80),)) for n in names)))
    assert {b & 0x0F for b in midi if b & 0xF0 == 0x90} >= {0, 1, 2, 9}
    for channel, program in ((0, 0), (1, 40), (9, 0), (2, 42)):
        assert bytes([0xC0 | channel, program]) in midi
