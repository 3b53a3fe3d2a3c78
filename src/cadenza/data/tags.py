"""What is heard in a recording, in three probabilities: voices, noise, and whether it is music at all.

In: a window of sound. Out: `Scores`, by a trained tagger of audio events through the `transformers` package (extra
`hub`): the Audio Spectrogram Transformer (Gong et al. 2021) with the 527 classes of AudioSet (Gemmeke et al. 2017). Any
object with a name and `judge` may stand in its place.
"""

import warnings
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from cadenza.audio import Audio
from cadenza.errors import UserError

KNOWN_GOOD = "MIT/ast-finetuned-audioset-10-10-0.4593"
"""A tagger on the Hugging Face Hub (BSD-3-Clause, 350 MB)."""

# Names of AudioSet's classes. A group's probability is that of its likeliest class: they are not exclusive.
VOCALS = (
    "Speech",
    "Male speech, man speaking",
    "Female speech, woman speaking",
    "Child speech, kid speaking",
    "Conversation",
    "Narration, monologue",
    "Speech synthesizer",
    "Shout",
    "Singing",
    "Choir",
    "Yodeling",
    "Chant",
    "Mantra",
    "Male singing",
    "Female singing",
    "Child singing",
    "Synthetic singing",
    "Rapping",
    "Humming",
    "Beatboxing",
    "Vocal music",
    "A capella",
)
NOISE = (
    "Noise",
    "Environmental noise",
    "White noise",
    "Pink noise",
    "Static",
    "Distortion",
    "Hum",
    "Mains hum",
    "Buzz",
    "Rumble",
    "Vibration",
    "Crackle",
    "Wind",
    "Wind noise (microphone)",
    "Rain",
    "Thunderstorm",
    "Stream",
    "Waves, surf",
    "Vehicle",
    "Engine",
    "Traffic noise, roadway noise",
    "Crowd",
    "Hubbub, speech noise, speech babble",
    "Applause",
    "Cheering",
)
MUSIC = ("Music", "Musical instrument", "Song")


class Scores(NamedTuple):
    """Probabilities, each for itself: a song has voices and is music."""

    vocals: float
    noise: float
    music: float


@runtime_checkable
class Tagger(Protocol):
    """Judges windows of ten seconds."""

    @property
    def name(self) -> str:
        """How a manifest calls the method."""

    def judge(self, audio: Audio) -> Scores:
        """The scores of a window, at any rate and number of channels."""


class AstTagger:
    """A folder or name on the Hub with `ASTForAudioClassification` and its feature extractor."""

    def __init__(self, source: str | Path, device: str = "cpu") -> None:
        """Raises UserError where `transformers` or the model is missing, or where its classes are not AudioSet's."""
        self.name, self.device = str(source), device
        try:
            from transformers import ASTFeatureExtractor, ASTForAudioClassification
        except ImportError as error:
            raise UserError(
                f"a trained tagger needs the package transformers: pip install cadenza[hub] ({error})"
            ) from error
        if Path(source).exists() and not (Path(source) / "config.json").is_file():
            raise UserError(f"{source} holds no config.json: give the folder of a tagger such as {KNOWN_GOOD}")
        try:
            with warnings.catch_warnings():  # the lowest of its 128 bands is empty, as in the published model
                warnings.filterwarnings("ignore", "At least one mel filter has all zero values")
                self._front_end: Any = ASTFeatureExtractor.from_pretrained(self.name)
            model: Any = ASTForAudioClassification.from_pretrained(self.name, use_safetensors=True)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"no tagger {self.name}: {reason} (give a folder, or a name such as {KNOWN_GOOD})"
            ) from error
        self._model = model.to(device).eval()
        classes = {str(label).lower(): int(index) for index, label in model.config.id2label.items()}
        self._groups = [
            [classes[name.lower()] for name in group if name.lower() in classes] for group in (VOCALS, NOISE, MUSIC)
        ]
        if not all(self._groups):
            raise UserError(f"{self.name} has no class for speech, noise or music: use a tagger of AudioSet's classes")

    def judge(self, audio: Audio) -> Scores:
        import torch

        rate = self._front_end.sampling_rate
        wave = audio.with_channels(1).resample(rate).samples[0]
        features = self._front_end(wave, sampling_rate=rate, return_tensors="pt")["input_values"]
        with torch.inference_mode():
            chances = self._model(features.to(self.device)).logits[0].sigmoid().cpu()
        return Scores(*(float(chances[group].max()) for group in self._groups))
