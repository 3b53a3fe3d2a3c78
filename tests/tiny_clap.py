"""A tiny CLAP with random weights, as a folder that transformers wrote: shared by the tests of several rooms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

DIM = 16
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def write_tiny_clap(directory: Path, text: Mapping[str, Any] | None = None) -> Path:
    """Towers that transformers made and saved, and a tokenizer with one token per letter or run of spaces.

    `text` changes settings of the text tower.
    """
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    torch.manual_seed(0)
    config = ClapConfig(
        text_config={
            "vocab_size": 40,
            "hidden_size": 32,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 90,
            **(text or {}),
        },
        audio_config={
            "hidden_size": 32,
            "patch_embeds_hidden_size": 8,
            "depths": [1, 1, 1],
            "num_attention_heads": [2, 2, 4],
            "num_hidden_layers": 3,
        },
        projection_dim=DIM,
    )
    model = ClapModel(config).eval()
    for parameter in model.parameters():  # large enough that every input makes a difference
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.audio_model.audio_encoder.batch_norm.running_mean.fill_(-40.0)
    model.audio_model.audio_encoder.batch_norm.running_var.fill_(900.0)
    model.save_pretrained(directory)
    ClapFeatureExtractor(frequency_min=50, truncation="rand_trunc").save_pretrained(directory)
    vocabulary = {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", " ", *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z]| +"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory
