"""What a mix is treated with: rooms, tone, compression, saturation, tape, vinyl and ducking.

Samples in, samples out, float32 at 32 kHz, channels first. What is linear and does not change with time is a curve over
frequency, so that a mix pays for one Fourier transform however much is done to it. All is vectorised; what is random
comes from a seed.

Rooms are exponentially decaying noise (J. A. Moorer, "About this reverberation business", 1979), with treble that dies
earlier than bass.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Complex, Float, Float32

from cadenza.corpus.synth import SAMPLE_RATE

_COMPRESSOR_HOP = 320


def fast_length(least: int) -> int:
    """The smallest number with no prime factor above 5 that is not below `least`: quick to transform."""
    best = 1 << max(0, least - 1).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            size = threes << max(0, -(-least // threes) - 1).bit_length()
            best = min(best, size)
            threes *= 3
        fives *= 5
    return best


@lru_cache(maxsize=64)
def room(
    rt60_seconds: float, treble_share: float, predelay_seconds: float, seed: int, channels: int = 1
) -> Float32[np.ndarray, "C L"]:
    """The response of a room, of unit energy in each channel.

    Args:
        rt60_seconds: how long sound below 2 kHz takes to fall by 60 dB.
        treble_share: how long treble takes, as a share of that.
        predelay_seconds: silence before the first reflections.
        seed: which noise.
        channels: 1, or 2 that are uncorrelated.
    """
    rng = np.random.default_rng(np.random.SeedSequence([0x8002, seed]))
    length = int(1.1 * rt60_seconds * SAMPLE_RATE)
    time = np.arange(length) / SAMPLE_RATE
    noise = rng.standard_normal((channels, length)).astype(np.float32)
    low_passed = 1.0 / (1.0 + (np.fft.rfftfreq(length, 1 / SAMPLE_RATE) / 2000.0) ** 4)
    low = np.fft.irfft(np.fft.rfft(noise) * low_passed.astype(np.float32), length)
    decay = np.exp(-time * (np.log(1000.0) / rt60_seconds))
    # Reflections grow denser through the first hundredth of a second.
    density = 1.0 - np.exp(-time / 0.01)
    response = (low * decay + (noise - low) * decay ** (1.0 / treble_share)) * density
    response /= np.sqrt(np.sum(response**2, axis=1, keepdims=True))
    silence = np.zeros((channels, round(predelay_seconds * SAMPLE_RATE)))
    found: Float32[np.ndarray, "C L"] = np.concatenate([silence, response], axis=1).astype(np.float32)
    found.setflags(write=False)
    return found


def echoes(delay_seconds: float, feedback: float, count: int = 4) -> Float32[np.ndarray, "1 L"]:
    """A delay line's response: `count` echoes, each weaker by `feedback`, the first at full strength."""
    step = round(delay_seconds * SAMPLE_RATE)
    response = np.zeros((1, step * count + 1), np.float32)
    response[0, step::step] = feedback ** np.arange(count)
    return response


def tone(
    frequencies: Float[np.ndarray, "F"], tilt_db: float, low_cut_hz: float, high_cut_hz: float | None
) -> Float32[np.ndarray, "F"]:
    """Gain by frequency: a tilt in dB an octave about 800 Hz (at most 6 dB either way), and gentle ends."""
    octaves = np.log2(np.maximum(frequencies, 20.0) / 800.0)
    gain = 10 ** (np.clip(octaves * tilt_db, -6.0, 6.0) / 20)
    gain /= np.sqrt(1.0 + (low_cut_hz / np.maximum(frequencies, 1.0)) ** 4)
    if high_cut_hz is not None:
        gain /= np.sqrt(1.0 + (frequencies / high_cut_hz) ** 4)
    return gain.astype(np.float32)


def spectrum(samples: Float[np.ndarray, "C N"], size: int) -> Complex[np.ndarray, "C F"]:
    """Fourier transform of samples continued by silence."""
    return np.fft.rfft(samples, size)


def ducking(
    starts: Float[np.ndarray, "K"], num_samples: int, depth: float, recovery_seconds: float = 0.11
) -> Float32[np.ndarray, "N"]:
    """Gain that drops by `depth` at each start (seconds) and comes back exponentially."""
    gain = np.ones(num_samples, np.float32)
    length = int(recovery_seconds * 4 * SAMPLE_RATE)
    time = np.arange(length)
    dip = 1.0 - depth * np.exp(-time / (recovery_seconds * SAMPLE_RATE)) * np.minimum(1.0, time / 160)
    for start in (starts * SAMPLE_RATE).astype(int):
        end = min(num_samples, start + length)
        if end > start:
            gain[start:end] = np.minimum(gain[start:end], dip[: end - start])
    return gain


def compress(mix: Float32[np.ndarray, "C N"], ratio: float, over_mean_db: float = 2.0) -> Float32[np.ndarray, "C N"]:
    """A bus compressor: what is louder than the mix's mean by `over_mean_db` grows only by 1/ratio.

    The level is measured in blocks of 10 ms; the gain falls within 20 ms and comes back within 150 ms.
    """
    blocks = mix.shape[1] // _COMPRESSOR_HOP
    if blocks < 2 or ratio <= 1.0:
        return mix
    power = np.square(mix[:, : blocks * _COMPRESSOR_HOP]).reshape(len(mix), blocks, -1).mean(axis=(0, 2))
    heard = power[power > 1e-9]
    if not heard.size:
        return mix
    level = 10 * np.log10(power + 1e-12)
    threshold = 10 * np.log10(heard.mean()) + over_mean_db
    wanted = np.minimum(0.0, (threshold - level) * (1 - 1 / ratio)).tolist()
    smooth, now = [], 0.0
    for target in wanted:
        now += (target - now) * (0.5 if target < now else 0.065)
        smooth.append(now)
    centres = (np.arange(blocks) + 0.5) * _COMPRESSOR_HOP
    gain = np.interp(np.arange(mix.shape[1]), centres, 10 ** (np.array(smooth) / 20)).astype(np.float32)
    return mix * gain


def saturate(mix: Float32[np.ndarray, "C N"], drive: float) -> Float32[np.ndarray, "C N"]:
    """Tape's soft knee: a hyperbolic tangent that bends what is above the mean level; 0 leaves all as it is."""
    root = float(np.sqrt(np.mean(np.square(mix, dtype=np.float64))))
    if drive <= 0.0 or root == 0.0:
        return mix
    scale = np.float32(drive / (4.0 * root))
    return np.tanh(mix * scale) / scale


def waver(mix: Float32[np.ndarray, "C N"], depth: float, seed: int) -> Float32[np.ndarray, "C N"]:
    """Wow and flutter of a tape: pitch moves by `depth` (0.001 is 1.7 cents) slowly and by a third of it fast.

    Time moves by less than a millisecond and comes back: no beat is shifted.
    """
    rng = np.random.default_rng(np.random.SeedSequence([0x70B, seed]))
    count = mix.shape[1]
    # The path is smooth: drawn on a coarse grid, then interpolated.
    grid = np.arange(0, count + SAMPLE_RATE // 50, SAMPLE_RATE // 50)
    path = np.zeros(len(grid))
    for hertz, share in ((rng.uniform(0.4, 0.9), 1.0), (rng.uniform(5.0, 8.0), 0.33)):
        path += share * np.sin(2 * np.pi * (hertz * grid / SAMPLE_RATE + rng.random())) / (2 * np.pi * hertz)
    position = np.arange(count) + np.interp(np.arange(count), grid, path * depth * SAMPLE_RATE)
    position = np.clip(position, 0.0, count - 1.001)
    index = position.astype(np.int64)
    blend = (position - index).astype(np.float32)
    return mix[:, index] * (1 - blend) + mix[:, np.minimum(index + 1, count - 1)] * blend


def crackle(num_samples: int, per_second: float, seed: int) -> Float32[np.ndarray, "1 N"]:
    """Vinyl: clicks of a millisecond at random, most of them faint, over a little hiss; a loud click peaks near 1."""
    rng = np.random.default_rng(np.random.SeedSequence([0xC4AC, seed]))
    sound = (0.004 * rng.standard_normal(num_samples)).astype(np.float32)
    starts = rng.integers(0, max(1, num_samples - 64), rng.poisson(per_second * num_samples / SAMPLE_RATE))
    size = np.exp(rng.normal(-2.0, 0.7, len(starts))) * rng.choice((-1.0, 1.0), len(starts))
    time = np.arange(64)
    shape = np.exp(-time / 9.0) * np.cos(2 * np.pi * time / 11.0)
    np.add.at(sound, starts[:, None] + time, (np.minimum(np.abs(size), 1.0) * np.sign(size))[:, None] * shape)
    return sound[None]
