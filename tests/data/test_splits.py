"""Splits: exact shares, nobody in two of them, and stable where recordings are added."""

import random
from collections import Counter

import pytest

from cadenza.data.manifest import Entry
from cadenza.data.splits import group_entries, leaks, split_entries
from cadenza.errors import UserError


def entry(name: str, artist: str | None = None, **fields: object) -> Entry:
    info = {} if artist is None else {"artist": artist}
    return Entry(path=f"/m/{name}.wav", duration=1, sample_rate=8000, id=name, info=info, **fields)


def counts(entries: list[Entry]) -> Counter[str]:
    return Counter(item.split for item in entries)


def test_the_shares_of_system_1_are_exact_where_groups_are_single():
    """MusicCaps as the paper found it: 5,419 clips, 20 % test, then 20 % of the rest."""
    entries = split_entries([entry(f"clip {i} x") for i in range(5419)])
    assert counts(entries) == {"test": 1084, "valid": 867, "train": 3468}


@pytest.mark.parametrize("count", [3, 4, 6, 10])
def test_few_tracks_are_split_too(count: int):
    entries = split_entries([entry(f"song {i} x") for i in range(count)])
    assert counts(entries)["test"] == round(0.2 * count)
    assert counts(entries)["train"] >= count / 2


def test_no_artist_is_in_two_splits():
    draw = random.Random(0)
    entries = [entry(f"song {i} x", f"artist {int(draw.paretovariate(0.7)) % 60}") for i in range(500)]
    done = split_entries(entries)
    assert leaks(done) == []
    assert abs(counts(done)["test"] - 100) <= max(Counter(e.info["artist"] for e in entries).values()) / 2
    by_track = split_entries(entries, by="track")
    assert leaks(by_track, "track") == [] and leaks(by_track)
    assert counts(by_track) == {"test": 100, "valid": 80, "train": 320}


def test_the_order_of_the_manifest_does_not_matter_and_the_seed_does():
    entries = [entry(f"song {i} x", f"artist {i // 3}") for i in range(60)]
    shuffled = random.Random(1).sample(entries, 60)
    once = {e.id: e.split for e in split_entries(entries)}
    assert {e.id: e.split for e in split_entries(shuffled)} == once
    assert {e.id: e.split for e in split_entries(entries, seed=1)} != once


def test_what_was_split_stays_when_recordings_are_added():
    old = split_entries([entry(f"song {i} x", f"artist {i // 2}") for i in range(40)])
    # Three by an artist that is tested on, and sixty by new ones.
    tested = next(e for e in old if e.split == "test")
    new = [entry(f"new {i} x", str(tested.info["artist"])) for i in range(3)]
    new += [entry(f"other {i} x", f"new artist {i}") for i in range(60)]
    done = split_entries([*new, *old])
    after = {e.id: e.split for e in done}
    assert all(after[e.id] == e.split for e in old)
    assert {after[e.id] for e in new[:3]} == {"test"}
    assert leaks(done) == []
    assert abs(counts(done)["test"] - 0.2 * 103) <= 2
    assert counts(split_entries(done, again=True, test=0.0, valid=0.0)) == {"train": 103}


def test_what_was_in_two_splits_is_for_training():
    mixed = [entry("a x", "one", split="train"), entry("b x", "one", split="test"), entry("c x", "two", split="test")]
    assert [e.split for e in split_entries(mixed)] == ["train", "train", "test"]
    assert leaks(mixed) == [[0, 1]]


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("song_part1", "song_part2", True),
        ("007000000-00", "007000000-01", True),
        ("song clip 03", "song", True),
        ("track 01", "track 02", False),
        ("2021-05", "2022-05", False),
    ],
)
def test_clips_of_one_file_stay_together(first: str, second: str, together: bool):
    assert (len(group_entries([entry(first), entry(second)], "track")) == 1) == together


def test_groups_join_through_any_field():
    entries = [entry("a x", "one", piece="p"), entry("b x", "two", piece="p"), entry("c x", "two"), entry("d x")]
    assert group_entries(entries, "artist") == {0: [0, 1, 2], 3: [3]}
    assert group_entries(entries, "track") == {0: [0, 1], 2: [2], 3: [3]}


def test_mistakes():
    one = [entry("a x", "me"), entry("b x", "me")]
    with pytest.raises(UserError, match="split by track"):
        split_entries(one)
    with pytest.raises(UserError, match="from 0 to below 1"):
        split_entries(one, test=1.0)
    with pytest.raises(UserError, match="leave nothing for training"):
        split_entries([entry("a x"), entry("b x")], test=0.99, valid=0.0, by="track")
