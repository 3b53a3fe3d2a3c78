"""The reference's tiny language models, loaded from its own files: shared by the tests of several rooms."""

import functools
import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from cadenza.audio import Audio
from cadenza.conditioning.base import Condition
from cadenza.conditioning.chroma import ChromaConditioner
from cadenza.conditioning.fuser import FusedConditions, fuse
from cadenza.conditioning.provider import ConditionProvider, Prepared
from cadenza.conditioning.text import TextEncoder
from cadenza.convert.audiocraft_lm import read_lm
from cadenza.lm.model import LM

PARITY = Path(__file__).parent / "parity"
NAMES = ("text", "stereo", "melody")


class Oracle(NamedTuple):
    lm: LM
    provider: ConditionProvider
    texts: list[str]
    expected: dict[str, Tensor]

    def prepared(self) -> Prepared:
        items: list[dict[str, object]] = [{"description": text} for text in self.texts]
        if "self_wav" in self.provider.config.conditioners:
            # The reference collates the batch: all recordings as long as the longest, then one chromagram each.
            waves = [self.expected[f"melody_wav_{i}"] for i in range(len(items))]
            longest = max(wave.shape[1] for wave in waves)
            for item, wave in zip(items, waves, strict=True):
                padded = torch.nn.functional.pad(wave, (0, longest - wave.shape[1]))
                item["self_wav"] = Audio(padded.numpy(), 32000)
        return self.provider.prepare(items)

    @torch.no_grad()
    def conditions(self) -> FusedConditions:
        """Both prompts, and the melody of both recordings."""
        return fuse(self.by_name(), self.provider.config.fuser)

    @torch.no_grad()
    def by_name(self) -> dict[str, Condition]:
        prepared, conditions = self.prepared(), {}
        for name, condition in self.provider.conditions(prepared).items():
            if name == "self_wav":
                # Without `match_len_on_eval` the reference zeroes what lies behind the end of a recording.
                mask = self.expected["condition.self_wav.mask"].bool()
                condition = Condition(condition.embedding * mask[..., None], mask)
            conditions[name] = condition
        return conditions

    @torch.no_grad()
    def null(self, batch: int = 2) -> FusedConditions:
        """Everything dropped."""
        return self.provider(self.provider.null(batch))


@functools.cache
def oracle(name: str) -> Oracle:
    folder = PARITY / f"musicgen_{name}_tiny"
    checkpoint = read_lm(folder / "state_dict.bin")
    provider = checkpoint.conditioning
    for part in provider.children():
        if isinstance(part, ChromaConditioner):  # as the file says; the reference's loader overrules it (trap 7)
            part.config = part.config.model_copy(update={"length": None})
    checkpoint.conditioning.attach_text_encoder(TextEncoder.from_pretrained(PARITY / "t5_tiny"))
    texts = json.loads((folder / "prompts.json").read_text())["texts"]
    return Oracle(checkpoint.lm.eval(), checkpoint.conditioning.eval(), texts, load_file(folder / "io.safetensors"))
