"""A tune to music: what is hummed, whistled or played in a file, or a tune made here, played by others.

python examples/hum.py [TUNE.wav]
"""

import sys

import numpy as np

import cadenza

FRERE_JACQUES = [60, 62, 64, 60] * 2 + [64, 65, 67, 67]  # notes as MIDI counts them, half a second each


def hummed(notes: list[int], seconds: float = 0.5, sample_rate: int = 32000) -> cadenza.Audio:
    """Every note a sine and its octave, swelling and fading."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    swell = np.sin(np.pi * time / seconds)
    pitches = [440 * 2 ** ((note - 69) / 12) for note in notes]
    waves = [np.sin(2 * np.pi * hz * time) + 0.3 * np.sin(4 * np.pi * hz * time) for hz in pitches]
    return cadenza.Audio(0.2 * np.concatenate([swell * wave for wave in waves])[None], sample_rate)


tune = cadenza.Audio.read(sys.argv[1]) if len(sys.argv) > 1 else hummed(FRERE_JACQUES)
music = cadenza.load()  # or a model of Meta's that follows melodies, such as facebook/musicgen-melody
audio = music.generate("string quartet", melody=tune, duration=tune.duration_seconds, seed=1)
print(f"{audio.write('quartet.flac')}: {audio.duration_seconds:g} s of {tune.duration_seconds:g} s hummed")
