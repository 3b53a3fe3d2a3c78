"""Opus as a yardstick: a sound and a bit rate in, what Opus makes of it and the bits that it spent out.

RFC 6716 (2012) in Ogg (RFC 7845), by the encoder that libsndfile brings: variable bit rate, its full-band audio mode.
The bits counted are those of the packets alone, without the pages and headers of Ogg, since a neural codec's codes are
counted bare as well.
"""

import io

from cadenza.audio import Audio
from cadenza.errors import CadenzaError, UserError

SAMPLE_RATE = 48000  # of what Opus decodes; everything is resampled to it and back (soxr, high quality)
LEAST_KBPS, MOST_KBPS = 6.0, 256.0  # per channel, as libsndfile asks of the encoder
_HEADER_PAGES = 2  # OpusHead and OpusTags


def code_opus(audio: Audio, kbps: float) -> tuple[Audio, float]:
    """The sound after Opus at about `kbps` kbit/s, at its own rate and as long as before, and the kbit/s really spent.

    Raises UserError for a rate that Opus does not do for so many channels.
    """
    import soundfile

    least, most = LEAST_KBPS * audio.channels, MOST_KBPS * audio.channels
    if not least <= kbps <= most:
        raise UserError(
            f"Opus at {kbps:g} kbit/s: for {audio.channels} channels choose {least:g} to {most:g} (RFC 6716)"
        )
    # libsndfile maps its compression level 0 .. 1 to these rates, linearly and downwards.
    level = 1.0 - (kbps - least) / (most - least)
    content = io.BytesIO()
    samples = audio.resample(SAMPLE_RATE)
    try:
        soundfile.write(
            content, samples.samples.T, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=min(1.0, level)
        )
        bits = 8 * packet_bytes(content.getvalue())
        content.seek(0)
        decoded, _ = soundfile.read(content, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise CadenzaError(f"libsndfile {soundfile.__libsndfile_version__} cannot write Opus: {error}") from error
    back = Audio(decoded.T, SAMPLE_RATE).resample(audio.sample_rate)
    return _as_long(back, audio.num_samples), bits / audio.duration_seconds / 1000


def through_48k(audio: Audio) -> Audio:
    """The way that Opus takes, without Opus: to 48 kHz and back. What this loses is not the codec's doing."""
    back = audio.resample(SAMPLE_RATE).resample(audio.sample_rate)
    return _as_long(back, audio.num_samples)


def encoder_name() -> str:
    """Which Opus it is, for records: another version spends other bits."""
    import soundfile

    return f"libsndfile {soundfile.__libsndfile_version__}, variable bit rate, through {SAMPLE_RATE} Hz (soxr, HQ)"


def packet_bytes(content: bytes) -> int:
    """Bytes of audio packets in an Ogg Opus file: page headers, lacing values and the two header packets left out."""
    at = page = total = 0
    while at < len(content):
        if content[at : at + 4] != b"OggS":
            raise CadenzaError(f"no Ogg page at byte {at}: not an Ogg file, or damaged")
        segments = content[at + 26]
        size = sum(content[at + 27 : at + 27 + segments])
        total += size if page >= _HEADER_PAGES else 0
        at += 27 + segments + size
        page += 1
    return total


def _as_long(audio: Audio, num_samples: int) -> Audio:
    """Cut or padded with silence by the few samples that rounding adds or takes."""
    import numpy as np

    samples = audio.samples[:, :num_samples]
    return Audio(np.pad(samples, ((0, 0), (0, num_samples - samples.shape[1]))), audio.sample_rate)
