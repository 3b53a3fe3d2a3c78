"""Adapters side by side with `peft` over `transformers`: theirs in ours, ours in theirs, on random weights."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from cadenza.lm.adapter import merge, mount, read_adapter
from cadenza.lm.model import LM
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import tiny_adapter
from transformers_models import CLOSE, T5, TEXTS, random_musicgen, tokens

# peft asks transformers for something under its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

PLACES: dict[str, dict[str, Any]] = {
    "attention": {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 8},
    "everything": {
        "target_modules": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2", "lm_heads.0", "lm_heads.2"],
        "r": 3,
        "lora_alpha": 5,
        "use_rslora": True,
    },
    "patterns": {
        "target_modules": ["q_proj", "fc1", "fc2"],
        "r": 4,
        "lora_alpha": 8,
        "rank_pattern": {"fc1": 2},
        "alpha_pattern": {"layers.1.fc1": 3, "fc2": 16},
    },
}


@pytest.fixture(scope="module")
def theirs() -> Any:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return random_musicgen(stereo=False)


@pytest.fixture(scope="module")
def ours(theirs: Any, tmp_path_factory: pytest.TempPathFactory) -> MusicGen:
    from transformers import AutoTokenizer

    from cadenza.convert.transformers import read_musicgen

    folder = tmp_path_factory.mktemp("models")
    theirs.save_pretrained(folder)
    AutoTokenizer.from_pretrained(T5).save_pretrained(folder)
    return read_musicgen(folder)


def sequence(lm: LM) -> torch.Tensor:
    codes = torch.randint(0, 64, (2, 4, 9), generator=torch.Generator().manual_seed(0))
    return lm.pattern.build(codes, 64)[0]


def our_logits(model: MusicGen, gains: Any = ()) -> torch.Tensor:
    """Through the cache, as the engine computes."""
    steps = sequence(model.lm)
    cache = model.lm.new_cache(2, steps.shape[2])
    cache.wear(gains)
    heard = model.conditioning(model.conditioning.prepare([{"description": text} for text in TEXTS]))
    model.lm.prefill(cache, heard)
    return model.lm.step(steps, cache)


def their_logits(model: Any, lm: LM) -> torch.Tensor:
    return model(**tokens(), decoder_input_ids=sequence(lm).flatten(0, 1)).logits.view(2, 4, -1, 64)


@torch.no_grad()
@pytest.mark.parametrize("kind", PLACES)
def test_theirs_in_ours(kind: str, theirs: Any, ours: MusicGen, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    wrapped = get_peft_model(copy.deepcopy(theirs), LoraConfig(**PLACES[kind], init_lora_weights=False))
    wrapped.save_pretrained(tmp_path)
    expected = their_logits(wrapped, ours.lm)
    plain = our_logits(ours)
    adapter = read_adapter(tmp_path)
    assert adapter.hash == read_adapter(tmp_path / "adapter_model.safetensors").hash
    beside = our_logits(ours, ((mount(ours.lm, adapter), 1.0),))
    assert (beside - plain).abs().max() > 0.1
    torch.testing.assert_close(beside, expected, **CLOSE)
    before = {name: tensor.clone() for name, tensor in ours.lm.state_dict().items()}
    merge(ours.lm, adapter)
    torch.testing.assert_close(our_logits(ours), expected, **CLOSE)
    ours.lm.load_state_dict(before)


@torch.no_grad()
@pytest.mark.parametrize("again", [False, True], ids=["made here", "theirs, written again"])
def test_ours_in_theirs(again: bool, theirs: Any, ours: MusicGen, tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    adapter = tiny_adapter(ours.lm, 3, rank_stabilized=True, targets=("self_attention", "feed_forward", "heads"))
    if again:
        torch.manual_seed(1)
        wrapped = get_peft_model(copy.deepcopy(theirs), LoraConfig(**PLACES["patterns"], init_lora_weights=False))
        wrapped.save_pretrained(tmp_path / "theirs")
        adapter = read_adapter(tmp_path / "theirs")
    adapter.save(tmp_path / "ours")
    loaded = PeftModel.from_pretrained(copy.deepcopy(theirs), tmp_path / "ours")
    expected = their_logits(loaded, ours.lm)
    torch.testing.assert_close(our_logits(ours, ((mount(ours.lm, adapter), 1.0),)), expected, **CLOSE)
