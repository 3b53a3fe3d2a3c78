"""Sounds that tell who listens: beeps to be counted, the same clip twice, a clip beside its ruin; and the volume clip.

In: a clip of the test. Out: sound of the same length and level, and the answer that somebody gives who listens.
Everything is synthesised here and drawn from the seed.
"""

import numpy as np

from cadenza.audio import Audio

BEEPS = range(2, 10)
POINTS_PER_BEEP = 10
"""Three beeps: the slider belongs on 30."""
BEEP_TOLERANCE = 4
"""Points; half of what one beep more would be."""
ALIKE_AT_MOST = 20
"""Points of diversity for the same clip several times."""
CALIBRATION_SECONDS = 8.0
_BEEP_HZ, _BEEP_SECONDS, _PERIOD_SECONDS, _GAP_SECONDS = 880.0, 0.18, 0.5, 0.6

INSTRUCTION = (
    "Now and then the music breaks off and you hear beeps. Count them and set the slider to ten times their number: "
    "three beeps, 30."
)


def beeping(music: Audio, count: int) -> Audio:
    """The clip's beginning, and then `count` beeps; of a clip too short for both, the beeps alone (and longer)."""
    rate = music.sample_rate
    needed = round((_GAP_SECONDS + count * _PERIOD_SECONDS) * rate)
    samples = np.zeros((music.channels, max(music.num_samples, needed)), np.float32)
    kept = samples.shape[1] - needed
    fade = min(kept, rate // 10)
    samples[:, :kept] = music.samples[:, :kept]
    samples[:, kept - fade : kept] *= np.linspace(1, 0, fade, dtype=np.float32)
    time = np.arange(round(_BEEP_SECONDS * rate)) / rate
    envelope = np.minimum(1, np.minimum(time, _BEEP_SECONDS - time) / 0.01)
    level = np.clip(np.sqrt(2 * np.mean(np.square(music.samples))), 0.01, 0.5)  # as loud as the music
    beep = (level * np.sin(2 * np.pi * _BEEP_HZ * time) * envelope).astype(np.float32)
    for number in range(count):
        start = kept + round((_GAP_SECONDS + number * _PERIOD_SECONDS) * rate)
        samples[:, start : start + len(beep)] = beep[: samples.shape[1] - start]
    return Audio(samples, rate)


def ruined(music: Audio, random: np.random.Generator) -> Audio:
    """The clip under noise as loud as itself, in eight levels: nobody prefers it."""
    loud = float(np.sqrt(np.mean(np.square(music.samples)))) or 1.0
    noisy = music.samples / loud + random.normal(size=music.samples.shape).astype(np.float32)
    return Audio((np.round(noisy) / 8).astype(np.float32), music.sample_rate)


def calibration(rate: int, random: np.random.Generator) -> Audio:
    """Pink noise, which has the spectrum of music on average, to set the volume by."""
    size = round(CALIBRATION_SECONDS * rate)
    spectrum = np.fft.rfft(random.normal(size=size))
    frequency = np.fft.rfftfreq(size, 1 / rate)
    spectrum *= np.where(frequency < 30, 0, 1 / np.sqrt(np.maximum(frequency, 30)))
    wave = np.fft.irfft(spectrum, size)
    ramp = np.minimum(1, np.arange(size) / (0.2 * rate))
    wave = wave / np.abs(wave).max() * np.minimum(ramp, ramp[::-1])
    return Audio(wave.astype(np.float32), rate)


def passed(kind: str, expected: float, answer: float) -> bool:
    """Whether an answer is one that somebody gives who listens.

    `beeps`: near ten points for each. `alike`: a group of one clip is not diverse. `same`: two equal clips, no clear
    preference. `ruined`: the sign of `expected` is the side of the clip that is whole.
    """
    if kind == "beeps":
        return abs(answer - expected) <= BEEP_TOLERANCE
    if kind == "alike":
        return answer <= ALIKE_AT_MOST
    if kind == "same":
        return abs(answer) <= 1
    assert kind == "ruined", kind
    return answer * expected > 0
