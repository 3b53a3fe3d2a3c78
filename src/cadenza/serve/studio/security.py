"""Who may ask the studio: looked at before anything of a request is read.

In: every HTTP request and WebSocket. Out: the same with `scope["state"]["caller"]`, or a refusal in one line.

Without keys the studio is for this machine alone: it listens on loopback and answers under the names of this machine
only, so that no page of the web can reach it under another name (DNS rebinding). With keys every request but those for
the page itself and for its health carries one, as `Authorization: Bearer KEY` or in the cookie that the page gets for
it (`POST /v1/session`), since a browser's audio elements, event sources and WebSockets carry no header.
Always: requests of other pages are refused, bodies are counted before they are kept, and answers say what a browser may
do with them.
"""

import ipaddress
import re
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cadenza.errors import CadenzaError, UserError
from cadenza.serve.studio.keys import Caller, Keys
from cadenza.serve.studio.settings import StudioSettings
from cadenza.serve.studio.tables import Database

COOKIE = "cadenza_key"
SESSION_SECONDS = 30 * 86400
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")
OPEN_PATHS = re.compile(r"/|/favicon\.ico|/static/.*|/v1/health|/v1/session|/openapi\.json")
"""What is answered without a key: the page, which asks for one, and nothing that anybody made."""
JSON_BYTES = 256 * 1024
"""Largest body that is no upload: a timeline of many sections."""
MULTIPART_BYTES = 64 * 1024
"""What a form may add to the file that it carries."""
HEADERS = {
    # Of what is no page. The page says for itself what it loads.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), display-capture=()",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]\s]+)(?::\d{1,5})?", re.IGNORECASE)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach the address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, keys: Keys) -> None:
    """Raises UserError for an address that others can reach while there is no key."""
    if not is_loopback(host) and not keys.needed():
        raise UserError(
            f"--host {host} lets others in: make a key for each first, with `cadenza serve keys add NAME`, "
            "or leave --host out"
        )


def protect(app: FastAPI, settings: StudioSettings, database: Database) -> Keys:
    """Put the gate before a program. Raises UserError for an address that others can reach without a key."""
    keys = Keys(database, settings.key_file)
    check_exposure(settings.host, keys)
    upload_bytes = round(settings.max_upload_mb * 1e6)
    app.add_middleware(Gate, keys=keys, host=settings.host, names=settings.names, upload_bytes=upload_bytes)
    responses: dict[int | str, dict[str, Any]] = {401: {"description": "this is no key, or one that was revoked"}}

    @app.post("/v1/session", status_code=204, tags=["keys"], response_class=Response, responses=responses)
    def begin_session(request: Request) -> Response:
        """The page shows its key, `Authorization: Bearer KEY`, and gets a cookie for what carries no header."""
        key = presented_key(request.headers)
        response = Response(status_code=204)
        if keys.needed() or not is_loopback(settings.host):
            if keys.find(key) is None:
                raise _no_key()
            response.set_cookie(
                COOKIE, key, SESSION_SECONDS, secure=request.url.scheme == "https", httponly=True, samesite="strict"
            )
        return response

    @app.delete("/v1/session", status_code=204, tags=["keys"], response_class=Response)
    def end_session() -> Response:
        """Forget the cookie."""
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return keys


class Gate:
    """Stands before the whole program, as ASGI middleware: streams and WebSockets pass through it as they are."""

    def __init__(self, app: ASGIApp, keys: Keys, host: str, names: Sequence[str] = (), upload_bytes: int = 0) -> None:
        """`host` is where the studio listens, `names` what else it is called, `upload_bytes` the largest file."""
        self.app = app
        self.keys = keys
        self.exposed = not is_loopback(host)
        own = (f"[{host}]" if ":" in host and not host.startswith("[") else host, *LOCAL_NAMES, *names)
        self.names = {name.lower() for name in own}
        self.upload_bytes = upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answered.setdefault(name, value)
                answered.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            scope.setdefault("state", {})["caller"] = self._admit(scope, headers)
            limit = self._body_limit(scope, headers)
        except (HTTPException, CadenzaError) as problem:
            error = problem if isinstance(problem, HTTPException) else HTTPException(507, str(problem))
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": error.detail[:120]})
                return
            await JSONResponse({"detail": error.detail}, error.status_code, error.headers)(scope, receive, answer)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        await self.app(scope, _counted(receive, limit), answer)

    def _admit(self, scope: Scope, headers: Headers) -> Caller:
        """Who asks; raises HTTPException (401, 403, 429)."""
        host = headers.get("host", "")
        needs_key = self.exposed or self.keys.needed()
        if not needs_key:
            match = _HOST.fullmatch(host)
            if match is None or match[1].lower() not in self.names:
                raise HTTPException(403, "this studio is for this machine: call it http://127.0.0.1, or set a key")
        origin = headers.get("origin")
        # A page of the web may send us a form or open a WebSocket, and its browser says where it came from.
        if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            raise HTTPException(403, "not from this page")
        if not needs_key or OPEN_PATHS.fullmatch(scope["path"]):
            return Caller()
        caller = self.keys.find(presented_key(headers))
        if caller is None:
            raise _no_key()
        self.keys.count(caller)
        return caller

    def _body_limit(self, scope: Scope, headers: Headers) -> int:
        """Bytes that may follow; raises HTTPException where the request promises more."""
        is_form = headers.get("content-type", "").lower().startswith("multipart/")
        limit = self.upload_bytes + MULTIPART_BYTES if is_form else JSON_BYTES
        promised = headers.get("content-length", "0")
        if not promised.isascii() or not promised.isdigit():
            raise HTTPException(400, "Content-Length is not a number")
        if len(promised) > 15 or int(promised) > limit:
            raise _too_large(limit)
        return limit


def presented_key(headers: Headers) -> str:
    """What a request shows as its key, in the header or else in the cookie; "" for none."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if key:
        return key.strip() if scheme.lower() == "bearer" else ""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return "" if morsel is None else morsel.value


def _no_key() -> HTTPException:
    challenge = {"WWW-Authenticate": 'Bearer realm="cadenza"'}
    return HTTPException(401, "a key is needed: send Authorization: Bearer KEY", challenge)


def _counted(receive: Receive, limit: int) -> Receive:
    """The same body, refused where it grows beyond `limit` bytes: not every request says its length."""
    left = limit

    async def counted() -> Message:
        nonlocal left
        message: Any = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> HTTPException:
    size = f"{limit / 2**20:.0f} MB" if limit >= 2**20 else f"{limit // 1024} kB"
    return HTTPException(413, f"more than {size}: send less", {"Connection": "close"})
