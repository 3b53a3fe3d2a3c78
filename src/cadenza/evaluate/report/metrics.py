"""What the figures are called, which way is better, and what each means, in one line for a reader."""

from dataclasses import dataclass

from cadenza.evaluate.control import MEASURES
from cadenza.evaluate.report.figures import Better


@dataclass(frozen=True)
class Metric:
    """A figure by name.

    Args:
        group: The heading that it stands under.
        of: What its N counts.
        digits: Behind the decimal point; below 0: so many that mean something (`figures.shown`).
        tested: Systems are compared by it, prompt by prompt.
        what: How to read it.
    """

    name: str
    title: str
    group: str
    unit: str
    better: Better
    of: str
    digits: int
    what: str
    tested: bool = False


DISTANCE, WORDS, CONTROL, SOUND, LONG = (
    "Near true music",
    "As the words say",
    "Facts that were asked for",
    "Sound",
    "Over time",
)
GROUPS = (DISTANCE, WORDS, CONTROL, SOUND, LONG)

_ALL = (
    Metric("fad", "Fréchet distance (FAD)", DISTANCE, "", "lower", "pieces", -3,
           "how far the Gaussian of what the embedder hears lies from that of the reference; 0 is the same"),
    Metric("kad", "Kernel distance (KAD)", DISTANCE, "", "lower", "pieces", -3,
           "the same without Gaussians, unbiased for small sets; about 0 is the same, below it too"),
    Metric("mad", "MAUVE divergence (MAD)", DISTANCE, "", "lower", "clips", -3,
           "whether both sets fall alike into clusters; 0 is the same"),
    Metric("song_distance", "Fréchet distance of single clips", DISTANCE, "", "lower", "clips", -3,
           "each clip alone against the reference: for outliers and orders, not as a size", True),
    Metric("kl", "KL divergence of labels, paired", DISTANCE, "nats", "lower", "pairs", -3,
           "how differently a labeller hears a take and the recording that its caption was written for", True),
    Metric("kl_genre", "KL divergence of labels, by genre", DISTANCE, "nats", "lower", "clips", -3,
           "how differently a labeller hears a clip and the mean true piece of the genre that was asked for", True),
    Metric("diversity", "Diversity", DISTANCE, "1 − cosine", "higher", "clips", 3,
           "how little clips of different prompts sound alike; compare with true music"),
    Metric("text_alignment", "Text alignment", WORDS, "cosine", "higher", "clips", 3,
           "cosine between what is heard and what was asked for, in one space of sound and words", True),
    Metric("chroma", "Chroma cosine similarity", WORDS, "", "higher", "clips", 3,
           "share of frames with the pitch class of the melody that was asked for, rests counting as C; chance is 1/12",
           True),
    Metric("loudness", "Loudness", SOUND, "LUFS", "neither", "clips", 1, "integrated, of the files as they are"),
    Metric("true_peak", "True peak", SOUND, "dB", "neither", "clips", 1, "relative to full scale; above 0 will clip"),
    Metric("silence", "Silence", SOUND, "share of time", "lower", "clips", 4, "below −60 dB"),
    Metric("clipping", "Clipping", SOUND, "share of samples", "lower", "clips", 5, "samples at full scale"),
    Metric("repetition", "Repetition", SOUND, "share of time", "neither", "clips", 3,
           "near-exact copies of an earlier stretch; compare with true music, some of which loops", True),
    Metric("stuck", "Standing still", SOUND, "s", "lower", "clips", 2, "the longest stretch in which nothing changes"),
    Metric("loudness_drift", "Drift of loudness", LONG, "LU per minute", "neither", "clips", 2,
           "slope over clips of 30 s and more; 0 is none"),
    Metric("brightness_drift", "Drift of brightness", LONG, "Hz per minute", "neither", "clips", 0,
           "slope of the spectrum's centre over clips of 30 s and more; 0 is none"),
)  # fmt: skip
METRICS = {metric.name: metric for metric in _ALL}


def metric(name: str) -> Metric:
    """A known metric, or one of the control figures that `evaluate.control` names."""
    if name in METRICS:
        return METRICS[name]
    return Metric(name, name[0].upper() + name[1:], CONTROL, "share", "higher", "facts", 2, MEASURES[name], True)
