"""Which tracks are held out, and which parts are listened to."""

import torch

from cadenza.data.manifest import Entry
from cadenza.data.tokens import CodedItem
from cadenza.train.finetune_tracks import ends_held_out, split, windows


def entries(names: list[str]) -> list[Entry]:
    return [Entry(path=f"/{name}.wav", id=name, duration=10.0, sample_rate=32000) for name in names]


def item(name: str, frames: int) -> CodedItem:
    codes = torch.arange(frames).repeat(2, 1)
    return CodedItem(name, "train", ("words",), codes, melody=torch.zeros(3, dtype=torch.uint8))


def test_one_track_in_five_is_held_out_from_four_on():
    for count, held_out in ((4, 1), (5, 1), (6, 1), (8, 2), (20, 4)):
        chosen, same = split(entries([f"song {chr(97 + i)}" for i in range(count)]), seed=0)
        assert not same
        assert sum(entry.split == "valid" for entry in chosen) == held_out
        assert {entry.split for entry in chosen} == {"train", "valid"}
    few, same = split(entries(["a", "b", "c"]), seed=0)
    assert same
    assert {entry.split for entry in few} == {"train"}


def test_the_seed_chooses_the_tracks():
    names = [f"song {chr(97 + i)}" for i in range(10)]
    chosen = {
        seed: {entry.id for entry in split(entries(names), seed)[0] if entry.split == "valid"} for seed in range(8)
    }
    assert chosen[0] == {entry.id for entry in split(entries(names), 0)[0] if entry.split == "valid"}
    assert len({frozenset(part) for part in chosen.values()}) > 1


def test_parts_of_one_piece_are_not_held_out_from_each_other():
    _, same = split(entries([f"suite part {i}" for i in range(6)]), seed=0)
    assert same


def test_ends_are_held_out_and_nothing_is_in_both():
    train, valid = ends_held_out([item("long", 1000), item("short", 400)], frame_rate=50.0)
    assert [(one.id, one.codes.shape[1]) for one in train] == [("long", 800), ("short", 400)]  # 80 frames are 1.6 s
    assert [(one.id, one.codes[0, 0].item(), one.codes[0, -1].item()) for one in valid] == [("long", 800, 999)]
    assert valid[0].melody is None


def test_windows_are_spread_over_the_track():
    track = item("track", 1050)
    assert [int(part[0, 0]) for part in windows(track, 100, 20)] == list(range(0, 1000, 100))
    assert [int(part[0, 0]) for part in windows(track, 100, 3)] == [0, 400, 900]  # ties round to even
    assert windows(track, 2000, 3)[0].shape == (2, 1050)
