"""The studio over HTTP: one program of all routes, and how it is started.

In: settings. Out: an application (ASGI) that answers with JSON, sound and the page. Bad input is answered with one
clear line and never with a failure of ours; `security` stands before all of it.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from cadenza import __version__
from cadenza.errors import CadenzaError, UserError
from cadenza.serve.studio import (
    metrics,
    routes_generations,
    routes_models,
    routes_speech,
    routes_takes,
    routes_uploads,
)
from cadenza.serve.studio.house import Studio
from cadenza.serve.studio.jobs import Crowded
from cadenza.serve.studio.library import Busy, Missing
from cadenza.serve.studio.models import Load
from cadenza.serve.studio.routes_page import page_router
from cadenza.serve.studio.security import protect
from cadenza.serve.studio.settings import StudioSettings

_CODES = ((Missing, 404), (Busy, 409), (Crowded, 429), (UserError, 422))
"""What is none of these is our disk's fault."""
_PARTS: dict[str, Any] = {"loop": "asyncio", "http": "h11"}
"""Of the server: the same whatever else is installed beside it; uvicorn would take what it finds."""
log = logging.getLogger("cadenza")


def create_app(settings: StudioSettings, load: Load | None = None) -> FastAPI:
    """The program. `load` stands in `cadenza.load`'s place. Raises UserError for a library that cannot be opened."""
    studio = Studio(settings, load)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(studio.start)
        try:
            yield
        finally:
            studio.leave()
            await run_in_threadpool(studio.stop)

    app = FastAPI(title="Cadenza Studio", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.studio = studio
    _explain_errors(app)
    for routes in (routes_generations, routes_takes, routes_uploads, routes_models, routes_speech, metrics):
        app.include_router(routes.router)
    app.include_router(page_router())
    try:
        protect(app, settings, studio.database)
    except UserError:
        studio.close()
        raise
    metrics.measure(app, studio)  # outermost: what the gate refuses is counted too
    return app


def _explain_errors(app: FastAPI) -> None:
    """Errors in one line each, without what was sent, which need not be text."""

    @app.exception_handler(CadenzaError)
    async def explain(request: Request, error: CadenzaError) -> JSONResponse:
        code = next((code for kind, code in _CODES if isinstance(error, kind)), 507)
        if code == 507:
            log.error("%s", error)
        return JSONResponse({"detail": str(error)}, code, {"Retry-After": "10"} if code == 429 else None)

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"detail": f"{where}: {first['msg']}".encode("ascii", "replace").decode()}, 422)

    @app.exception_handler(HTTPException)
    async def say(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": str(error.detail)}, error.status_code, headers=error.headers)


def serve(settings: StudioSettings, announce: Callable[[str], None], load: Load | None = None) -> None:
    """Answer until Ctrl-C or SIGTERM; `announce` is told the address once the page can be opened there."""
    app = create_app(settings, load)
    studio: Studio = app.state.studio

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            # Listeners would keep the server from ending. Not here: the signal may have come in the middle of anything.
            with suppress(RuntimeError):
                asyncio.get_running_loop().call_soon_threadsafe(studio.leave)
            super().handle_exit(sig, frame)

    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(128)
        except OSError as error:
            studio.close()
            raise UserError(
                f"port {settings.port} of {settings.host} cannot be used ({error.strerror}): choose another --port"
            ) from error
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        announce(f"http://{host}:{listener.getsockname()[1]}")
        config = uvicorn.Config(
            app, log_level="warning", timeout_graceful_shutdown=5, ws="websockets-sansio", ws_max_size=2**16, **_PARTS
        )
        with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
            Server(config).run(sockets=[listener])
