"""Our T5 encoder against transformers' and the files it writes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cadenza.checkpoint import write_weights
from cadenza.conditioning.t5 import TIED_EMBEDDING, T5Config, T5Encoder, TextTokenizer
from cadenza.errors import CheckpointError

T5_TINY = Path(__file__).parents[1] / "parity" / "t5_tiny"
SENTENCES = ["happy rock song with guitar and drums", "slow sad piano melody", "", "Ünïcödé 🎹 éclair"]


@pytest.fixture(scope="module", params=["relu", "gated-gelu"])
def official(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A directory as transformers writes it, and its model."""
    from transformers import T5Config as TheirConfig
    from transformers import T5EncoderModel

    torch.manual_seed(0)
    config = TheirConfig(
        vocab_size=60,
        d_model=32,
        d_kv=6,
        d_ff=40,
        num_layers=3,
        num_heads=4,
        feed_forward_proj=request.param,
        relative_attention_num_buckets=12,
        relative_attention_max_distance=20,
    )
    model = T5EncoderModel(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    directory = tmp_path_factory.mktemp("t5")
    model.save_pretrained(directory)
    return directory, model


@torch.no_grad()
def test_equals_transformers_on_random_weights(official: tuple[Path, torch.nn.Module]) -> None:
    directory, theirs = official
    ours = T5Encoder.from_pretrained(directory)
    ids = torch.randint(0, 60, (3, 50))  # longer than the distance that shares a bucket
    lengths = torch.tensor([50, 31, 1])
    mask = torch.arange(50) < lengths[:, None]
    expected = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    # Float32 sums in another order, through attention without scaling.
    torch.testing.assert_close(ours(ids, mask)[mask], expected[mask], atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_a_whole_flan_t5_as_published(tmp_path: Path) -> None:
    """Encoder and decoder in one file, beside an output head that is not tied to the embedding."""
    from transformers import T5Config as TheirConfig
    from transformers import T5ForConditionalGeneration

    torch.manual_seed(0)
    config = TheirConfig(
        vocab_size=60,
        d_model=32,
        d_kv=6,
        d_ff=40,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    theirs = T5ForConditionalGeneration(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors") | {"lm_head.weight": torch.randn(60, 32)}
    assert any(name.startswith("decoder.block.1.layer.1.EncDecAttention") for name in stored)
    write_weights(tmp_path / "model.safetensors", stored)
    ours = T5Encoder.from_pretrained(tmp_path)
    ids = torch.randint(0, 60, (2, 9))
    expected = theirs.encoder(input_ids=ids).last_hidden_state
    # Float32 sums in another order, through attention without scaling.
    torch.testing.assert_close(ours(ids, torch.ones(2, 9, dtype=torch.bool)), expected, atol=2e-5, rtol=1e-4)


# Width, feed-forward width, layers, heads, width per head, of each published encoder that MusicGen can be trained with.
@pytest.mark.parametrize(
    ("d_model", "d_ff", "num_layers", "num_heads", "d_kv", "kind"),
    [
        pytest.param(512, 2048, 6, 8, 64, "relu", id="t5-small"),
        pytest.param(768, 3072, 12, 12, 64, "relu", id="t5-base"),
        pytest.param(1024, 4096, 24, 16, 64, "relu", id="t5-large"),
        pytest.param(1024, 16384, 24, 32, 128, "relu", id="t5-3b"),
        pytest.param(512, 1024, 8, 6, 64, "gated-gelu", id="flan-t5-small"),
        pytest.param(768, 2048, 12, 12, 64, "gated-gelu", id="flan-t5-base"),
        pytest.param(1024, 2816, 24, 16, 64, "gated-gelu", id="flan-t5-large"),
        pytest.param(2048, 5120, 24, 32, 64, "gated-gelu", id="flan-t5-xl"),
    ],
)
def test_names_and_shapes_of_published_encoders(
    d_model: int, d_ff: int, num_layers: int, num_heads: int, d_kv: int, kind: str
) -> None:
    from transformers import T5Config as TheirConfig
    from transformers import T5EncoderModel

    shape = {"d_model": d_model, "d_ff": d_ff, "num_layers": num_layers, "num_heads": num_heads, "d_kv": d_kv}
    config = TheirConfig(vocab_size=32128, feed_forward_proj=kind, **shape)
    with torch.device("meta"):
        theirs = T5EncoderModel(config).state_dict()
        ours = T5Encoder(T5Config.model_validate(config.to_dict())).state_dict()
    theirs.pop(TIED_EMBEDDING, None)
    assert {name: tuple(tensor.shape) for name, tensor in ours.items()} == {
        name: tuple(tensor.shape) for name, tensor in theirs.items()
    }


@torch.no_grad()
def test_padding_changes_nothing(official: tuple[Path, torch.nn.Module]) -> None:
    encoder = T5Encoder.from_pretrained(official[0])
    ids = torch.randint(0, 60, (1, 9))
    alone = encoder(ids, torch.ones(1, 9, dtype=torch.bool))
    padded = encoder(torch.nn.functional.pad(ids, (0, 5)), torch.arange(14)[None] < 9)
    torch.testing.assert_close(padded[:, :9], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", ["both", "encoder only", "with a decoder"])
def test_every_form_of_the_embedding_loads(official: tuple[Path, torch.nn.Module], form: str, tmp_path: Path) -> None:
    directory, _ = official
    state = load_file(directory / "model.safetensors")
    embedding = state["shared.weight"]
    if form == "encoder only":
        del state["shared.weight"]
    if form != "with a decoder":
        state["encoder.embed_tokens.weight"] = embedding.clone()
    else:
        state["decoder.final_layer_norm.weight"] = torch.ones(32)
        state["lm_head.weight"] = embedding.clone()
    write_weights(tmp_path / "model.safetensors", state)
    (tmp_path / "config.json").write_text((directory / "config.json").read_text())
    encoder = T5Encoder.from_pretrained(tmp_path)
    assert torch.equal(encoder.shared.weight, embedding)
    assert all(not parameter.is_meta for parameter in encoder.parameters())


def test_no_embedding_at_all_is_refused(tmp_path: Path) -> None:
    write_weights(tmp_path / "model.safetensors", {"encoder.final_layer_norm.weight": torch.ones(48)})
    (tmp_path / "config.json").write_text((T5_TINY / "config.json").read_text())
    with pytest.raises(CheckpointError, match="no token embedding"):
        T5Encoder.from_pretrained(tmp_path)


def test_saved_and_loaded_again_it_is_the_same(tmp_path: Path) -> None:
    encoder = T5Encoder.from_pretrained(T5_TINY)
    encoder.save_pretrained(tmp_path)
    again = T5Encoder.from_pretrained(tmp_path)
    assert again.config == encoder.config
    assert "d_model" not in json.loads((tmp_path / "config.json").read_text())
    pairs = zip(encoder.state_dict().items(), again.state_dict().items(), strict=True)
    assert all(one == other and torch.equal(a, b) for (one, a), (other, b) in pairs)


def test_official_configurations() -> None:
    t5_base = {"vocab_size": 32128, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
    assert T5Config.model_validate({**t5_base, "architectures": ["T5ForConditionalGeneration"]}) == T5Config()
    flan = T5Config.model_validate({**t5_base, "feed_forward_proj": "gated-gelu"})
    assert flan.feed_forward == "gated-gelu"
    with pytest.raises(ValueError, match="feed_forward"):
        T5Config.model_validate({**t5_base, "feed_forward_proj": "gated-silu"})


def test_initial_hidden_states_are_of_unit_size() -> None:
    encoder = T5Encoder(T5Config(vocab_size=100, dim=64, head_dim=16, num_heads=4, num_layers=3, feed_forward_dim=128))
    encoder.initialize(torch.Generator().manual_seed(0))
    with torch.no_grad():
        hidden = encoder(torch.randint(0, 100, (2, 20)), torch.ones(2, 20, dtype=torch.bool))
    assert 0.95 < float(hidden.square().mean()) < 1.05  # what its last RMS norm makes of any input
    again = T5Encoder(encoder.config)
    again.initialize(torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), again.parameters(), strict=True))


def test_tokenizer_equals_transformers() -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(T5_TINY)
    assert TextTokenizer.from_pretrained(T5_TINY)(SENTENCES) == [theirs(text)["input_ids"] for text in SENTENCES]


def test_tokenizer_forgets_its_files_padding_and_truncation(tmp_path: Path) -> None:
    content = json.loads((T5_TINY / "tokenizer.json").read_text())
    content["truncation"] = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    content["padding"] = {
        "strategy": {"Fixed": 99},
        "direction": "Right",
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<pad>",
        "pad_to_multiple_of": None,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    tokenizer = TextTokenizer.from_pretrained(tmp_path)
    expected = TextTokenizer.from_pretrained(T5_TINY)(SENTENCES)
    assert tokenizer(SENTENCES) == expected
    tokenizer.save_pretrained(tmp_path / "again")
    assert TextTokenizer.from_pretrained(tmp_path / "again")(SENTENCES) == expected


def test_a_missing_or_broken_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        TextTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a readable tokenizer"):
        TextTokenizer.from_pretrained(tmp_path)
