"""MERT against the HubertModel that it is, its files, and what is refused."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from cadenza.audio import Audio
from cadenza.conditioning import mert
from cadenza.conditioning.mert import Mert, MertConfig, _hubert
from cadenza.errors import CheckpointError, UserError
from cadenza.testing import noise
from tiny_style import MERT_CONFIG, tiny_mert

CPU = torch.device("cpu")
SECONDS = noise(3.0, 24000)

# What the published files say (m-a-p/MERT-v1-95M, config.json), without what HuBERT does not read.
PUBLISHED: dict[str, Any] = {
    "model_type": "mert_model",
    "architectures": ["MERTModel"],
    "auto_map": {"AutoModel": "modeling_MERT.MERTModel"},
    "attention_relax": -1.0,
    "conv_bias": False,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "deepnorm": False,
    "do_stable_layer_norm": False,
    "feat_extract_activation": "gelu",
    "feat_extract_norm": "group",
    "feat_proj_layer_norm": True,
    "feature_extractor_cqt": False,
    "feature_extractor_cqt_bins": 336,
    "hidden_act": "gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "mask_time_prob": 0.05,
    "num_attention_heads": 12,
    "num_conv_pos_embedding_groups": 16,
    "num_conv_pos_embeddings": 128,
    "num_hidden_layers": 12,
    "sample_rate": 24000,
}


def test_the_vectors_are_those_of_the_hubert_that_others_build() -> None:
    mert = tiny_mert()
    theirs = transformers.HubertModel(
        transformers.HubertConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            conv_dim=[4] * 7,
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=4,
        )
    ).eval()
    names = {
        name.replace(".weight_g", ".parametrizations.weight.original0").replace(
            ".weight_v", ".parametrizations.weight.original1"
        ): tensor
        for name, tensor in mert.state.items()
    }
    theirs.load_state_dict({"masked_spec_embed": torch.zeros(16), **names})
    with torch.no_grad():
        expected = theirs(torch.from_numpy(SECONDS.samples)).last_hidden_state[0]
    found = mert.extract(SECONDS, CPU)
    assert found.shape == (224, 16)
    assert float(expected.std()) > 0.1
    assert torch.equal(found, expected)


def test_the_published_configuration_is_the_default() -> None:
    config = MertConfig.model_validate(PUBLISHED)
    assert config == MertConfig()
    assert config.frame_rate == 75
    shapes = {name: tuple(tensor.shape) for name, tensor in _hubert(config).state_dict().items()}
    assert len(shapes) == 210
    assert shapes["feature_extractor.conv_layers.0.conv.weight"] == (512, 1, 10)
    assert shapes["feature_projection.projection.weight"] == (768, 512)
    assert shapes["encoder.pos_conv_embed.conv.parametrizations.weight.original1"] == (768, 48, 128)
    assert shapes["encoder.layers.11.feed_forward.intermediate_dense.weight"] == (3072, 768)


def test_the_larger_published_model_has_its_norms_first() -> None:
    """m-a-p/MERT-v1-330M, by what its `config.json` says otherwise."""
    large = {
        "attention_relax": 32.0,
        "do_stable_layer_norm": True,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
    }
    config = MertConfig.model_validate(PUBLISHED | large)
    assert config.norm_first
    model = _hubert(config)
    assert type(model.encoder).__name__ == "HubertEncoderStableLayerNorm"
    assert len(model.encoder.layers) == 24
    assert model.encoder.layers[23].feed_forward.output_dense.weight.shape == (1024, 4096)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deepnorm": True}, "deepnorm is True, only False is supported"),
        ({"feature_extractor_cqt": True}, "feature_extractor_cqt is True, only False is supported: use m-a-p/MERT"),
        ({"feat_extract_norm": "layer"}, "feat_extract_norm is 'layer'"),
        ({"hidden_size": "wide"}, "dim"),
    ],
)
def test_what_hubert_cannot_express_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    tiny_mert().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED | changes))
    with pytest.raises(CheckpointError, match=message) as caught:
        Mert.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_saved_and_loaded_it_hears_the_same(tmp_path: Path) -> None:
    mert = tiny_mert()
    mert.save_pretrained(tmp_path)
    loaded = Mert.from_pretrained(tmp_path)
    assert loaded.config == MERT_CONFIG
    for _ in range(2):  # the second time after its memory was given back
        assert torch.equal(loaded.extract(SECONDS, CPU), mert.extract(SECONDS, CPU))
    assert loaded._weights is not None
    assert len(loaded._weights._parameters) > 30


def test_files_of_half_precision_are_heard_in_full(tmp_path: Path) -> None:
    tiny_mert().save_pretrained(tmp_path, torch.bfloat16)
    heard = Mert.from_pretrained(tmp_path).extract(SECONDS, CPU)
    assert heard.dtype == torch.float32
    # Weights rounded to 8 bits: measured 0.02 on values of size 1.
    torch.testing.assert_close(heard, tiny_mert().extract(SECONDS, CPU), atol=0.2, rtol=0)


def test_any_rate_and_number_of_channels() -> None:
    mert = tiny_mert()
    stereo = Audio(SECONDS.samples.repeat(2, axis=0), 24000)
    assert torch.equal(mert.extract(stereo, CPU), mert.extract(SECONDS, CPU))
    assert mert.extract(noise(3.0, 44100), CPU).shape == (224, 16)


def test_weights_that_do_not_fit_are_refused() -> None:
    state = tiny_mert().state
    wrong = dict(state) | {"encoder.layer_norm.weight": torch.ones(3)}
    del wrong["encoder.layers.0.attention.q_proj.bias"]
    with pytest.raises(CheckpointError, match=r"missing: encoder.layers.0.attention.q_proj.bias; .*\[3\]"):
        Mert(MERT_CONFIG, wrong, "mert.bin").extract(SECONDS, CPU)


def test_without_transformers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    mert = tiny_mert()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r'needs the package transformers .*pip install "transformers>=5.0"'):
        mert.extract(SECONDS, CPU)


def test_threads_that_ask_at_once_share_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """As requests to a scheduler do, each from its own thread."""
    encoder = tiny_mert()
    built: list[MertConfig] = []
    build = mert._hubert

    def slow(config: MertConfig) -> torch.nn.Module:
        built.append(config)
        time.sleep(0.05)
        return build(config)

    monkeypatch.setattr(mert, "_hubert", slow)
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: encoder.model, range(4)))
    assert len(built) == 1
    assert all(model is models[0] for model in models)
