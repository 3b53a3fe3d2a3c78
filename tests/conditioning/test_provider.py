"""All conditions together: names, null values, folders."""

from pathlib import Path

import pytest
import torch

from cadenza.conditioning.embedding import EmbeddingConfig
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.text import TextConfig, TextEncoder
from cadenza.errors import UserError

T5_TINY = Path(__file__).parents[1] / "parity" / "t5_tiny"
CONFIG = ConditioningConfig(
    dim=16,
    conditioners={"description": TextConfig(dim=48), "self_wav": EmbeddingConfig(dim=12)},
    fuser=FuserConfig(prepend=("self_wav", "description")),
)


def provider() -> ConditionProvider:
    torch.manual_seed(0)
    built = ConditionProvider(CONFIG)
    built.attach_text_encoder(TextEncoder.from_pretrained(T5_TINY))
    return built.eval()


@torch.no_grad()
def test_conditions_of_items_come_together() -> None:
    made = provider()
    melody = torch.randn(3, 12)
    prepared = made.prepare([{"description": "rock", "self_wav": melody}, {"self_wav": melody}, {}])
    fused = made(prepared)
    text = prepared["description"][0].shape[0]
    assert fused.prefix.shape == (3, 3 + text, 16)
    assert torch.equal(fused.prefix[0, :3], fused.prefix[1, :3])
    assert bool(fused.prefix[0, 3:].any())
    assert not bool(fused.prefix[1, 3:].any())
    assert not bool(fused.prefix[2].any())


@torch.no_grad()
def test_dropping() -> None:
    made = provider()
    prepared = made.prepare([{"description": "rock", "self_wav": torch.randn(3, 12)}] * 2)
    dropped = made.drop(prepared, "description")
    assert dropped["description"] == [None, None]
    assert dropped["self_wav"] is prepared["self_wav"]
    assert made.null(2) == {"description": [None, None], "self_wav": [None, None]}
    assert made.drop(prepared, "description", "self_wav") == made.null(2)
    assert made.null(1) == made.prepare([{}])
    assert made.window(prepared, 20.0) == prepared


def test_unknown_names_are_refused() -> None:
    with pytest.raises(
        UserError, match="no condition 'lyrics': it listens to description: a sentence, self_wav: a tensor"
    ):
        provider().prepare([{"lyrics": "la la"}])
    with pytest.raises(UserError, match="the fuser names 'melody'"):
        ConditionProvider(ConditioningConfig(dim=16, fuser=FuserConfig(cross=("melody",))))
    with pytest.raises(UserError, match="48 wide, the model expects 768"):
        ConditionProvider(ConditioningConfig(dim=16)).attach_text_encoder(TextEncoder.from_pretrained(T5_TINY))


@torch.no_grad()
def test_saved_and_loaded_with_its_encoder(tmp_path: Path) -> None:
    made = provider()
    made.save_pretrained(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == [
        "config.json",
        "model.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder/tokenizer.json",
    ]
    loaded = ConditionProvider.from_pretrained(tmp_path)
    item = [{"description": "slow sad piano", "self_wav": torch.randn(3, 12)}]
    assert torch.equal(loaded(loaded.prepare(item)).prefix, made(made.prepare(item)).prefix)
    half = ConditionProvider.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert half(half.prepare(item)).prefix.dtype == torch.bfloat16
    assert half.conditioner("description").encoder.model.shared.weight.dtype == torch.float32


def test_without_its_encoder_a_model_still_takes_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ConditionProvider(CONFIG).save_pretrained(tmp_path)
    loaded = ConditionProvider.from_pretrained(tmp_path)
    assert loaded({"description": [torch.randn(5, 48)], "self_wav": [None]}).prefix.shape == (1, 6, 16)
