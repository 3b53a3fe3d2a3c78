"""What the pages of this machine share: whom they answer, what they may load, and how they are started.

A page answers requests that name it as it was told, so that no page of the web can reach it under another name, and
posts only from itself. It loads nothing from elsewhere. Needs the extra `serve`: fastapi and uvicorn.
"""

import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cadenza.errors import CadenzaError, UserError

if TYPE_CHECKING:
    from fastapi import FastAPI

INSTALL = "pip install cadenza[serve]"
ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; media-src 'self'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_log = logging.getLogger(__name__)
TYPES = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".mp3": "audio/mpeg"}


def guarded_app(title: str, names: Sequence[str] = HOSTS) -> "FastAPI":
    """A program without routes that answers only under `names` and only its own pages, and says errors in one line.

    Raises UserError where fastapi is missing.
    """
    try:
        from fastapi import FastAPI, Request, Response
        from fastapi.exceptions import RequestValidationError
        from fastapi.responses import JSONResponse
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ImportError as error:
        raise _missing(error) from error

    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(CadenzaError)
    async def explain(request: Request, error: CadenzaError) -> JSONResponse:
        """In the page's own words: what cannot be read or done, and what the disk refuses, which is said here too."""
        if not isinstance(error, UserError):
            _log.error("%s", error)
        return JSONResponse({"detail": str(error)}, 422 if isinstance(error, UserError) else 507)

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
        """Without what was sent, which need not be text."""
        first = error.errors()[0]
        return JSONResponse({"detail": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 422)

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Any]) -> Response:
        # A page of the web may send us a form, and its browser says where it came from.
        origin, host = request.headers.get("origin"), request.headers.get("host")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return JSONResponse({"detail": "not from this page"}, 403)
        response: Response = await call_next(request)
        response.headers.update(HEADERS)
        return response

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(names), www_redirect=False)
    return app


def serve_app(app: "FastAPI", port: int, announce: Callable[[str], None], host: str = ADDRESS) -> None:
    """Answer until Ctrl-C; `announce` is told the page's address once it is there. Port 0 takes any that is free."""
    try:
        import uvicorn
    except ImportError as error:
        raise _missing(error) from error
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            place = f"port {port}" if host == ADDRESS else f"port {port} of {host}"
            raise UserError(f"{place} cannot be used ({error}): choose another") from error
        announce(f"http://{host}:{listener.getsockname()[1]}")
        with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


def _missing(error: ImportError) -> UserError:
    return UserError(f"the page needs the packages fastapi and uvicorn: {INSTALL} ({error})")
