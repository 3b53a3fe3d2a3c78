"""What the papers and model cards print: shown beside a report, never mixed in.

A figure of another test set, another implementation of FAD or another CLAP cannot be compared with one measured here;
each row says what it was measured with.
"""

from dataclasses import dataclass

_CARD = (
    "MusicCaps (5,469 of 5,521 clips of 10 s); FAD: VGGish, TensorFlow; KL: PaSST; text: LAION-CLAP "
    "music_audioset_epoch_15_esc_90.14, no fusion"
)
_OWN = "own split of MusicCaps, first 5 s; FAD: VGGish, "
_CHROMA = "; chroma cosine: 1,000 internal clips of 30 s"


@dataclass(frozen=True)
class Published:
    """A row of somebody's table; None where it prints nothing."""

    model: str
    source: str
    setting: str
    fad: float | None = None
    kl: float | None = None
    text: float | None = None
    chroma: float | None = None


PUBLISHED = (
    Published("MusicGen small (300M)", "model card", _CARD, 4.88, 1.42, 0.27),
    Published("MusicGen medium (1.5B)", "model card", _CARD, 5.14, 1.38, 0.28),
    Published("MusicGen large (3.3B)", "model card", _CARD, 5.48, 1.37, 0.28),
    Published("MusicGen melody (1.5B)", "model card", _CARD + _CHROMA, 4.93, 1.41, 0.27, 0.44),
    Published("MusicGen 300M", "Copet et al. 2023", "MusicCaps; FAD: VGGish; other weights than the cards'", 3.1),
    Published("MusicGen 1.5B", "Copet et al. 2023", "MusicCaps; FAD: VGGish; other weights than the cards'", 3.4),
    Published("Riffusion", "Copet et al. 2023", "MusicCaps; FAD: VGGish", 14.8),
    Published("Mousai", "Copet et al. 2023", "MusicCaps; FAD: VGGish", 7.5),
    Published("MAGNeT small, 10 s", "model card", _CARD, 4.22, 1.11, 0.28),
    Published("MAGNeT medium, 10 s", "model card", _CARD, 4.61, 1.14, 0.28),
    Published("MAGNeT small, 30 s", "model card", _CARD, 4.35, 1.17, 0.28),
    Published("MAGNeT medium, 30 s", "model card", _CARD, 4.63, 1.20, 0.28),
    Published("JASCO chords-drums 400M", "model card", "first table of the card", 5.866, None, 0.284),
    Published("JASCO chords-drums 1B", "model card", "first table of the card", 5.587, None, 0.291),
    Published("JASCO chords-drums-melody 400M", "model card", "first table of the card", 4.730, None, 0.317),
    Published("JASCO chords-drums-melody 1B", "model card", "first table of the card", 5.098, None, 0.313),
    Published("MusicGen-1 (119M), not filtered", "NCNU, Music Generation", _OWN + "validation", 7.70),
    Published("MusicGen-1 (119M), filtered", "NCNU, Music Generation", _OWN + "validation", 11.05),
    Published("MusicGen-1 (119M), filtered", "NCNU, Music Generation", _OWN + "test", 10.83),
)  # fmt: skip
