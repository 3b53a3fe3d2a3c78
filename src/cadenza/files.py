"""Files and directories that appear whole or not at all.

What is written goes beside its place and is then renamed: a full disk or a crash leaves the old one as it was. Nothing
heavy is imported here.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cadenza.errors import CadenzaError


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling to write; it takes the place of `path` at the end, or vanishes if anything fails.

    Missing folders are made. Raises CadenzaError where the disk refuses.
    """
    path = Path(path)
    temporary = _sibling(path)
    try:
        temporary.touch()
        rights = temporary.stat().st_mode
        yield temporary
        temporary.chmod(rights)  # safetensors makes files that only their owner can read
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise refusal(path, error) from error
    finally:
        with suppress(OSError):  # a disk that is read only refuses this too, though nothing is there
            temporary.unlink()


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yield an empty sibling directory; it takes the place of `path` at the end, or vanishes if anything fails."""
    path = Path(path).absolute()
    temporary = _sibling(path)
    retired = temporary.with_name(f"{temporary.name}.old")
    try:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rename(retired)
        try:
            temporary.rename(path)
        except OSError:
            if retired.exists():
                retired.rename(path)
            raise
    except OSError as error:
        raise refusal(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def refusal(path: str | Path, error: OSError) -> CadenzaError:
    """What to raise where `path` cannot be written."""
    reason = error.strerror or (str(error).splitlines() or [type(error).__name__])[0]
    return CadenzaError(f"cannot write {path}: {reason}; free space or choose another place")


def _sibling(path: Path) -> Path:
    """An unused hidden name beside `path` (not `tempfile`, whose files are private to their owner)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(path, error) from error
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
