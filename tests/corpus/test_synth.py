"""Our own synthesiser: pitch, level, aliasing, glides, drums, determinism."""

import numpy as np

from cadenza.corpus.instruments import Patch, patches_of
from cadenza.corpus.score import Meter, Note, Part, Score, Section
from cadenza.corpus.synth import SAMPLE_RATE, synthesize
from cadenza.corpus.theory import Key


def _play(name: str, notes: tuple[Note, ...], seconds: float, sound: str = "", role: str = "melody") -> np.ndarray:
    part = Part(name, role, notes)
    section = Section("verse", 0, 2, ("I", "") * 2, Key(0, "major"))
    score = Score(0, "test", 120.0, Key(0, "major"), Meter(4), (), (section,), (part,))
    patch = next(p for p in patches_of(name) if p.sound == sound) if sound else patches_of(name)[0]
    return synthesize(part, patch, score, int(seconds * SAMPLE_RATE))


def test_a_note_sounds_at_its_pitch_and_time() -> None:
    for name, sound, pitch in (
        ("synth lead", "lead", 69),
        ("synth lead", "square lead", 69),
        ("synth pad", "pad", 57),
        ("synth pad", "warm pad", 69),
        ("synth bass", "bass", 45),
        ("synth bass", "sub bass", 45),
        ("acid bass", "acid", 45),
        ("synth pluck", "pluck", 69),
        ("synth pluck", "bell pluck", 69),
    ):
        samples = _play(name, (Note(2.0, 2.0, pitch, 100),), 3, sound, role="chords")
        assert not samples[: SAMPLE_RATE - 10].any()
        sound_of = samples[SAMPLE_RATE : 2 * SAMPLE_RATE]
        spectrum = np.abs(np.fft.rfft(sound_of * np.hanning(len(sound_of))))
        frequency = 440.0 * 2 ** ((pitch - 69) / 12)
        # One bin is 1 Hz here; detuned saws spread the fundamental by 0.6 %, vibrato by 1.3 %.
        near = spectrum[int(frequency * 0.985) : int(frequency * 1.015) + 2].max()
        between = spectrum[int(frequency * 1.2) : int(frequency * 1.8)].max()
        assert near > 5 * between, sound
        assert 0.02 < np.abs(samples).max() < 1.0, sound


def test_high_notes_do_not_alias() -> None:
    samples = _play("synth lead", (Note(0.0, 0.9, 91, 100),), 0.5)[2000:14000]
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    frequencies = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    base = 440.0 * 2 ** ((91 - 69) / 12)
    distance = np.abs(frequencies / base - np.round(frequencies / base))
    inharmonic = spectrum[(distance > 0.2) & (frequencies > 500)].max()
    assert 20 * np.log10(inharmonic / spectrum.max()) < -45


def test_an_acid_bass_glides_from_note_to_note() -> None:
    notes = (Note(0.0, 0.5, 40, 80), Note(0.5, 1.0, 52, 80))
    glided, struck = _play("acid bass", notes, 1.5, role="bass"), _play("acid bass", notes[1:], 1.5, role="bass")
    second = slice(SAMPLE_RATE // 4 + 6400, SAMPLE_RATE // 2)
    assert not np.allclose(glided[SAMPLE_RATE // 4 + 3000 :][:1000], struck[SAMPLE_RATE // 4 + 3000 :][:1000])

    def pitch(samples: np.ndarray) -> float:
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), SAMPLE_RATE))
        return float(np.argmax(spectrum[100:250]) + 100)

    # After a tenth of a second the note has arrived.
    assert abs(pitch(glided[second]) - pitch(struck[second])) <= 2


def test_drums_differ_and_repeat_exactly() -> None:
    hits = [_play("drum machine", (Note(0.0, 0.2, key, 100),), 1) for key in (36, 38, 42)]
    assert not np.allclose(hits[0], hits[1])
    centroids = [
        float((np.abs(np.fft.rfft(h)) * np.arange(len(h) // 2 + 1)).sum() / np.abs(np.fft.rfft(h)).sum()) for h in hits
    ]
    assert centroids[0] < centroids[1] < centroids[2]
    np.testing.assert_array_equal(_play("drum machine", (Note(0.0, 0.2, 36, 100),), 1), hits[0])


def test_pieces_have_machines_and_brightness_of_their_own() -> None:
    section = Section("verse", 0, 1, ("I", ""), Key(0, "major"))
    for name, voice in (("drum machine", "machine"), ("synth bass", "bass")):
        part = Part(name, "bass", (Note(0.0, 0.2, 36, 90),))
        sounds = {
            synthesize(
                part,
                Patch(voice, 0.0),
                Score(seed, "x", 120.0, Key(0, "major"), Meter(4), (), (section,), (part,)),
                6400,
            ).tobytes()
            for seed in range(12)
        }
        assert len(sounds) == 3, name
