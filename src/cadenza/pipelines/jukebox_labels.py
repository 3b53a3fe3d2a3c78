"""Names of artists and genres -> ids for every prior of a model, each of which may know another list.

In: names, or ids, and lists: `labels.json` of a model of our own, or the folder `jukebox/data/ids` of a user's copy of
openai/jukebox (its licence forbids commercial use, so it is not part of Cadenza). Out: ids by list.
"""

import difflib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from cadenza.checkpoint import cache_directory, read_json, write_json
from cadenza.errors import CheckpointError, UserError
from cadenza.jukebox.labels import LabelConfig, LabelSet, LabelVersion

LABELS_FILE = "labels.json"
TOKENIZER_FILES = ("artists.json", "genres.json")
"""Where transformers keeps the lists of a model."""
VERSIONS: tuple[LabelVersion, ...] = ("v2", "v3")
_FOLDERS = (".", "ids", "data/ids", "jukebox/data/ids")
_REMEDY = (
    "give the folder jukebox/data/ids of a copy of openai/jukebox as labels, or an id, or fetch the lists "
    "(cadenza jukebox labels --fetch)"
)
PUBLISHED: dict[LabelVersion, tuple[int, int]] = {"v2": (120, 4111), "v3": (604, 7898)}
"""Rows of the published models' tables: genres, artists. As many lines have the published lists."""

Artist = str | int | Mapping[LabelVersion, int] | None
"""A name, an id in the list of the top prior, or ids by list; None: unknown."""
Genre = str | int | tuple[int, ...] | Mapping[LabelVersion, tuple[int, ...]] | None
"""A name (in v2 of several words), ids in the list of the top prior, or ids by list; None: unknown."""

T = TypeVar("T")

log = logging.getLogger("cadenza")


def fetched_folder() -> Path:
    """Where the published lists lie, once a user has fetched them (`cadenza jukebox labels --fetch`)."""
    return cache_directory() / "labels" / "openai-jukebox"


class LabelBook:
    """Lists of names by version."""

    def __init__(self, sets: Mapping[LabelVersion, LabelSet] | None = None) -> None:
        self.sets = dict(sets or {})

    @classmethod
    def read(cls, path: str | Path) -> "LabelBook":
        """From a `labels.json` or a directory that holds one; from a copy of openai/jukebox, or its folder of lists; or
        from the folder of a model of transformers.

        Raises UserError where there are no lists, or malformed ones.
        """
        path = Path(path)
        file = path / LABELS_FILE if path.is_dir() else path
        if file.is_file():
            value = read_json(file)
            lists = value.get("lists", [value])
            if not isinstance(lists, list) or not all(isinstance(one, dict) for one in lists):
                raise CheckpointError(f"{file}: its lists are none")
            sets = [_parsed(one, file) for one in lists]
            return cls({one.version: one for one in sets})
        for folder in (path / name for name in _FOLDERS):
            found = [version for version in VERSIONS if (folder / f"{version}_artist_ids.txt").is_file()]
            if found:
                return cls({version: LabelSet.read(folder, version) for version in found})
        if all((path / name).is_file() for name in TOKENIZER_FILES):
            return cls._of_transformers(path)
        raise UserError(f"no lists of labels in {path}: give the folder jukebox/data/ids of a copy of openai/jukebox")

    @classmethod
    def fetched(cls, tables: Iterable[LabelConfig | None]) -> "LabelBook":
        """The published lists that priors with these tables read, if they were fetched; of other tables none."""
        if not fetched_folder().is_dir():
            return cls()
        read = {one.version for one in tables if one and (one.num_genres, one.num_artists) == PUBLISHED[one.version]}
        return cls({version: LabelSet.read(fetched_folder(), version) for version in VERSIONS if version in read})

    @classmethod
    def _of_transformers(cls, folder: Path) -> "LabelBook":
        """There, all versions are in one file, names of v2 with `.v2` behind them."""
        artists, genres = (_ids(read_json(folder / name), folder / name) for name in TOKENIZER_FILES)

        def of(ids: Mapping[str, int], version: LabelVersion) -> dict[str, int]:
            return {
                name.removesuffix(".v2"): number
                for name, number in ids.items()
                if name.endswith(".v2") == (version == "v2")
            }

        return cls({version: LabelSet(version, of(artists, version), of(genres, version)) for version in VERSIONS})

    def save(self, path: Path) -> None:
        """Write `labels.json`: `{"version": "v3", "artists": {"name": 1}, "genres": {"name": 1}}`, or a list of such
        under `lists`."""
        lists = [{"version": one.version, "artists": one.artists, "genres": one.genres} for one in self.sets.values()]
        write_json(path, lists[0] if len(lists) == 1 else {"lists": lists})

    def search(self, kind: str, text: str, version: LabelVersion, count: int = 20) -> list[tuple[str, int]]:
        """Names (and ids) that contain a text, then those nearest to it. `kind`: "artist" or "genre"."""
        found = self.sets[version]
        ids = found.artists if kind == "artist" else found.genres
        key = text.lower()
        names = sorted((name for name in ids if key in name), key=lambda name: (name != key, len(name), name))
        names += [name for name in difflib.get_close_matches(key, ids, count, 0.6) if name not in names]
        return [(name, ids[name]) for name in names[:count]]

    # ---- names to ids ------------------------------------------------------------------------------------------------

    def artist(self, artist: object, versions: Sequence[LabelVersion]) -> dict[LabelVersion, int]:
        """The id of an `Artist` in each list; `versions` begins with that of the top prior, which must know the name.

        One that knows it not is told that the artist is unknown (0), as the original does; that is said. Raises
        UserError for a name that the first list lacks, with the nearest ones, and for what is no artist.
        """
        if artist is None or artist == "":
            return {}
        if isinstance(artist, str):
            return self._each(versions, "artist", artist, LabelSet.artist)
        chosen = artist if isinstance(artist, Mapping) else {versions[0]: artist}
        if any(version not in VERSIONS or not _is_id(one) for version, one in chosen.items()):
            raise UserError(f"artist {artist!r:.60}: give a name, an id, or ids by list such as {{'v3': 1, 'v2': 2}}")
        return dict(chosen)

    def genre(self, genre: object, versions: Sequence[LabelVersion]) -> dict[LabelVersion, tuple[int, ...]]:
        """The ids of a `Genre` in each list, as `artist`."""
        if genre is None or genre in ("", ()):
            return {}
        if isinstance(genre, str):
            return self._each(versions, "genre", genre, LabelSet.genre)
        by_list = genre if isinstance(genre, Mapping) else {versions[0]: genre}
        chosen = {version: ids if isinstance(ids, tuple) else (ids,) for version, ids in by_list.items()}
        if any(version not in VERSIONS or not all(map(_is_id, ids)) for version, ids in chosen.items()):
            raise UserError(f"genre {genre!r:.60}: give a name, an id, a tuple of ids, or those by list")
        return chosen

    def _each(
        self, versions: Sequence[LabelVersion], kind: str, name: str, find: Callable[[LabelSet, str], T]
    ) -> dict[LabelVersion, T]:
        if versions[0] not in self.sets:
            raise UserError(f"{kind} {name!r:.60}: no names are known here; {_REMEDY}")
        found = {versions[0]: find(self.sets[versions[0]], name)}
        for version in versions[1:]:
            try:
                if version in self.sets:
                    found[version] = find(self.sets[version], name)
            except UserError:
                log.warning("the levels below the top do not know the %s %r: they play without", kind, name)
        return found


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parsed(value: Mapping[str, object], source: Path) -> LabelSet:
    version = next((known for known in VERSIONS if known == value.get("version")), None)
    if version is None:
        raise CheckpointError(f"{source}: version {value.get('version')!r:.20} of labels is not known: v2 or v3 is")
    return LabelSet(version, *(_ids(value.get(kind), source, kind) for kind in ("artists", "genres")))


def _ids(value: object, source: Path, kind: str = "entries") -> dict[str, int]:
    if not isinstance(value, dict) or not all(map(_is_id, value.values())):
        raise CheckpointError(f"{source}: its {kind} are no names with ids")
    return value
