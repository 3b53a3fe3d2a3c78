"""Features computed elsewhere are a value of every condition."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.conditioning.base import Conditioner
from cadenza.conditioning.chroma import ChromaConditioner, ChromaConfig
from cadenza.conditioning.clap import ClapConditioner, ClapConfig
from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.conditioning.embedding import EmbeddingConditioner, EmbeddingConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.style import StyleConditioner, StyleConfig
from cadenza.conditioning.text import TextConditioner, TextConfig
from cadenza.errors import UserError
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import DIM, tiny_musicgen
from tiny_clap import DIM as TOWERS_DIM
from tiny_clap import write_tiny_clap

WIDTH = 12
PARTS = {
    "text": (TextConditioner, TextConfig(dim=WIDTH)),
    "clap": (ClapConditioner, ClapConfig(dim=WIDTH, num_codebooks=2, codebook_size=4)),
    "chroma": (ChromaConditioner, ChromaConfig(dim=WIDTH)),
    "style": (StyleConditioner, StyleConfig(dim=WIDTH, num_heads=2, num_layers=1)),
    "embedding": (EmbeddingConditioner, EmbeddingConfig(dim=WIDTH)),
}


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest) -> Conditioner:
    """A condition without any encoder."""
    torch.manual_seed(0)
    kind, config = PARTS[request.param]
    return kind(config, 8).eval()


@torch.no_grad()
def test_vectors_are_taken_as_features_beside_dropped_values(part: Conditioner) -> None:
    vectors = torch.rand(1, WIDTH) + 0.1
    features = part.prepare([vectors, None])
    assert torch.equal(features[0], vectors)
    rows = [part.window(row, 0.0) for row in features]
    together, alone = part(rows).embedding, part([part.window(vectors, 0.0)]).embedding
    torch.testing.assert_close(together[:1], alone)  # products of more rows add up in another order
    assert bool(together[0].any())


@torch.no_grad()
def test_several_vectors_keep_their_order_but_in_clap_which_averages_them(part: Conditioner) -> None:
    vectors = torch.rand(5, WIDTH)
    features = part.prepare([vectors])[0]
    assert torch.equal(features, vectors.mean(0, keepdim=True) if isinstance(part, ClapConditioner) else vectors)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.ones(3, WIDTH + 1), rf"a tensor \[3, {WIDTH + 1}\] is no condition: give \[length, {WIDTH}\], or "),
        (torch.ones(WIDTH), rf"a tensor \[{WIDTH}\] is no condition: give \[length, {WIDTH}\], or "),
        (torch.ones(0, WIDTH), rf"a tensor \[0, {WIDTH}\] is no condition: give \[length, {WIDTH}\], or "),
        (torch.ones(1, 3, WIDTH), rf"a tensor \[1, 3, {WIDTH}\] is no condition"),
        (torch.full((3, WIDTH), torch.nan), "holds NaN"),
        (torch.full((3, WIDTH), torch.inf), "infinity"),
        (torch.ones(3, WIDTH, dtype=torch.int64), "whole numbers"),
    ],
    ids=lambda value: str(list(value.shape)) if isinstance(value, torch.Tensor) else "",
)
def test_vectors_of_another_kind_are_refused(part: Conditioner, value: torch.Tensor, words: str) -> None:
    with pytest.raises(UserError, match=words + (re.escape(part.accepts) if words.endswith("or ") else "")):
        part.prepare([value])


@pytest.mark.parametrize("value", [3.5, Path("tune.wav"), ["a", "b"]], ids=str)
def test_values_of_another_kind_are_refused(part: Conditioner, value: object) -> None:
    with pytest.raises(UserError, match=type(value).__name__):
        part.prepare([value])


@pytest.mark.parametrize("kind", ["text", "clap"])
def test_music_from_features_is_that_from_their_text(kind: str, tmp_path: Path) -> None:
    model = tiny_musicgen()
    if kind == "clap":
        config = ClapConfig(dim=TOWERS_DIM, codebook_size=64)
        provider = ConditionProvider(
            ConditioningConfig(dim=DIM, conditioners={"description": config}, fuser=FuserConfig.cross_text())
        )
        provider.conditioner("description").attach(ClapEncoder.from_pretrained(write_tiny_clap(tmp_path)))
        model = MusicGen(model.codec, model.lm, provider)
    features = model.conditioning.prepare([{"description": "slow piano"}])["description"][0]
    said = model.generate("slow piano", 0.3, 1).samples
    assert np.array_equal(model.generate("", 0.3, 1, conditions={"description": features}).samples, said)
    assert not np.array_equal(model.generate("", 0.3, 1).samples, said)
    with pytest.raises(UserError, match=r"\[2, 3\] is no condition: give \[length, 16\], or a sentence"):
        model.generate("", 0.3, 1, conditions={"description": torch.ones(2, 3)})
