"""Captions in the token cache: the encoder's own states, thinned once, tied to the encoder."""

from pathlib import Path

import pytest
import torch

from cadenza.checkpoint import read_weights
from cadenza.codec.encodec import EnCodec
from cadenza.data.coding import TokenConfig
from cadenza.data.manifest import Entry, read_manifest
from cadenza.data.texts import TextForm, Texts, encode_texts, text_encoder_hash
from cadenza.data.tokens import FixedWindows, TokenCache
from cadenza.data.writing import write_tokens
from cadenza.errors import UserError
from cadenza.testing import TEXT_DIM, tiny_text_encoder, tiny_tokenizer
from train.tiny import write_audio, write_codec

WORDS = "a slow and rather gentle waltz for two harps in the evening"


def entry(name: str, *captions: str) -> Entry:
    return Entry(path=f"{name}.wav", duration=1.0, sample_rate=4000, id=name, captions=captions)


def test_states_are_those_of_the_encoder_in_16_bits() -> None:
    texts = Texts(tiny_text_encoder(), TextForm(max_tokens=12))
    entries = [entry("a/0", "slow", WORDS), entry("b"), entry("c", "fast tone", " ")]
    states = encode_texts(texts, entries)
    assert set(states) == {"0/a/0", "1/a/0", "0/c", "1/c"}
    for name, words in (("0/a/0", "slow"), ("1/a/0", WORDS), ("0/c", "fast tone")):
        expected = texts.encoder.encode([words], 12)[0]
        assert states[name].dtype == torch.float16
        assert states[name].shape == expected.shape
        # 16 bits: 11 of them significant; padding moves float32 by less
        torch.testing.assert_close(states[name].float(), expected, rtol=2**-11, atol=1e-5)
    assert states["1/c"].shape == (0, TEXT_DIM)


def test_words_are_left_out_once_and_by_the_seed() -> None:
    entries = [entry("a", WORDS, WORDS), entry("b", WORDS)]

    def ids(dropout: float, seed: int, some: list[Entry]) -> dict[str, list[int]]:
        texts = Texts(tiny_text_encoder(), TextForm(form="ids", word_dropout=dropout, seed=seed))
        return {name: row.tolist() for name, row in encode_texts(texts, some).items()}

    whole, thin = ids(0, 0, entries), ids(0.5, 0, entries)
    assert whole["0/a"] == tiny_tokenizer()([WORDS])[0]
    assert len({tuple(row) for row in thin.values()}) == 3
    assert all(len(row) < len(whole["0/a"]) for row in thin.values())
    assert ids(0.5, 0, entries[1:])["0/b"] == thin["0/b"]  # whatever else is encoded
    assert ids(0.5, 1, entries) != thin
    assert not any(ids(1.0, 0, entries).values())


def test_the_cache_gives_states_and_says_whose(tmp_path: Path) -> None:
    codec = EnCodec.from_pretrained(write_codec(tmp_path / "codec"))
    entries = read_manifest(write_audio(tmp_path / "audio"))
    entries[1] = entries[1].model_copy(update={"captions": ()})
    texts, folder, pairs = Texts(tiny_text_encoder(), TextForm()), tmp_path / "tokens", TokenConfig(shard_items=2)
    write_tokens(codec, entries, folder, pairs)
    assert TokenCache(folder).text_encoder is None
    codes = (folder / "codes_00000.safetensors").stat().st_mtime_ns
    write_tokens(codec, entries, folder, pairs, texts=texts)
    assert (folder / "codes_00000.safetensors").stat().st_mtime_ns == codes
    cache = TokenCache(folder)
    assert cache.text_encoder == text_encoder_hash(texts.encoder)
    assert cache.text_encoder != text_encoder_hash(tiny_text_encoder(seed=1))
    batch = FixedWindows(cache.items, 4, 4).batch(0)
    assert isinstance(batch["text"], torch.Tensor)
    expected = encode_texts(texts, entries)["0/tone0"].float()
    assert torch.equal(batch["text"][0, : len(expected)], expected)
    assert batch["text_length"].tolist()[1] == 0  # type: ignore[union-attr]
    # other captions: their states anew, the codes stay
    changed = [one.model_copy(update={"captions": ("loud",)}) for one in entries]
    write_tokens(codec, changed, folder, pairs, texts=texts)
    assert (folder / "codes_00000.safetensors").stat().st_mtime_ns == codes
    assert set(read_weights(folder / "text_00000.safetensors")) == {"0/tone0", "0/tone1"}
    # not asked for, and of captions that are gone
    write_tokens(codec, entries, folder, pairs)
    assert TokenCache(folder).text_encoder is None
    assert not list(folder.glob("text_*"))


def test_values_beyond_16_bits_are_refused() -> None:
    one = tiny_text_encoder()
    one.model.encoder.final_layer_norm.weight.data.fill_(1e6)
    with pytest.raises(UserError, match=r"'slow' do not fit into 16 bits"):
        encode_texts(Texts(one, TextForm()), [entry("a", "slow")])
