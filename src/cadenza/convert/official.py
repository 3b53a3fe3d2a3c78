"""The published models of the MusicGen family, of AudioGen and of Jukebox, as data (reference: their model cards).

In: a name as on the Hugging Face Hub. Out: what kind of model it is and what its weights may be used for.
"""

from typing import Literal, NamedTuple, get_args

LICENCE = "CC-BY-NC 4.0 (weights by Meta: not for commercial use)"
UNKNOWN_LICENCE = "unknown: ask where the weights came from (Meta's are CC-BY-NC 4.0, not for commercial use)"


class Official(NamedTuple):
    """A published model: what conditions it listens to, its size in parameters, its channels."""

    conditions: str
    size: str
    channels: int = 1
    licence: str = LICENCE


MODELS = {
    "facebook/musicgen-small": Official("text", "300M"),
    "facebook/musicgen-medium": Official("text", "1.5B"),
    "facebook/musicgen-large": Official("text", "3.3B"),
    "facebook/musicgen-melody": Official("text, melody", "1.5B"),
    "facebook/musicgen-melody-large": Official("text, melody", "3.3B"),
    "facebook/musicgen-stereo-small": Official("text", "300M", 2),
    "facebook/musicgen-stereo-medium": Official("text", "1.5B", 2),
    "facebook/musicgen-stereo-large": Official("text", "3.3B", 2),
    "facebook/musicgen-stereo-melody": Official("text, melody", "1.5B", 2),
    "facebook/musicgen-stereo-melody-large": Official("text, melody", "3.3B", 2),
    "facebook/musicgen-style": Official("text, style", "1.5B"),
    "facebook/audiogen-medium": Official("text", "1.5B"),
}


MusicGenName = Literal[
    "facebook/musicgen-small",
    "facebook/musicgen-medium",
    "facebook/musicgen-large",
    "facebook/musicgen-melody",
    "facebook/musicgen-melody-large",
    "facebook/musicgen-stereo-small",
    "facebook/musicgen-stereo-medium",
    "facebook/musicgen-stereo-large",
    "facebook/musicgen-stereo-melody",
    "facebook/musicgen-stereo-melody-large",
    "facebook/musicgen-style",
    "facebook/audiogen-medium",
]
"""The same names, for a type checker to know what `load` makes of them."""

JukeboxName = Literal["openai/jukebox-1b-lyrics", "openai/jukebox-5b-lyrics"]
JUKEBOXES: tuple[JukeboxName, ...] = get_args(JukeboxName)
"""As transformers has them on the Hub. OpenAI's own files are read from a directory."""


class OfficialDecoder(NamedTuple):
    """A published diffusion decoder: its file in the repository, and whose codes it decodes."""

    file: str
    codec: str
    facts: tuple[int, int, float, int]
    """Codebooks, entries of one, frames a second, hertz."""


DECODER_REPOSITORY = "facebook/multiband-diffusion"
DECODERS = {
    "mbd_musicgen_32khz": OfficialDecoder("mbd_musicgen_32khz.th", "facebook/encodec_32khz", (4, 2048, 50.0, 32000)),
    "mbd_comp_2": OfficialDecoder("mbd_comp_2.pt", "facebook/encodec_24khz", (2, 1024, 75.0, 24000)),
    "mbd_comp_4": OfficialDecoder("mbd_comp_4.pt", "facebook/encodec_24khz", (4, 1024, 75.0, 24000)),
    "mbd_comp_8": OfficialDecoder("mbd_comp_8.pt", "facebook/encodec_24khz", (8, 1024, 75.0, 24000)),
}
"""The first is for MusicGen, whose codec is facebook/encodec_32khz."""

CODECS = ("facebook/encodec_24khz", "facebook/encodec_32khz", "facebook/encodec_48khz")

ENCODERS = {  # the names in audiocraft's files -> repositories
    "t5-small": "google-t5/t5-small",
    "t5-base": "google-t5/t5-base",
    "t5-large": "google-t5/t5-large",
    "t5-3b": "google-t5/t5-3b",
    "t5-11b": "google-t5/t5-11b",
}


def licence_of(name: str) -> str:
    """The licence of the weights that go by this name."""
    return MODELS[name].licence if name in MODELS else UNKNOWN_LICENCE
