"""What foreign files leave open about how the parts of a MusicGen belong together.

In: parts, or a `MusicGen`. Out: a codec that fits the language model; the parts with weights behind wrappers.
"""

from cadenza.codec.base import Codec
from cadenza.codec.encodec import EnCodec
from cadenza.codec.stereo import StereoCodec
from cadenza.conditioning.chroma import ChromaConfig
from cadenza.conditioning.clap import ClapConfig
from cadenza.conditioning.provider import ConditioningConfig
from cadenza.conditioning.style import StyleConfig
from cadenza.conditioning.text import TextConditioner, TextConfig, TextEncoder
from cadenza.errors import CheckpointError, UserError
from cadenza.pipelines.musicgen import MusicGen


def fit_codec(codec: EnCodec, num_codebooks: int, stereo: bool | None, source: object) -> Codec:
    """The codec as a language model over `num_codebooks` streams needs it: fewer codebooks, or left and right in turn.

    `stereo` None: whatever makes the numbers agree.
    """
    available = codec.config.num_codebooks
    if stereo is None:
        stereo = codec.channels == 1 and num_codebooks == 2 * available
    needed = num_codebooks // 2 if stereo else num_codebooks
    if needed > available or (stereo and (num_codebooks % 2 or codec.channels != 1)):
        raise CheckpointError(
            f"{source}: its language model wants {num_codebooks} codebooks, its codec has {available}: "
            "these two do not belong together"
        )
    mono = with_codebooks(codec, needed, source)
    return StereoCodec(mono) if stereo else mono


def with_codebooks(codec: Codec, num_codebooks: int, source: object) -> EnCodec:
    """The codec at the bandwidth of its first codebooks."""
    inner = mono_codec(codec)
    if num_codebooks > inner.config.num_codebooks:
        raise CheckpointError(f"{source} has {inner.config.num_codebooks} codebooks, {num_codebooks} are needed")
    if num_codebooks != inner.num_codebooks:
        inner.config = inner.config.model_copy(update={"used_codebooks": num_codebooks})
    return inner


def mono_codec(codec: Codec) -> EnCodec:
    """The codec that holds the weights: the one inside a stereo wrapper."""
    inner = codec.mono if isinstance(codec, StereoCodec) else codec
    if not isinstance(inner, EnCodec):
        raise UserError(f"only an EnCodec can be exported, not a {type(inner).__name__}")
    return inner


def text_encoder(model: MusicGen) -> TextEncoder | None:
    """The frozen encoder of the text condition."""
    conditioner = model.conditioning.conditioner(model.config.text_condition)
    return conditioner.encoder if isinstance(conditioner, TextConditioner) else None


def roles(config: ConditioningConfig) -> dict[str, str]:
    """Which condition hears the prompt, the melody and the style, as fields of a `MusicGenConfig`; none for what the
    model does not listen to.
    """
    fields = {
        TextConfig: "text_condition",
        ClapConfig: "text_condition",
        ChromaConfig: "melody_condition",
        StyleConfig: "style_condition",
    }
    found: dict[str, str] = {}
    for name, part in config.conditioners.items():
        if type(part) in fields:
            found.setdefault(fields[type(part)], name)
    return found
