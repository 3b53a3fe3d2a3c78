"""A folder in pieces that travel one by one, and back: `python recipes/pieces.py split DIR OUT`, `join OUT DIR`.

In: any folder. Out: `piece-01` ... of at most so many MiB and `pieces.json` with the SHA-256 of each and of the whole;
all in one folder, since a lent machine gives back few files from shallow folders. Joining checks every piece and names
the ones that are missing or damaged; a folder appears whole or not at all. The same folder makes the same bytes.
"""

import argparse
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

from cadenza.errors import CadenzaError, UserError
from cadenza.files import atomic_directory

INDEX = "pieces.json"
MIB = 16


def split(source: Path, target: Path, mib: float = MIB) -> list[Path]:
    """Write the pieces of a folder into another, which is made anew; returns their paths."""
    if not source.is_dir():
        raise UserError(f"{source} is no folder: name the one to be split")
    if not 0 < mib <= 4096:
        raise UserError(f"--mib {mib}: give a size above 0 and up to 4096")
    whole, size = _packed(source), int(mib * 2**20)
    parts = {f"piece-{n // size + 1:02d}": whole[n : n + size] for n in range(0, len(whole), size)}
    index = {"sha256": _hash(whole), "bytes": len(whole), "pieces": {name: _hash(part) for name, part in parts.items()}}
    with atomic_directory(target) as folder:
        for name, part in parts.items():
            (folder / name).write_bytes(part)
        (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
    return [target / name for name in parts]


def join(source: Path, target: Path) -> None:
    """The folder that was split, from its pieces. UserError for what is missing or damaged."""
    try:
        index = json.loads((source / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{source} holds no {INDEX} that can be read: name the folder of the pieces") from error
    found = {name: (source / name).read_bytes() for name in index["pieces"] if (source / name).is_file()}
    wrong = [name for name, code in index["pieces"].items() if name not in found or _hash(found[name]) != code]
    if wrong:
        raise UserError(f"{source}: {', '.join(wrong)} missing or damaged: bring them again")
    whole = b"".join(found[name] for name in index["pieces"])
    assert _hash(whole) == index["sha256"], "pieces that are whole make a whole"
    with atomic_directory(target) as folder, tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        archive.extractall(folder, filter="data")


def _packed(source: Path) -> bytes:
    """A tar of a folder's files, links followed, without owners and times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True, format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            facts = tarfile.TarInfo(path.relative_to(source).as_posix())
            facts.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(facts, file)
    return buffer.getvalue()


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    splitting = commands.add_parser("split", help="a folder into pieces")
    joining = commands.add_parser("join", help="pieces into the folder that they were")
    for command in (splitting, joining):
        command.add_argument("source", type=Path)
        command.add_argument("target", type=Path)
    splitting.add_argument("--mib", type=float, default=MIB, help="largest piece")
    options = parser.parse_args()
    try:
        if options.command == "split":
            print("\n".join(str(path) for path in split(options.source, options.target, options.mib)))
        else:
            join(options.source, options.target)
            print(options.target)
    except CadenzaError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
