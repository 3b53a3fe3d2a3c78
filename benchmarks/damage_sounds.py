"""Five ways to spoil music whose truth is known: a clip of composed music in, a version that is worse in one way out.

Noise and a low-pass filter spoil the sound and nothing else. A wrong tempo is the same notes, composed and rendered at
another number of beats a minute: no file is stretched. Another piece's caption leaves the sound as it is. A looped bar
is the first whole bar again and again, cut exactly at bar lines, which are known.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cadenza.audio import Audio
from cadenza.corpus.build import LOUDNESS_LUFS, PEAK_DB, piece_seconds
from cadenza.corpus.compose import compose
from cadenza.corpus.level import LoudnessMeter, set_level
from cadenza.corpus.render import render
from cadenza.corpus.synth import SAMPLE_RATE

OTHER_TEMPO = 1.4
"""Nearly the square root of 2, the factor that is as far from a half as from a double; 4/3 and 3/2 are away, too."""

_CROSSFADE_SECONDS = 0.005
_SLOPE = 1.2  # from the cut-off to where nothing is left, as a factor


def with_noise(audio: Audio, snr_db: float, seed: int) -> Audio:
    """White noise under the music, its power `snr_db` below that of the whole clip."""
    rng = np.random.default_rng([seed, 0xA01])
    power = float(np.square(audio.samples, dtype=np.float64).mean())
    noise = rng.standard_normal(audio.samples.shape) * np.sqrt(power * 10 ** (-snr_db / 10))
    return Audio(_within(audio.samples + noise), audio.sample_rate)


def low_passed(audio: Audio, cutoff_hz: float) -> Audio:
    """Nothing above the cut-off: full level up to it, nothing from 1.2 times of it, no change of phase."""
    spectrum = np.fft.rfft(audio.samples.astype(np.float64), axis=1)
    frequencies = np.fft.rfftfreq(audio.num_samples, 1 / audio.sample_rate)
    along = np.clip((frequencies / cutoff_hz - 1) / (_SLOPE - 1), 0, 1)
    kept = np.fft.irfft(spectrum * np.cos(along * np.pi / 2) ** 2, audio.num_samples, axis=1)
    return Audio(_within(kept), audio.sample_rate)


def looped_bar(audio: Audio, start_seconds: float, bar_seconds: float) -> Audio:
    """The first whole bar, again and again for as long as the clip lasts.

    Args:
        start_seconds: Where in its piece the clip begins; bar lines are multiples of `bar_seconds` there.
    """
    first = np.ceil(start_seconds / bar_seconds - 1e-6) * bar_seconds - start_seconds
    rate = audio.sample_rate
    line, length = round(first * rate), round(bar_seconds * rate)
    assert line + length <= audio.num_samples, "the clip has no whole bar"
    lead = min(line, round(_CROSSFADE_SECONDS * rate))  # what comes before the line fades in while the bar fades out
    bar = audio.samples[:, line - lead : line + length].astype(np.float64)
    fade = (np.arange(lead) + 0.5) / max(1, lead)
    bar[:, :lead] *= fade
    bar[:, length:] *= fade[::-1]
    looped = np.zeros((audio.channels, audio.num_samples + 2 * bar.shape[1]))
    for number in range(audio.num_samples // length + 1):
        place = round(number * bar_seconds * rate)  # by its own time: fractions of a sample do not add up
        looped[:, place : place + bar.shape[1]] += bar
    return Audio(_within(looped[:, lead : lead + audio.num_samples]), rate)


def bar_seconds(tempo_bpm: float, meter: str) -> float:
    """How long a bar lasts, by a row of the corpus: in eighths the tempo is that of dotted quarters."""
    beats, unit = map(int, meter.split("/"))
    return (beats if unit == 4 else beats / 3) * 60 / tempo_bpm


def other_tempo(tempo_bpm: float) -> float:
    """A tempo that nobody could take for this one; slow music becomes faster, fast music slower, so that both tempi are
    ones that music has."""
    return round(tempo_bpm * OTHER_TEMPO if tempo_bpm < 100 else tempo_bpm / OTHER_TEMPO, 1)


def at_tempo(
    seed: int, tempo_bpm: float, start_seconds: float, seconds: float, soundfont: str | Path | None = None
) -> Audio:
    """The piece of a seed at another tempo, from the same place in its notes, as loud as the corpus makes it.

    Args:
        start_seconds: Where the clip begins in the piece at its own tempo.
    """
    score = compose(seed, piece_seconds(seed))
    begin = start_seconds * score.tempo_bpm / tempo_bpm
    samples = render(replace(score, tempo_bpm=tempo_bpm), soundfont)
    lufs = LoudnessMeter(samples, SAMPLE_RATE).lufs(begin, begin + seconds)
    first = round(begin * SAMPLE_RATE)
    piece = samples[first : first + round(seconds * SAMPLE_RATE)].copy()
    return Audio(set_level(piece, lufs, LOUDNESS_LUFS, PEAK_DB)[None], SAMPLE_RATE)


def deranged(count: int, seed: int) -> Sequence[int]:
    """A permutation that leaves nothing in its place: one cycle through all (Sattolo 1986)."""
    rng = np.random.default_rng([seed, 0xDE7])
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        other = int(rng.integers(last))
        order[last], order[other] = order[other], order[last]
    return order


def _within(samples: np.ndarray) -> np.ndarray:
    """Turned down where full scale would cut it."""
    peak = float(np.abs(samples).max(initial=0.0))
    scaled: np.ndarray = (samples * min(1.0, 0.999 / max(peak, 1e-12))).astype(np.float32)
    return scaled
