"""A studio from Python, on this machine or another: ask for music, hear it while it is made, look through the library.

    from cadenza.serve.client import Client
    studio = Client()
    take = studio.generate("warm lo-fi beat with Rhodes piano", duration=12, seed=7)
    studio.download(take, "take.flac")

In: what people say. Out: `Generation`, `Take` and `Audio`. Needs httpx (the extra `serve` has it) and none of what the
studio itself needs. A studio that is started anew meanwhile is waited for: it forgets nothing that it accepted.
"""

import json
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import pydantic

from cadenza.audio import Audio
from cadenza.errors import CadenzaError, UserError
from cadenza.files import atomic_file

try:
    import httpx
except ImportError as error:
    raise UserError(f"the client needs the package httpx: pip install cadenza[serve] ({error})") from error

ADDRESS = "http://127.0.0.1:8764"
OVER = ("done", "cancelled", "failed")
Text = str | Sequence[tuple[float, str]]
Recording = Audio | str | Path
"""Audio, the path of a file, or the id of a take or an upload."""
_SILENCE_SECONDS = 60.0  # a studio says at least every 15 s that it is there
_OPEN_END = 0x7FFFF000


class TryLater(UserError):
    """Too much was asked for at once; `wait_seconds` says when there is room again."""

    def __init__(self, message: str, wait_seconds: float) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


class Take(pydantic.BaseModel):
    """One piece of music in the library."""

    id: str
    generation: str
    item: int
    status: Literal["queued", "running", "done", "cancelled", "failed"]
    title: str
    text: str
    seed: int
    model: str
    duration: float
    sample_rate: int
    channels: int
    loudness_lufs: float | None
    complete: bool
    starred: bool
    tags: list[str]
    created: datetime
    error: str | None = None
    asked: dict[str, Any]


class Generation(pydantic.BaseModel):
    """What was asked for, and how far it is. `position` 1 is next; `seconds_left` counts the queue in."""

    id: str
    status: Literal["queued", "running", "done", "cancelled", "failed"]
    position: int | None
    seconds_made: float
    seconds_total: float
    seconds_left: float | None
    created: datetime
    error: str | None = None
    asked: dict[str, Any]
    takes: list[Take]


class Model(pydantic.BaseModel):
    """A model that can be asked for."""

    name: str
    kind: str
    loaded: bool
    licence: str
    conditions: list[str]
    sample_rate: int | None
    max_duration: float
    sampling: dict[str, float] | None


class Client:
    """A studio at an address. Raises UserError for what it refuses, CadenzaError where it fails or is not there."""

    def __init__(
        self,
        address: str = ADDRESS,
        key: str | None = None,
        patience_seconds: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`patience_seconds`: how long to wait for a studio that went away in the middle."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        timeout = httpx.Timeout(_SILENCE_SECONDS, connect=10.0)
        # A proxy for the web, as the environment may name one, does not lead to this machine.
        is_here = urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1")
        self._http = httpx.Client(
            base_url=address, headers=headers, timeout=timeout, transport=transport, trust_env=not is_here
        )
        self.address, self.patience_seconds = address, patience_seconds

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # ----------------------------------------------------------------------------------------------------- making

    def generate(
        self,
        text: Text,
        duration: float = 10.0,
        seed: int | None = None,
        *,
        model: str | None = None,
        melody: Recording | None = None,
        prompt: Recording | None = None,
        settings: dict[str, Any] | None = None,
        progress: Callable[[Generation], None] | None = None,
    ) -> Take:
        """Music, when it is finished. Arguments as of `submit`; `progress` is told whenever something has changed."""
        asked = self.submit(text, duration, seed, model=model, melody=melody, prompt=prompt, settings=settings)
        return self.wait(asked, progress).takes[0]

    def submit(
        self,
        text: Text,
        duration: float = 10.0,
        seed: int | None = None,
        *,
        model: str | None = None,
        melody: Recording | None = None,
        prompt: Recording | None = None,
        settings: dict[str, Any] | None = None,
        count: int = 1,
        tags: Sequence[str] = (),
    ) -> Generation:
        """Ask for music and go on; it is made even if nobody waits.

        `settings` are the others of the HTTP API: guidance, temperature, top_k, top_p, plan, prompt_seconds.
        """
        body: dict[str, Any] = {"text": text, "duration": duration, "seed": seed, "model": model, "count": count}
        body |= {"melody": self._sound_id(melody), "prompt": self._sound_id(prompt), "tags": list(tags)}
        return Generation.model_validate(self._json("POST", "/v1/generations", json=body | (settings or {})))

    def generation(self, generation: str) -> Generation:
        """How far it is."""
        return Generation.model_validate(self._json("GET", f"/v1/generations/{_id(generation)}"))

    def wait(self, generation: Generation | str, progress: Callable[[Generation], None] | None = None) -> Generation:
        """Until it is over. Raises CadenzaError where it failed; one that was cancelled is returned."""
        name = generation if isinstance(generation, str) else generation.id
        lost: float | None = None
        while True:
            try:
                for state in self._states(name):
                    lost = None
                    if progress is not None:
                        progress(state)
                    if state.status == "failed":
                        raise CadenzaError(f"generation {name} failed: {state.error}")
                    if state.status in OVER:
                        return state
                lost = lost or time.monotonic()  # the studio is being closed
            except Unreachable:
                lost = lost or time.monotonic()
                if time.monotonic() - lost > self.patience_seconds:
                    raise
            time.sleep(0.2)

    def stream(
        self, text: Text, duration: float = 10.0, seed: int | None = None, *, model: str | None = None
    ) -> Iterator[Audio]:
        """Chunks of music as they are made, at the model's own level. Who stops listening stops the music."""
        name = self.submit(text, duration, seed, model=model).id
        ended = False
        try:
            with self._open("GET", f"/v1/generations/{name}/audio", params={"format": "wav"}) as response:
                yield from _wav_chunks(response.iter_bytes())
            ended = True
        finally:
            if not ended:
                with suppress(CadenzaError):
                    self.cancel(name)

    def cancel(self, generation: Generation | str) -> Generation:
        """Stop it; what is made so far is kept."""
        name = generation if isinstance(generation, str) else generation.id
        return Generation.model_validate(self._json("POST", f"/v1/generations/{_id(name)}/cancel"))

    # ---------------------------------------------------------------------------------------------------- library

    def takes(
        self, query: str = "", *, starred: bool | None = None, tag: str | None = None, model: str | None = None
    ) -> Iterator[Take]:
        """All takes, the newest first; every word of `query` occurs in them."""
        wanted = {"query": query, "starred": starred, "tag": tag, "model": model}
        given: dict[str, Any] = {name: value for name, value in wanted.items() if value not in (None, "")}
        while True:
            page = self._json("GET", "/v1/takes", params=given)
            yield from map(Take.model_validate, page["items"])
            if page["next"] is None:
                return
            given["cursor"] = page["next"]

    def change(
        self,
        take: Take | str,
        *,
        starred: bool | None = None,
        tags: Sequence[str] | None = None,
        title: str | None = None,
    ) -> Take:
        """Star, tag or rename a take."""
        wanted = {"starred": starred, "tags": None if tags is None else list(tags), "title": title}
        body = {name: value for name, value in wanted.items() if value is not None}
        return Take.model_validate(self._json("PATCH", f"/v1/takes/{_take(take)}", json=body))

    def delete(self, take: Take | str) -> None:
        self._request("DELETE", f"/v1/takes/{_take(take)}")

    def audio(self, take: Take | str) -> Audio:
        """The finished sound, with the record that makes it again."""
        with TemporaryDirectory() as folder:
            return Audio.read(self.download(take, Path(folder) / "take.flac"))

    def download(self, take: Take | str, path: str | Path) -> Path:
        """Write the file, in the format of its extension: flac, wav, mp3 or opus."""
        path = Path(path)
        params = {"format": path.suffix.lower().removeprefix(".")}
        with self._open("GET", f"/v1/takes/{_take(take)}/audio", params=params) as response, atomic_file(path) as file:
            file.write_bytes(b"".join(response.iter_bytes()))
        return path

    def upload(self, recording: Audio | str | Path) -> str:
        """Bring a recording; returns its id, to be given as `melody` or `prompt`."""
        if isinstance(recording, Audio):
            with TemporaryDirectory() as folder:
                return self.upload(recording.write(Path(folder) / "recording.flac", loudness_lufs=None))
        path = Path(recording)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); give an audio file") from error
        found = self._json("POST", "/v1/uploads", files={"file": (path.name, content, "application/octet-stream")})
        return str(found["id"])

    # ----------------------------------------------------------------------------------------------------- models

    def models(self) -> list[Model]:
        return [Model.model_validate(one) for one in self._json("GET", "/v1/models")]

    def load_model(self, name: str) -> Model:
        """Load it now rather than when it is needed."""
        return Model.model_validate(self._json("POST", "/v1/models/load", json={"name": name}))

    def unload_model(self, name: str) -> Model:
        """Give back its memory."""
        return Model.model_validate(self._json("POST", "/v1/models/unload", json={"name": name}))

    def health(self) -> dict[str, Any]:
        return dict(self._json("GET", "/v1/health"))

    # ------------------------------------------------------------------------------------------------------- HTTP

    def _sound_id(self, recording: Recording | None) -> str | None:
        if isinstance(recording, str) and recording.isalnum() and not Path(recording).exists():
            return recording
        return None if recording is None else self.upload(recording)

    def _states(self, generation: str) -> Iterator[Generation]:
        with self._open("GET", f"/v1/generations/{_id(generation)}/events") as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    yield Generation.model_validate_json(line.removeprefix("data: "))

    def _json(self, method: str, path: str, **what: Any) -> Any:
        return self._request(method, path, **what).json()

    def _request(self, method: str, path: str, **what: Any) -> httpx.Response:
        with self._open(method, path, **what) as response:
            response.read()
        return response

    def _open(self, method: str, path: str, **what: Any) -> "_Answer":
        return _Answer(self, self._http.build_request(method, path, **what))

    def send(self, request: httpx.Request) -> httpx.Response:
        """The answer, its content still to be read. Raises the errors that the class names."""
        try:
            response = self._http.send(request, stream=True)
            if response.is_success:
                return response
            content = response.read()
        except httpx.TransportError as error:
            raise Unreachable(self.address, error) from error
        response.close()
        try:
            detail = str(json.loads(content)["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"{response.status_code} {response.reason_phrase}"
        if response.status_code in (429, 503):
            wait = response.headers.get("retry-after", "10")
            raise TryLater(detail, float(wait) if wait.isdigit() else 10.0)
        raise UserError(detail) if response.status_code < 500 else CadenzaError(detail)


class Unreachable(CadenzaError):
    """Nobody answers at the address."""

    def __init__(self, address: str, error: Exception) -> None:
        super().__init__(f"no studio answers at {address} ({error}): start one with `cadenza serve`")


class _Answer:
    """An answer that is closed behind its reader."""

    def __init__(self, client: Client, request: httpx.Request) -> None:
        self._client, self._request = client, request

    def __enter__(self) -> httpx.Response:
        self._response = self._client.send(self._request)
        return self._response

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._response.close()
        if isinstance(error, httpx.TransportError):
            raise Unreachable(self._client.address, error) from error


def _id(name: str) -> str:
    if not (name.isascii() and name.isalnum()):
        raise UserError(f"{name!r:.60} is no id of a studio: take it from a Take or a Generation")
    return name


def _take(take: Take | str) -> str:
    return _id(take if isinstance(take, str) else take.id)


def _wav_chunks(parts: Iterator[bytes]) -> Iterator[Audio]:
    """A 16-bit WAV, whose length may be open -> its sound, as it comes."""
    held = b""
    for part in parts:
        held += part
        if b"data" in held[:4096] and len(held) >= held.index(b"data") + 8:
            break
    if not held:
        return  # cancelled before its first sound
    at = held.index(b"fmt ")
    channels, rate = struct.unpack_from("<HI", held, at + 10)
    start = held.index(b"data") + 8
    left = struct.unpack_from("<I", held, start - 4)[0]
    if left >= _OPEN_END:
        left = 1 << 62
    held, frame = held[start:], 2 * channels
    while True:
        whole = min(len(held), left) // frame * frame
        if whole:
            samples = np.frombuffer(held[:whole], "<i2").reshape(-1, channels).T
            yield Audio((samples / np.float32(32768)).astype(np.float32), rate)
            held, left = held[whole:], left - whole
        following = next(parts, None) if left >= frame else None
        if following is None:
            return
        held += following
