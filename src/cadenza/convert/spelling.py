"""Names as people type them: paths, names on the Hub, and those that are nearly a known one."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from cadenza.convert.hub import is_repository


def exists(name: str | Path) -> bool:
    """Whether this is a path of something, however long it is."""
    try:
        return str(name) != "" and Path(name).exists()
    except OSError:  # longer than any path can be
        return False


def may_be_remote(name: str, known: Iterable[str]) -> bool:
    """Whether to ask the Hub: for a known name, or one that is not nearly a known one."""
    known = tuple(known)
    return name in known or (is_repository(name) and not difflib.get_close_matches(name, known, 1, 0.9))


def unknown(
    name: str, known: Iterable[str], remedy: str = "a directory, or a name such as facebook/musicgen-small"
) -> str:
    """The message for a name that is none of those `known`: the nearest of them, else `remedy`."""
    short = {one.rpartition("/")[2]: one for one in known}
    near = [short[one] for one in difflib.get_close_matches(name.rpartition("/")[2], list(short), 3, 0.6)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"give {remedy}"
    return f"no model {name[:80]!r}: {hint}"
