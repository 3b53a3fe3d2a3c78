"""Is a manifest true? The files are there and as it says, and nothing is in two splits.

In: a manifest. Out: findings, one line each. Only headers are read (`decode` reads all): a look at 10,000 files takes
seconds.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cadenza.audio import Audio
from cadenza.data.manifest import Entry, manifest_path, read_manifest, write_manifest
from cadenza.data.measure import BLOCK_SECONDS
from cadenza.data.splits import SPLITS, leaks
from cadenza.errors import UserError

TOLERANCE_SECONDS = 0.01
"""Duration: other programs round it, and some count an MP3's padding."""


@dataclass(frozen=True)
class Findings:
    """What a manifest says wrongly, by entry, and what may be meant so."""

    manifest: Path
    entries: list[Entry]
    wrong: dict[int, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        told = [f"{self.entries[item].path}: {reason}" for item, reason in self.wrong.items()]
        splits = Counter(entry.split for entry in self.entries)
        order = sorted(splits, key=lambda name: (SPLITS.index(name) if name in SPLITS else len(SPLITS), name))
        shares = ", ".join(f"{splits[name]} {name}" for name in order)
        return [
            *told,
            *self.notes,
            f"{self.manifest}: {len(self.entries)} recordings ({shares}), {len(self.wrong)} wrong",
        ]


def check_manifest(
    source: str | Path, decode: bool = False, on_progress: Callable[[int, int], None] | None = None
) -> Findings:
    """Compare every entry with its file: that it is there and readable, its duration and its rate."""
    path = manifest_path(source)
    entries = read_manifest(path, missing="keep")
    wrong = {}
    for item, entry in enumerate(entries):
        reason = _fault(entry, decode)
        if reason is not None:
            wrong[item] = reason
        if on_progress is not None:
            on_progress(item + 1, len(entries))
    notes = []
    twice = [name for name, times in Counter(entry.id for entry in entries).items() if times > 1]
    if twice:
        notes.append(
            f"{len(twice)} ids are given more than once, the first is {twice[0]!r}: a token cache refuses them"
        )
    for by in ("track", "artist"):
        found = leaks(entries, by)
        if found:
            names = " and ".join(entries[item].id for item in found[0][:2])
            notes.append(
                f"{len(found)} groups of one {by} are in two splits, as {names}: run `cadenza data split --again`"
            )
            break
    mute = sum(not entry.captions for entry in entries)
    if mute:
        notes.append(f"{mute} have no caption")
    return Findings(path, entries, wrong, notes)


def drop_wrong(findings: Findings) -> None:
    """Write the manifest anew without the entries that are wrong. Raises UserError if none would remain."""
    kept = [entry for item, entry in enumerate(findings.entries) if item not in findings.wrong]
    if not kept:
        raise UserError(f"all of {findings.manifest} would go: scan the folder again instead")
    write_manifest(findings.manifest, kept)


def _fault(entry: Entry, decode: bool) -> str | None:
    import soundfile

    path = Path(entry.path)
    if not path.is_file():
        return "is not there"
    try:
        with soundfile.SoundFile(path) as file:
            rate, frames = file.samplerate, file.frames
        for start in range(0, frames if decode else 0, BLOCK_SECONDS * rate):  # a recording of any length
            Audio.read(path, start / rate, BLOCK_SECONDS)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ").split("; ")[0]
    except (soundfile.SoundFileError, TypeError, OSError):  # TypeError: a raw format
        return "cannot be read"
    if rate != entry.sample_rate:
        return f"has {rate} Hz, not {entry.sample_rate}"
    seconds = frames / rate
    if abs(seconds - entry.duration) > TOLERANCE_SECONDS:
        return f"lasts {seconds:.3f} s, not {entry.duration:.3f}"
    return None
