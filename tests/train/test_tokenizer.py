"""The tokenizer learnt from captions."""

from cadenza.conditioning.t5 import TextTokenizer
from cadenza.train.tokenizer import train_tokenizer

CAPTIONS = ["A slow sad piano piece in D minor, 72 bpm", "fast techno with a driving bass", "calm harp, rain"] * 5


def test_layout_is_that_of_t5():
    tokenizer = train_tokenizer(CAPTIONS, 120)
    assert [tokenizer.tokenizer.token_to_id(piece) for piece in ("<pad>", "</s>", "<unk>")] == [0, 1, 2]
    ids = tokenizer(["slow techno", ""])
    assert ids[0][-1] == 1
    assert 1 not in ids[0][:-1]
    assert ids[1] == [1]
    assert max(max(row) for row in ids) < 120


def test_case_is_folded_and_unseen_words_are_spelt():
    tokenizer = train_tokenizer(CAPTIONS, 120)
    same = tokenizer(["SLOW Piano", "slow piano"])
    assert same[0] == same[1]
    assert 2 not in tokenizer(["zxqj jukebox waltz, 3/4 & (more)!"])[0]
    assert 2 in tokenizer(["音"])[0]


def test_it_survives_its_file(tmp_path):
    tokenizer = train_tokenizer(CAPTIONS, 120)
    tokenizer.save_pretrained(tmp_path)
    assert TextTokenizer.from_pretrained(tmp_path)(CAPTIONS[:2]) == tokenizer(CAPTIONS[:2])
