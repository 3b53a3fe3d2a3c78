"""Which recordings train a model and which test it: no artist, and no piece, in two splits.

In: entries of a manifest. Out: the same with `split` set to train, valid or test. The defaults are those of the NCNU
paper (System 1): 20 % for testing, then 20 % of the rest for validation.

Recordings that share an artist, an album or a piece stay together (`by="artist"`), or only those cut from one piece
(`by="track"`). Groups are taken in an order that depends on the seed and their own name alone, and fill test, then
valid, up to their share, so that the shares are exact to within half a group: drawing each group by its hash would keep
them only on average (six tracks might have no validation at all). What was split before stays where it is, so that
adding recordings moves none into the training data of a model that is tested on it.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Literal

from cadenza.data.manifest import Entry
from cadenza.errors import UserError

SPLITS = ("train", "valid", "test")
ARTIST_FIELDS = ("artist", "artist_id", "album", "album_id")
PIECE_FIELDS = ("piece", "track_id", "ytid", "seed")  # the composer's corpora name a piece by its seed
_CUT = re.compile(r"[-_. ]+(part|pt|clip|seg|segment|chunk|cut|slice|section|excerpt|take)[-_. ]*\d*$", re.IGNORECASE)
_COUNTED = re.compile(r"(?<=\d{4})[-_]\d{1,3}$")  # 007000000-01: clips that are numbered within a numbered piece


def split_entries(
    entries: Sequence[Entry],
    test: float = 0.2,
    valid: float = 0.2,
    seed: int = 0,
    by: Literal["artist", "track"] = "artist",
    again: bool = False,
) -> list[Entry]:
    """Choose a split for every entry that has none; all anew with `again`.

    Args:
        entries: recordings, in any order; the result keeps the order and does not depend on it.
        test: share of all recordings.
        valid: share of those that are not for testing.
        seed: which choice.
        by: what must not be in two splits. Entries without the fields for it are told apart by piece or file name.

    Raises UserError for shares that leave nothing to train on, and where all is by one artist.
    """
    if not (0 <= test < 1 and 0 <= valid < 1):
        raise UserError(f"shares of {test:g} for test and {valid:g} for valid: give numbers from 0 to below 1")
    if by not in ("artist", "track"):
        raise UserError(f"by={by!r}: give artist or track")
    groups = group_entries(entries, by)
    if len(groups) == 1 and len(entries) > 1 and test + valid > 0:
        what = "one artist or album" if by == "artist" else "one piece"
        remedy = "split by track" if by == "artist" else "add others"
        raise UserError(f"all {len(entries)} recordings are of {what}: {remedy}, or leave them all for training")
    chosen: dict[int, str] = {}
    total = len(entries)
    wanted = {"test": round(test * total)}
    wanted["valid"] = round(valid * (total - wanted["test"]))
    filled = Counter[str]()
    new: list[list[int]] = []
    for members in groups.values():
        known = Counter(entries[item].split for item in members if entries[item].has_split and not again)
        if not known:
            new.append(members)
            continue
        # A group in two splits was trained on already, at least in part.
        split = "train" if len(known) > 1 else next(iter(known))
        chosen |= dict.fromkeys(members, split)
        filled[split] += len(members)
    for members in sorted(new, key=lambda members: _rank(seed, min(_name(entries[item]) for item in members))):
        split = next((name for name in ("test", "valid") if 2 * (wanted[name] - filled[name]) >= len(members)), "train")
        chosen |= dict.fromkeys(members, split)
        filled[split] += len(members)
    if "train" not in chosen.values() and entries:
        raise UserError(f"{total} recordings in {len(groups)} groups leave nothing for training: lower the shares")
    return [entry.model_copy(update={"split": chosen[item]}) for item, entry in enumerate(entries)]


def group_entries(entries: Sequence[Entry], by: Literal["artist", "track"]) -> dict[int, list[int]]:
    """Positions of the entries that must stay together, by the first of them: whatever shares one key, transitively."""
    parent = list(range(len(entries)))

    def find(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    owner: dict[str, int] = {}
    for item, entry in enumerate(entries):
        for key in _keys(entry, by):
            other = find(owner.setdefault(key, item))
            parent[max(find(item), other)] = min(find(item), other)
    groups: dict[int, list[int]] = defaultdict(list)
    for item in range(len(entries)):
        groups[find(item)].append(item)
    return dict(groups)


def leaks(entries: Sequence[Entry], by: Literal["artist", "track"] = "artist") -> list[list[int]]:
    """Groups that are in more than one split, as positions of their entries."""
    groups = group_entries(entries, by).values()
    return [members for members in groups if len({entries[item].split for item in members}) > 1]


def _keys(entry: Entry, by: str) -> Iterable[str]:
    fields = {**entry.tags, **entry.info}
    names = PIECE_FIELDS + (ARTIST_FIELDS if by == "artist" else ())
    for name in names:
        value = fields.get(name)
        if isinstance(value, str | int) and str(value).strip():
            yield f"{name}\0{str(value).strip().lower()}"
    path = PurePath(entry.path)
    stem = _COUNTED.sub("", _CUT.sub("", path.stem))
    yield f"file\0{path.parent}\0{stem.lower()}"
    title, artist = fields.get("title"), fields.get("artist")
    if isinstance(title, str) and isinstance(artist, str):
        yield f"title\0{artist.lower()}\0{title.lower()}"


def _name(entry: Entry) -> str:
    return entry.id or PurePath(entry.path).stem


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
