"""The reference's tiny language models, loaded from its own files: shared by the tests of several rooms."""

import functools
import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from cadenza.conditioning.base import Condition
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
        return self.provider.prepare([{"description": text} for text in self.texts])

    @torch.no_grad()
    def conditions(self) -> FusedConditions:
        """Both prompts; the melody condition as the reference gave it, projected."""
        return self._fused(self.prepared(), self.expected.get("condition.self_wav"))

    @torch.no_grad()
    def null(self, batch: int = 2) -> FusedConditions:
        """Everything dropped. The melody's null is silence of one analysis window: five frames, masked."""
        return self._fused(self.provider.null(batch), torch.zeros(batch, 5, self.lm.config.dim))

    def _fused(self, prepared: Prepared, melody: Tensor | None) -> FusedConditions:
        conditions = self.provider.conditions(prepared)
        if "self_wav" in conditions:
            assert melody is not None
            conditions["self_wav"] = Condition(melody, torch.ones(melody.shape[:2], dtype=torch.bool))
        return fuse(conditions, self.provider.config.fuser)


@functools.cache
def oracle(name: str) -> Oracle:
    folder = PARITY / f"musicgen_{name}_tiny"
    checkpoint = read_lm(folder / "state_dict.bin")
    checkpoint.conditioning.attach_text_encoder(TextEncoder.from_pretrained(PARITY / "t5_tiny"))
    texts = json.loads((folder / "prompts.json").read_text())["texts"]
    return Oracle(checkpoint.lm.eval(), checkpoint.conditioning.eval(), texts, load_file(folder / "io.safetensors"))
