"""From what a manifest says to what a Jukebox prior is told: names get rows of the label tables, texts become ids.

In: facts of recordings. Out: a `LabelSet`, stored beside the model as `labels.json`, and a `Piece` per recording. Row 0
is whoever has no row of their own. Names that are known keep their rows, so that a trained model can be taught new ones
(Dhariwal et al. 2020, arXiv 2005.00341, has one list for all; growing it is ours).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from cadenza.errors import UserError
from cadenza.jukebox.labels import LabelConfig, LabelSet, LabelVersion, Piece, artist_key, genre_keys
from cadenza.jukebox.lyrics import Vocabulary
from cadenza.jukebox.prior import PriorConfig
from cadenza.train.objectives.prior_config import LabelFields
from cadenza.train.objectives.prior_data import Facts, Track

UNKNOWN = "unknown"


def learn_names(
    version: LabelVersion,
    known: LabelSet | None,
    rows: tuple[int, int],
    tracks: Sequence[Track],
    fields: LabelFields,
    least: int = 1,
) -> LabelSet:
    """The known names, and behind them those of `least` recordings or more, the most frequent first.

    `rows` are how many artists and genres are trained already, whether their names are known or not.
    """
    artists = Counter(artist_key(artist_of(track.facts, fields), version) for track in tracks)
    genres = Counter(
        key for track in tracks for name in genres_of(track.facts, fields) for key in genre_keys(name, version)
    )
    before = known or LabelSet(version, {UNKNOWN: 0}, {UNKNOWN: 0})
    return LabelSet(
        version,
        before.artists | _behind(before.artists, rows[0], artists, least),
        before.genres | _behind(before.genres, rows[1], genres, least),
    )


def _behind(known: Mapping[str, int], rows: int, found: Counter[str], least: int) -> dict[str, int]:
    first = max(rows, 1 + max(known.values(), default=0))
    frequent = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    new = [name for name, count in frequent if name and name not in known and count >= least]
    return {name: first + number for number, name in enumerate(new)}


def grown(config: LabelConfig, names: LabelSet) -> LabelConfig:
    """Tables with a row for every name."""
    rows = {
        "num_artists": max(config.num_artists, 1 + max(names.artists.values(), default=0)),
        "num_genres": max(config.num_genres, 1 + max(names.genres.values(), default=0)),
    }
    return config.model_copy(update=rows)


# ---- pieces ----------------------------------------------------------------------------------------------------------


def pieces_of(tracks: Iterable[Track], names: LabelSet | None, shape: PriorConfig, fields: LabelFields) -> list[Piece]:
    """What is told of each recording; the offset is that of its beginning."""
    return [_piece(track, names, shape, fields) for track in tracks]


def _piece(track: Track, names: LabelSet | None, shape: PriorConfig, fields: LabelFields) -> Piece:
    total, offset = track.samples, 0
    length = track.facts.get(fields.length)
    if length is not None:
        offset = round(_seconds(track, fields.start) * shape.sample_rate)
        total = max(round(_seconds(track, fields.length) * shape.sample_rate), offset + total)
    artist = 0
    genres: tuple[int, ...] = (0,)
    if names is not None and shape.labels is not None:
        artist = names.artists.get(artist_key(artist_of(track.facts, fields), names.version), 0)
        keys = [key for name in genres_of(track.facts, fields) for key in genre_keys(name, names.version)]
        rows = dict.fromkeys(names.genres.get(key, 0) for key in keys)
        genres = tuple(rows)[: shape.labels.max_genres] or (0,)
    lyrics: tuple[int, ...] = ()
    if shape.lyrics is not None:
        lyrics = Vocabulary(shape.lyrics.version).encode(lyrics_of(track.facts, fields))
    return Piece(total, offset, artist, genres, lyrics)


def artist_of(facts: Facts, fields: LabelFields) -> str:
    names = _texts(facts, fields.artist)
    return names[0] if names else ""


def genres_of(facts: Facts, fields: LabelFields) -> list[str]:
    return _texts(facts, fields.genre)


def lyrics_of(facts: Facts, fields: LabelFields) -> str:
    return "\n".join(_texts(facts, fields.lyrics))


def _texts(facts: Facts, field: str) -> list[str]:
    value = facts.get(field)
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{field} of {facts.get('id')} is {value!r:.60}: give it as text, or a list of texts")
    return list(texts)


def _seconds(track: Track, field: str) -> float:
    value = track.facts.get(field, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise UserError(f"{field} of {track.id} is {value!r:.60}: give it in seconds")
    return float(value)
