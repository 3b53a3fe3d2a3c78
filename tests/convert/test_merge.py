"""Adapters in a model's own weights."""

import pytest
import torch

from cadenza.convert.merge import merged
from cadenza.errors import UserError
from cadenza.testing import tiny_adapter, tiny_lm, tiny_musicgen


def test_one_that_does_not_fit_leaves_the_model_as_it_was() -> None:
    music = tiny_musicgen()
    before = {name: tensor.clone() for name, tensor in music.lm.state_dict().items()}
    fitting = tiny_adapter(music.lm)
    foreign = tiny_adapter(tiny_lm(num_codebooks=8), targets=("heads",))
    with pytest.raises(UserError, match="which this model has not"):
        merged(music, [(fitting, 1.0), (foreign, 1.0)])
    assert all(torch.equal(tensor, before[name]) for name, tensor in music.lm.state_dict().items())


def test_the_result_says_what_is_in_it() -> None:
    music = tiny_musicgen()
    weights = music.weights
    adapter = tiny_adapter(music.lm)
    whole = merged(music, [(adapter, 0.5)])
    assert whole.config.name == f"{music.config.name} + 0.5 {adapter.hash[:12]}"
    assert whole.weights != weights
