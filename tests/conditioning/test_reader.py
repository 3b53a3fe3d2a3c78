"""A reader of plans: figures by rule, words by the network, the rest drawn."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cadenza.checkpoint import WEIGHTS_FILE
from cadenza.conditioning.plan import KEYS, METERS, Plan
from cadenza.conditioning.reader import PlanReader, PlanReaderConfig, Reading
from cadenza.conditioning.t5 import T5Config
from cadenza.errors import CheckpointError
from cadenza.train.tokenizer import train_tokenizer

TEXT = T5Config(vocab_size=120, dim=8, head_dim=4, num_heads=2, num_layers=1, feed_forward_dim=16)
CONFIG = PlanReaderConfig(
    encoder=TEXT, genres=("jazz", "techno"), instruments=("piano", "flute", "drums"), moods=("calm", "dark")
)
TEXTS = ["calm jazz for flute", "dark techno, 132 bpm, in A minor, 4/4", ""]


@pytest.fixture(scope="module")
def reader() -> PlanReader:
    torch.manual_seed(0)
    made = PlanReader(CONFIG)
    made.encoder.initialize()
    made.tokenizer = train_tokenizer(TEXTS, 120)
    return made.eval()


def reading(stated: Plan, tempo_bin: int = 10) -> Reading:
    """One in which tempo and mode are certain: a bin of the tempo, 3/4, minor."""
    return Reading(stated, np.eye(48)[tempo_bin], (40.0, 220.0), np.eye(len(METERS))[1], np.array([0.0, 1.0]))


def test_a_text_is_read_the_same_beside_others(reader: PlanReader):
    with torch.no_grad():
        together, alone = reader(TEXTS), [reader([text]) for text in TEXTS]
    for name, rows in together.items():
        assert rows.shape == (3, CONFIG.heads[name])
        torch.testing.assert_close(rows, torch.cat([one[name] for one in alone]), rtol=1e-4, atol=1e-5)


def test_figures_are_read_and_chances_add_up(reader: PlanReader):
    first, second, nothing = reader.read(TEXTS)
    assert (second.stated.tempo_bpm, second.stated.key, second.stated.meter) == (132, "A minor", "4/4")
    assert (first.stated.tempo_bpm, first.stated.key, nothing.stated.tempo_bpm) == (None, None, None)
    for one in (first, second, nothing):
        assert [float(part.sum()) for part in (one.tempo, one.meter, one.mode)] == pytest.approx([1, 1, 1])


def test_what_is_likely_counts_as_said(reader: PlanReader):
    heads, bias = reader.heads, reader.heads.bias.detach().clone()
    with torch.no_grad():
        heads.weight.zero_()
        heads.bias.copy_(torch.tensor([0.0, 3.0] + [0.5, 2.0, -1.0] + [-1.0, 1.0] + [0.0] * (48 + 4 + 2)))
    stated = reader.read(["anything"])[0].stated
    assert (stated.genre, stated.instruments, stated.moods) == ("techno", ("flute", "piano"), ("dark",))
    heads.bias.data[:2] = 0.0  # neither genre is likelier than the threshold
    assert reader.read(["anything"])[0].stated.genre is None
    torch.manual_seed(0)
    heads.reset_parameters()
    heads.bias.data.copy_(bias)


def test_what_is_open_is_drawn_by_the_seed():
    plans = [reading(Plan(genre="jazz")).fill(seed) for seed in range(40)]
    assert plans == [reading(Plan(genre="jazz")).fill(seed) for seed in range(40)]
    low = 40 * (220 / 40) ** (10 / 48)
    assert {plan.meter for plan in plans} == {"3/4"}
    assert all(low - 0.5 <= plan.tempo_bpm <= low * (220 / 40) ** (1 / 48) + 0.5 for plan in plans)
    assert all(plan.tempo_bpm == round(plan.tempo_bpm) and plan.key in KEYS[12:24] for plan in plans)
    assert len({plan.key for plan in plans}) > 6
    assert {(plan.genre, plan.instruments, plan.moods) for plan in plans} == {("jazz", (), ())}


def test_what_is_stated_is_kept():
    told = Plan(92.0, "F# major", "5/4", "jazz", ("piano",), ("calm",))
    assert reading(told).fill(3) == told
    assert reading(Plan(92.0)).fill(3).tempo_bpm == 92
    majors = {reading(Plan(key="major")).fill(seed).key for seed in range(40)}
    assert len(majors) > 6
    assert majors < set(KEYS[:12])
    # One thing stated changes nothing else that is drawn.
    assert reading(Plan(92.0)).fill(3).key == reading(Plan()).fill(3).key


def test_tempos_have_bins_of_equal_ratio():
    edges = 40 * (220 / 40) ** (np.arange(48) / 48)
    assert [CONFIG.tempo_bin(edge * 1.001) for edge in edges] == list(range(48))
    assert (CONFIG.tempo_bin(30), CONFIG.tempo_bin(300)) == (0, 47)


def test_saved_and_loaded(reader: PlanReader, tmp_path: Path):
    reader.save_pretrained(tmp_path, torch.bfloat16)
    again = PlanReader.from_pretrained(tmp_path)
    assert again.config == reader.config
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    with torch.no_grad():
        torch.testing.assert_close(again(TEXTS)["tempo"], reader(TEXTS)["tempo"], atol=0.05, rtol=0.05)
    (tmp_path / WEIGHTS_FILE).unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        PlanReader.from_pretrained(tmp_path)
