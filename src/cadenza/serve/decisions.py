"""What a listener has decided about each recording, kept from the moment of each decision.

In: decisions, one at a time. Out: a file of JSON lines that only grows, `{"path", "decision", "time"}`; the last line
about a recording counts, and `null` takes a decision back. Every line is on the disk before the next sound plays: a
program that is killed, or a computer that stops, loses at most the line that was being written.
"""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cadenza.errors import UserError
from cadenza.files import refusal

Decision = Literal["keep", "drop"]


class Decisions:
    """The decisions in a file, by the path of the recording relative to the file's folder."""

    def __init__(self, path: str | Path) -> None:
        """Raises UserError for a whole line that is no decision; half a line at the end is what a crash left."""
        self.path = Path(path)
        self._lock = threading.Lock()
        self._made: dict[str, Decision] = {}
        content = self.path.read_bytes() if self.path.is_file() else b""
        *lines, self._rest = content.split(b"\n")
        for number, line in enumerate(lines, start=1):
            if line.strip() and not self._read(line):
                raise UserError(f"{self.path} line {number} is no decision ({line[:40]!r}): correct or delete it")
        self._gap = b""
        if self._read(self._rest):  # whole but for its end, as some editors leave it
            self._rest, self._gap = b"", b"\n"

    def __getitem__(self, recording: str | Path) -> Decision | None:
        return self._made.get(self._key(recording))

    def record(self, recording: str | Path, decision: Decision | None) -> None:
        """Decide, or take back with None. It is on the disk when this returns; CadenzaError where the disk refuses."""
        key = self._key(recording)
        row = {"path": key, "decision": decision, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            try:
                self._append(line)
            except OSError as error:
                raise refusal(self.path, error) from error
            self._set(key, decision)

    def _append(self, line: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            start = file.seek(0, os.SEEK_END)
            if self._rest:  # half a line of a run that was killed
                file.truncate(start - len(self._rest))
                start -= len(self._rest)
                self._rest = b""
            try:
                if file.write(self._gap + line) != len(self._gap + line):
                    raise OSError("No space left on device")
                os.fsync(file.fileno())
                self._gap = b""
            except OSError:
                file.truncate(start)
                raise

    def _read(self, line: bytes) -> bool:
        try:
            row = json.loads(line)
        except ValueError:
            return False
        known = isinstance(row, dict) and isinstance(row.get("path"), str)
        if not known or row.get("decision") not in ("keep", "drop", None):
            return False
        self._set(row["path"], row.get("decision"))
        return True

    def _set(self, key: str, decision: Decision | None) -> None:
        if decision is None:
            self._made.pop(key, None)
        else:
            self._made[key] = decision

    def _key(self, recording: str | Path) -> str:
        path, folder = Path(recording).absolute(), self.path.parent.absolute()
        return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()
