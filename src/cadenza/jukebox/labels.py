"""Who plays and what: artist and genres, from names to ids to the vector that stands before the first code.

In: names, or ids, of an artist and genres. Out: a start vector `[B, 1, D]`, the sum of their embeddings. Dhariwal et
al. (2020), arXiv 2005.00341, section 4.3. The published lists of names are not part of Cadenza (their licence forbids
commercial use): they are read from a user's own copy, or ids are given.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from cadenza.checkpoint import Config
from cadenza.errors import UserError

LabelVersion = Literal["v2", "v3"]
"""v2: genres are words, several per piece, of names in a-z, 0-9; v3: one genre per piece, names in lower case."""


class LabelConfig(Config):
    """Defaults: v2, as the upsamplers and 5b models have it."""

    version: LabelVersion = Field("v2", description="how names are looked up")
    num_genres: int = Field(120, ge=1, le=1_000_000, description="rows of the genre table")
    num_artists: int = Field(4111, ge=1, le=10_000_000, description="rows of the artist table")
    max_genres: int = Field(5, ge=1, le=64, description="genres per piece")


@dataclass(frozen=True)
class Piece:
    """What a prior is told about one piece of music, whichever of its windows is sampled."""

    total_length: int = 0
    """Length of the whole piece, samples, of which what is sampled may be a part."""
    offset: int = 0
    """Where in the piece the sampled part begins, samples."""
    artist: int = 0
    genres: tuple[int, ...] = (0,)
    lyrics: tuple[int, ...] = ()
    """Ids of all its characters (see `cadenza.jukebox.lyrics`)."""


class LabelEmbedding(nn.Module):
    """`start = artist + sum of genres`."""

    def __init__(self, config: LabelConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.genres = nn.Embedding(config.num_genres, dim)
        self.artists = nn.Embedding(config.num_artists, dim)

    def check(self, pieces: Sequence[Piece]) -> None:
        """Raise UserError for ids that the tables have no row for."""
        config = self.config
        for piece in pieces:
            if not 0 <= piece.artist < config.num_artists:
                raise UserError(
                    f"artist {piece.artist} is unknown to this model: choose an id below {config.num_artists}"
                )
            if len(piece.genres) > config.max_genres:
                raise UserError(
                    f"{len(piece.genres)} genres {list(piece.genres)}: this model takes {config.max_genres} at most"
                )
            for genre in piece.genres:
                if not 0 <= genre < config.num_genres:
                    raise UserError(f"genre {genre} is unknown to this model: choose an id below {config.num_genres}")

    def forward(self, pieces: Sequence[Piece]) -> Float[Tensor, "B 1 D"]:
        self.check(pieces)
        device = self.artists.weight.device
        most = max(1, *(len(piece.genres) for piece in pieces))
        padded = torch.tensor([[*piece.genres, *[-1] * (most - len(piece.genres))] for piece in pieces], device=device)
        artists = torch.tensor([[piece.artist] for piece in pieces], device=device)
        genres = self.genres(padded.clamp(min=0)).float() * (padded >= 0)[..., None]
        return genres.sum(1, keepdim=True) + self.artists(artists).float()


# ---- names -----------------------------------------------------------------------------------------------------------


def artist_key(name: str, version: LabelVersion) -> str:
    """The form in which an artist's name is looked up."""
    return _words(name) if version == "v2" else name.lower()


def genre_keys(name: str, version: LabelVersion) -> list[str]:
    """The forms in which a genre's name is looked up: in v2 each of its words."""
    return _words(name).split("_") if version == "v2" else [name.lower()]


def _words(name: str) -> str:
    """Lower case; every run of anything but a-z and 0-9 is one underscore, none at the ends."""
    return re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")


class LabelSet:
    """Names and ids of artists and genres."""

    def __init__(self, version: LabelVersion, artists: Mapping[str, int], genres: Mapping[str, int]) -> None:
        """Names in the form in which they are looked up."""
        self.version: LabelVersion = version
        self.artists = dict(artists)
        self.genres = dict(genres)

    @classmethod
    def read(cls, directory: str | Path, version: LabelVersion) -> "LabelSet":
        """From `v2_artist_ids.txt` and `v2_genre_ids.txt` (or v3), lines of `name;id`, in the folder
        `jukebox/data/ids` of a copy of openai/jukebox. Of a name that stands there twice the last line counts.

        Raises UserError for a file that is missing or malformed.
        """
        directory = Path(directory)
        return cls(
            version,
            _read_ids(directory / f"{version}_artist_ids.txt"),
            _read_ids(directory / f"{version}_genre_ids.txt"),
        )

    def artist(self, name: str) -> int:
        """Raises UserError, with the nearest names, for an unknown one."""
        return _find("artist", name, artist_key(name, self.version), self.artists)

    def genre(self, name: str) -> tuple[int, ...]:
        """Ids of a genre, in v2 one of each word. Raises UserError, with the nearest names, for an unknown one."""
        return tuple(_find("genre", name, key, self.genres) for key in genre_keys(name, self.version))


FEW = 30
"""As many names an error lists."""


def _find(kind: str, name: str, key: str, ids: Mapping[str, int]) -> int:
    if key in ids:
        return ids[key]
    near = difflib.get_close_matches(key, ids, n=3, cutoff=0.5)
    if near:
        remedy = f"did you mean {', '.join(near)}?"
    else:
        remedy = f"known: {', '.join(ids)}" if len(ids) <= FEW else f"give the id of one of the {len(ids)} known"
    part = "" if key == name.lower() else f" (looked up as {key!r})"
    raise UserError(f"{kind} {name!r}{part} is unknown: {remedy}")


def _read_ids(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise UserError(f"no list of labels at {path}: give the folder jukebox/data/ids of a copy of openai/jukebox")
    ids = {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no list of labels: fetch it again") from error
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines(): names may hold other separators
        name, found, value = line.rpartition(";")
        if not line.strip():
            continue
        if not found or not re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
            raise UserError(f"{path}, line {number}: {line[:60]!r} is not of the form name;id")
        ids[name.lower()] = int(value)
    return ids


def start_positions(pieces: Sequence[Piece], offset: int, device: torch.device) -> Int[Tensor, "B 2"]:
    """Length of each piece, and where in it a window begins that lies `offset` samples into the sampled part."""
    return torch.tensor([[piece.total_length, piece.offset + offset] for piece in pieces], device=device)
