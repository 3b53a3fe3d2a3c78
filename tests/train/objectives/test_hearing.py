"""What is heard of each item: captions and dropped conditions, drawn by row; states from a cache."""

from pathlib import Path

import pytest
import torch

from cadenza.conditioning.clap import ClapConfig
from cadenza.conditioning.text import TextConfig
from cadenza.data.captions import CaptionConfig
from cadenza.train.objective import Turn
from train.objectives.test_lm import AS_THEY_ARE, batch, make, melody_batch, turn, with_melody


def rows_turn(step: int, rows: range) -> Turn:
    return Turn("lm", step, 0, 1, rows, 0, torch.Generator().manual_seed(step))


def dropped(values: dict) -> list[dict[str, bool]]:
    return [{name: rows[i] is None for name, rows in values.items()} for i in range(2)]


def test_conditions_are_dropped_per_item(tmp_path: Path):
    hearing = make(tmp_path, condition_dropout=0.5, captions=AS_THEY_ARE).hearing
    seen = {tuple(row["description"] for row in dropped(hearing.drawn(batch(), turn(step)))) for step in range(40)}
    assert seen == {(False, False), (False, True), (True, False), (True, True)}


def test_each_condition_is_dropped_apart_from_the_others(tmp_path: Path):
    hearing = with_melody(tmp_path, condition_dropout=0.0, text_dropout=0.5, melody_dropout=0.5).hearing
    seen = {tuple(dropped(hearing.drawn(melody_batch(), turn(step)))[0].values()) for step in range(40)}
    assert seen == {(False, False), (False, True), (True, False), (True, True)}


def test_condition_dropout_takes_them_all(tmp_path: Path):
    hearing = with_melody(tmp_path, condition_dropout=0.5, melody_dropout=0.0, captions=AS_THEY_ARE).hearing
    seen = {tuple(dropped(hearing.drawn(melody_batch(), turn(step)))[0].values()) for step in range(40)}
    assert seen == {(False, False), (True, True)}


def test_what_is_drawn_depends_on_the_row_of_the_whole_batch_alone(tmp_path: Path):
    """Two processes with a row each draw what one process with both does."""
    hearing = make(tmp_path, condition_dropout=0.3).hearing
    infos = [{"key": "c major", "bpm": 70.0, "genre": "folk"}] * 2
    for step in range(20):
        both = hearing.drawn(batch() | {"infos": infos}, rows_turn(step, range(2)))
        for row in range(2):
            part = {name: value[row : row + 1] for name, value in batch().items()} | {"infos": infos[:1]}
            alone = hearing.drawn(part, rows_turn(step, range(row, row + 1)))
            assert alone["description"] == both["description"][row : row + 1]


def test_fields_join_the_drawn_caption(tmp_path: Path):
    merge = CaptionConfig(merge=1, drop_description=0, keep_field=1, word_dropout=0)
    hearing = make(tmp_path, condition_dropout=0.0, captions=merge).hearing
    infos = [{"description": "another text", "key": "c major"}, {}]
    values = hearing.drawn(batch() | {"infos": infos}, turn())
    assert values["description"] == ["slow tone. key: c major", "fast tone."]


def test_validation_hears_captions_as_they_are(tmp_path: Path):
    assert make(tmp_path).hearing.whole(batch())["description"] == ["slow tone", "fast tone"]


def test_what_says_nothing_is_the_null_condition(tmp_path: Path):
    hearing = make(tmp_path).hearing
    hearing.conditioning.conditioner("description").config = TextConfig(dim=8, normalize=True)
    assert hearing.prepare({"description": ["the", " "]}) == {"description": [None, None]}
    one, other = (
        hearing.prepare({"description": [text]})["description"][0] for text in ("the slow tones", "slow tone")
    )
    assert torch.equal(one, other)


def test_a_batch_without_melodies_drops_that_condition(tmp_path: Path):
    hearing = with_melody(tmp_path, condition_dropout=0.0).hearing
    values = hearing.whole(batch())
    assert values["melody"] == [None, None]
    assert values == hearing.text_only(batch())
    assert set(hearing.drawn(batch(), turn())) == set(values)


@pytest.mark.parametrize("trained", [False, True])
def test_states_of_a_cache_stand_for_the_text_unless_the_encoder_is_trained(trained: bool, tmp_path: Path):
    part = make(tmp_path, train_text_encoder=trained, condition_dropout=0.0)
    hearing = part.hearing
    states = part.text_encoder.encode(["slow tone", "fast tone"])
    padded = torch.nn.utils.rnn.pad_sequence(states, batch_first=True).half()
    cached = batch() | {"text": padded, "text_length": torch.tensor([len(states[0]), 0])}
    values = hearing.drawn(cached, turn())["description"]
    if trained:
        assert all(isinstance(value, str) for value in values)
    else:
        features = hearing.prepare({"description": values})["description"]
        assert features[1] is None, "no states: nothing was said"
        torch.testing.assert_close(features[0], states[0], rtol=1e-3, atol=1e-3)  # 16 bits


def test_clap_hears_the_caption_also_beside_states_of_the_cache(tmp_path: Path):
    """`sound_text` 1: always the words; where captions are encoded already, those words and not nothing."""
    frozen = {"train_text_encoder": False, "captions": AS_THEY_ARE}
    hearing = make(tmp_path, condition_dropout=0.0, sound_text=1.0, **frozen).hearing
    hearing.kinds["sound"] = ClapConfig(dim=4)
    states = {"text": torch.ones(2, 3, 8), "text_length": torch.tensor([3, 2]), "sound": torch.ones(2, 4)}
    values = hearing.drawn(batch() | states, turn())
    assert values["sound"] == ["slow tone", "fast tone"]
    assert [tuple(rows.shape) for rows in values["description"]] == [(3, 8), (2, 8)]
