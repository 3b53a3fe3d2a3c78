"""The modules of a language-model run: continued, loaded, or new.

In: the settings, and the captions that a new tokenizer learns from. Out: `Parts`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cadenza.checkpoint import CONFIG_FILE, read_json, weights_hash
from cadenza.codec.encodec import EnCodec
from cadenza.conditioning.clap import ClapConditioner
from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.conditioning.mert import Mert
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.reader import PlanReader
from cadenza.conditioning.style import StyleConditioner
from cadenza.conditioning.t5 import T5Encoder
from cadenza.conditioning.text import TextConfig, TextEncoder
from cadenza.errors import UserError
from cadenza.lm.adapter import AdapterRecord, attach
from cadenza.lm.model import LM
from cadenza.train.objectives.lm import Parts
from cadenza.train.objectives.lm_config import LMObjectiveConfig
from cadenza.train.tokenizer import train_tokenizer


def build_parts(config: LMObjectiveConfig, captions: Sequence[str], seed: int) -> Parts:
    """The modules of a run; new weights come from the seed. `captions` train a new tokenizer."""
    generator = torch.Generator().manual_seed(seed)
    codec = EnCodec.from_pretrained(config.codec)
    if config.start_from is not None:
        start = Path(config.start_from)
        conditioning = _continued(config.conditioning, start / "conditioning")
        folder = start / "conditioning" / "text_encoder"
        # A model from elsewhere may have come without its encoder.
        encoder = TextEncoder.from_pretrained(folder) if folder.is_dir() else _text_encoder(config, captions, generator)
        lm = LM.from_pretrained(start / "lm", dtype=torch.float32)
    else:
        lm = LM(config.lm)
        lm.initialize(generator)
        conditioning = ConditionProvider(config.conditioning)
        encoder = _text_encoder(config, captions, generator)
    if encoder is None and config.name_of(TextConfig) is not None:
        raise UserError("the model reads text, but there is no text encoder: name one in objective.text_encoder")
    _attach_ears(config, conditioning, codec)
    if config.reader is not None:
        conditioning.attach_reader(PlanReader.from_pretrained(config.reader))
    if config.adapter is None:
        return Parts(lm, conditioning, encoder, codec)
    if config.start_from is None:
        raise UserError("an adapter belongs to a model: name its directory in objective.start_from")
    branches = attach(lm, config.adapter, generator)
    return Parts(lm, conditioning, encoder, codec, branches, _record(config, Path(config.start_from)))


def _record(config: LMObjectiveConfig, start: Path) -> AdapterRecord:
    name = read_json(start / CONFIG_FILE).get("name", "unknown")
    return AdapterRecord(base=str(name), base_weights=weights_hash(start), licence=config.licence)


def _text_encoder(config: LMObjectiveConfig, captions: Sequence[str], generator: torch.Generator) -> TextEncoder | None:
    if config.text_encoder is None:
        return None
    if isinstance(config.text_encoder, str):
        return TextEncoder.from_pretrained(config.text_encoder)
    tokenizer = train_tokenizer(captions, config.text_encoder.vocab_size)
    model = T5Encoder(config.text_encoder)
    model.initialize(generator)
    return TextEncoder(model, tokenizer)


def _attach_ears(config: LMObjectiveConfig, conditioning: ConditionProvider, codec: EnCodec) -> None:
    """What hears style and sound: MERT, CLAP, or the codec."""
    conditioning.attach_codec(codec)
    if config.style_encoder is not None:
        conditioning.attach_style_encoder(Mert.from_pretrained(config.style_encoder))
    for part in conditioning.children():
        if isinstance(part, ClapConditioner) and config.clap_encoder is not None:
            part.attach(ClapEncoder.from_pretrained(config.clap_encoder))
        if isinstance(part, StyleConditioner) and part.extractor is None:
            raise UserError("nothing hears the style: name the folder of MERT in objective.style_encoder")


def _continued(config: ConditioningConfig, directory: Path) -> ConditionProvider:
    """Conditions with the weights of a model that has some of them; new ones begin by adding nothing."""
    before = ConditionProvider.from_pretrained(directory, dtype=torch.float32)
    provider = ConditionProvider(config)
    if before.reader is not None and config.reader_folder is not None:
        provider.attach_reader(before.reader)
    for name in config.conditioners:
        part = provider.conditioner(name)
        if name in before.config.conditioners:
            part.load_state_dict(before.conditioner(name).state_dict())
            continue
        *_, last = part.output_projection.modules()  # the layer before it, if there is one, must not be 0 to learn
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
    return provider
