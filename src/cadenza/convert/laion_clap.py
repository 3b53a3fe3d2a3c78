"""CLAP in LAION's own checkpoints, such as `music_audioset_epoch_15_esc_90.14.pt`, which audiocraft's models listen to.

In: such a file, and the tokenizer of `roberta-base`, which it lacks. Out: the folder that `ClapEncoder` reads. The
names are those of transformers' own conversion; the sizes are read off the tensors.
"""

import re
import shutil
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any

from torch import Tensor

from cadenza.checkpoint import CONFIG_FILE, WEIGHTS_FILE, write_json, write_weights
from cadenza.conditioning.clap_encoder import FRONT_END_FILE, ClapEncoder, ClapFrontEnd
from cadenza.conditioning.t5 import TOKENIZER_FILE
from cadenza.convert.assemble import reading
from cadenza.convert.unpickle import read_pickle
from cadenza.errors import CheckpointError
from cadenza.files import atomic_directory

_NAMES = (
    (r"^text_branch\.", "text_model."),
    (r"^audio_branch\.bn0\.", "audio_model.audio_encoder.batch_norm."),
    (r"^audio_branch\.", "audio_model.audio_encoder."),
    (r"^(audio|text)_projection\.0\.", r"\1_projection.linear1."),
    (r"^(audio|text)_projection\.2\.", r"\1_projection.linear2."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.", ".attention.self."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
)
_UNUSED = re.compile(
    r"^audio_branch\.(spectrogram_extractor|logmel_extractor|tscam_conv|head)\."  # analysis, and a classifier
    r"|^(audio|text)_transform\."  # layers of the training loss
    r"|(attn_mask|position_ids|token_type_ids|relative_position_index)$"  # tables that follow from the sizes
)
_NUMPY = frozenset({"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype"})
"""What the numbers about its training are made of."""
_HEAD_DIM = 64  # of RoBERTa, base and large


def convert_laion_clap(path: str | Path, tokenizer: str | Path, directory: str | Path) -> None:
    """Write the folder of a LAION checkpoint; float32, about 800 MB.

    Args:
        path: the `.pt` file, of a model without fusion over RoBERTa.
        tokenizer: a directory with the `tokenizer.json` of `roberta-base`.
        directory: new or empty.

    Raises:
        CheckpointError: it is no such file. UserError: `transformers`, which builds the towers, is not installed.
    """
    path, tokenizer = Path(path), Path(tokenizer)
    content = read_pickle(path, _NUMPY)
    with reading(path):
        state = content.get("state_dict", content)
        state = {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}
        if any(".fusion_model." in name for name in state):
            raise CheckpointError(f"{path} is a fused CLAP, which draws windows at random: take one without fusion")
        config = _config(state)
    with atomic_directory(directory) as temporary:
        write_json(temporary / CONFIG_FILE, config)
        write_json(temporary / FRONT_END_FILE, ClapFrontEnd().model_dump(mode="json"))
        write_weights(temporary / WEIGHTS_FILE, _renamed(state))
        source = tokenizer / TOKENIZER_FILE
        if not source.is_file():
            raise CheckpointError(f"no {TOKENIZER_FILE} in {tokenizer}: give the directory of FacebookAI/roberta-base")
        shutil.copyfile(source, temporary / TOKENIZER_FILE)
        _ = ClapEncoder.from_pretrained(temporary).towers  # complete and of these sizes, or an error


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """transformers' names; queries, keys and values of the audio tower apart."""
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if _UNUSED.search(name):
            continue
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        if ".qkv." in name:
            parts = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
            result |= {name.replace(".qkv.", f".{part}."): piece for part, piece in parts}
        else:
            result[name] = tensor
    return result


def _config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """`config.json`. KeyError for what the file lacks."""
    depths: list[int] = []
    while blocks := _count(state, f"audio_branch.layers.{len(depths)}.blocks"):
        depths.append(blocks)
    tables = [
        state[f"audio_branch.layers.{i}.blocks.0.attn.relative_position_bias_table"].shape for i in range(len(depths))
    ]
    patches = state["audio_branch.patch_embed.proj.weight"].shape
    words, hidden = state["text_branch.embeddings.word_embeddings.weight"].shape
    audio = {
        "window_size": (isqrt(tables[0][0]) + 1) // 2,
        "num_mel_bins": len(state["audio_branch.bn0.weight"]),
        "hidden_size": state["audio_projection.0.weight"].shape[1],
        "patch_embeds_hidden_size": patches[0],
        "patch_size": patches[-1],
        "depths": depths,
        "num_attention_heads": [heads for _, heads in tables],
        "num_hidden_layers": len(depths),
        "enable_fusion": False,
    }
    text = {
        "vocab_size": words,
        "hidden_size": hidden,
        "num_hidden_layers": _count(state, "text_branch.encoder.layer"),
        "num_attention_heads": hidden // _HEAD_DIM,
        "intermediate_size": state["text_branch.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": state["text_branch.embeddings.position_embeddings.weight"].shape[0],
        # RoBERTa's, with which LAION trained; transformers' conversion left its own default of 1e-12.
        "layer_norm_eps": 1e-5,
    }
    dim = state["audio_projection.2.weight"].shape[0]
    return {"model_type": "clap", "projection_dim": dim, "text_config": text, "audio_config": audio}


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many numbered parts there are below `prefix`."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    return len({match.group(1) for name in state if (match := pattern.match(name))})
