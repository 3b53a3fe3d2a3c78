"""A stereo model to begin fine-tuning from, made of a mono one.

In: a MusicGen over the K codebooks of a mono codec. Out: one over 2K, left and right in turn: token embedding and
output head of each codebook stand twice, both channels take the steps of the codebook in the pattern, all else is the
mono model's. This is how the official stereo models began (200,000 updates, then; reference, section 7.5).

What the start does, before training: heads are equal in pairs, so left and right are drawn from the same distribution,
and greedy music is the same in both channels. Its input is the sum over twice as many embeddings, so it is not the mono
model's music: where both channels hold the same codes it is twice as large.
"""

from torch import Tensor

from cadenza.checkpoint import assign_weights, on_meta
from cadenza.codec.stereo import StereoCodec
from cadenza.errors import UserError
from cadenza.lm.model import LM
from cadenza.lm.patterns import stereo_pattern
from cadenza.nn.linear import kind_of
from cadenza.pipelines.musicgen import MusicGen

_PER_CODEBOOK = ("embeddings", "heads")


def stereo_start(model: MusicGen) -> MusicGen:
    """The stereo start of a mono model.

    The two share every weight but embeddings and heads: train one of them only, or save and load the start first.
    Raises UserError for a model that is in stereo already, or whose weights or pattern cannot be used.
    """
    name = model.config.name
    if model.codec.channels != 1:
        raise UserError(f"{name} is in stereo already: a stereo start is made of a mono model")
    if (kind := kind_of(model.lm)) is not None:
        raise UserError(f"{name} has weights in {kind}, which cannot be trained: give the model they were made of")
    mono = model.lm.config
    pattern = stereo_pattern(mono.pattern, mono.num_codebooks)
    with on_meta():
        lm = LM(mono.model_copy(update={"num_codebooks": 2 * mono.num_codebooks, "pattern": pattern}))
    assign_weights(lm, _doubled(model.lm.state_dict()), name)
    config = model.config.model_copy(update={"name": f"{name} (stereo start)", "stereo": True})
    return MusicGen(StereoCodec(model.codec), lm, model.conditioning, config)


def _doubled(mono: dict[str, Tensor]) -> dict[str, Tensor]:
    """`embeddings.k` and `heads.k` of codebook k twice, as `2 k` (left) and `2 k + 1` (right)."""
    state: dict[str, Tensor] = {}
    for name, tensor in mono.items():
        part, _, rest = name.partition(".")
        if part not in _PER_CODEBOOK:
            state[name] = tensor
            continue
        codebook, _, leaf = rest.partition(".")
        for channel in range(2):
            state[f"{part}.{2 * int(codebook) + channel}.{leaf}"] = tensor.clone()
    return state
