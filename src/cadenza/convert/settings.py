"""The `xp.cfg` inside an audiocraft checkpoint: YAML whose `${...}` references were never resolved.

In: the YAML text. Out: plain values, each resolved when it is asked for. Only references to other keys are followed
(absolute, or relative with leading dots, as in OmegaConf); a resolver such as `${oc.env:USER}` is never called: a value
that is asked for and depends on one is refused by name; in a whole tree, it stays as it is written.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cadenza.errors import CheckpointError

_INNERMOST = re.compile(r"(?<!\\)\$\{([^${}]*)\}")
_MISSING = "???"
_MAX_CHARACTERS = 2_000_000  # the official files hold about 20,000


class _NotLookedUp(CheckpointError):
    """A value depends on a resolver."""


class Settings:
    """A tree of settings, read by dotted path."""

    def __init__(self, tree: Mapping[str, Any], source: str | Path) -> None:
        self._tree = tree
        self._source = source

    @classmethod
    def parse(cls, text: Any, source: str | Path) -> "Settings":
        """Settings from YAML text that was found in the file `source`."""
        if not isinstance(text, str):
            raise CheckpointError(
                f"{source}: its xp.cfg is {type(text).__name__}, expected YAML text: export the checkpoint first"
            )
        try:
            if len(text) > _MAX_CHARACTERS:
                raise yaml.YAMLError(f"{len(text)} characters")
            tree = yaml.load(text, Loader=_PlainLoader)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise CheckpointError(f"{source}: its xp.cfg is not readable YAML ({reason})") from error
        if not isinstance(tree, dict):
            raise CheckpointError(f"{source}: its xp.cfg is not a tree of settings")
        return cls(tree, source)

    def __contains__(self, path: str) -> bool:
        return self.get(path) is not None

    def __getitem__(self, path: str) -> Any:
        """The resolved value at `path`; CheckpointError if it is absent."""
        value = self.get(path, _ABSENT)
        if value is _ABSENT:
            raise CheckpointError(f"{self._source}: its xp.cfg has no {path}, which is needed to build the model")
        return value

    def get(self, path: str, default: Any = None) -> Any:
        """The resolved value at `path`, a whole sub-tree if it names one, or `default`."""
        value, at = self._find(path.split("."), ())
        return default if value is _ABSENT else self._resolve(value, at, ())

    # ---- resolution --------------------------------------------------------------------------------------------------

    def _find(self, keys: list[str], trail: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
        """The raw value at `keys` and its place; references on the way are followed."""
        value: Any = self._tree
        place: tuple[str, ...] = ()
        for key in keys:
            if isinstance(value, str):
                value = self._resolve(value, place, trail)
            if isinstance(value, dict) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                return _ABSENT, ()
            place = (*place, key)
        return (_ABSENT, ()) if value == _MISSING else (value, place)

    def _resolve(self, value: Any, place: tuple[str, ...], trail: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {key: self._inside(part, (*place, str(key)), trail) for key, part in value.items()}
        if isinstance(value, list):
            return [self._inside(part, (*place, str(index)), trail) for index, part in enumerate(value)]
        if not isinstance(value, str):
            return value
        while (match := _INNERMOST.search(value)) is not None:
            found = self._follow(match.group(1).strip(), place, trail)
            if match.group(0) == value:
                return found
            value = f"{value[: match.start()]}{found}{value[match.end() :]}"
        return value.replace("\\${", "${")

    def _inside(self, value: Any, place: tuple[str, ...], trail: tuple[str, ...]) -> Any:
        """A part of a tree. Most of a tree is looked at by nobody, such as the paths of those who trained."""
        try:
            return self._resolve(value, place, trail)
        except _NotLookedUp:
            return value

    def _follow(self, reference: str, place: tuple[str, ...], trail: tuple[str, ...]) -> Any:
        """The value that `${reference}`, standing at `place`, means."""
        where = ".".join(place)
        if reference in trail:
            raise CheckpointError(f"{self._source}: in its xp.cfg, {where} refers to itself through ${{{reference}}}")
        if ":" in reference or not reference:
            raise _NotLookedUp(
                f"{self._source}: in its xp.cfg, {where} depends on ${{{reference}}}, which is not looked up"
            )
        dots = len(reference) - len(reference.lstrip("."))
        keys = re.sub(r"\[([^\]]*)\]", r".\1", reference.lstrip(".")).split(".")
        if dots:
            keys = [*place[: len(place) - dots], *keys]
        absolute = ".".join(keys)
        value, at = self._find(keys, (*trail, reference))
        if value is _ABSENT:
            raise CheckpointError(f"{self._source}: in its xp.cfg, {where} refers to {absolute}, which is not there")
        return self._resolve(value, at, (*trail, reference))


class _PlainLoader(yaml.SafeLoader):  # type: ignore[misc]  # no stubs
    """YAML's own plain types; no shared nodes, which can describe a tree far larger than its text."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it holds an alias")
        return super().compose_node(parent, index)


# YAML 1.1 reads `1e-05`, as OmegaConf writes it, as text.
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+0123456789."),
)

_ABSENT: Any = object()
