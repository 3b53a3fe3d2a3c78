"""The studio's page and its files: static, from this package, nothing else of the disk.

In: a request for `/` or `/static/...`. Out: one of a fixed list of files, which is made when the program starts: what
a client names is looked up in it and never becomes a path. The page runs only scripts and styles that are files of
this list; the waveform's drawing library puts one style sheet of its own into the page, which a random number allows.
"""

import gzip
import hashlib
import secrets
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

PAGE = Path(__file__).parents[1] / "page"
KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
PACKED = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
NONCE = "{{nonce}}"
"""Where the page names the random number."""


def content_policy(nonce: str) -> str:
    """The page's Content-Security-Policy: everything from here, nothing written into the page itself."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob:; "
        "media-src 'self' blob:; connect-src 'self'; font-src 'self'; form-action 'none'; frame-ancestors 'none'; "
        "base-uri 'none'"
    )


def static_files() -> dict[str, Path]:
    """Every file that the page may load, by the name under `/static/`."""
    found = (path for folder in ("studio", "vendor") for path in sorted((PAGE / folder).rglob("*")))
    return {path.relative_to(PAGE).as_posix(): path for path in found if path.suffix in KINDS}


def _takes_gzip(request: Request) -> bool:
    """Every browser; over a slow network the page is there in half the time."""
    return "gzip" in request.headers.get("accept-encoding", "")


def page_router() -> APIRouter:
    """`GET /`, `GET /static/...` and the icon."""
    router = APIRouter(include_in_schema=False)
    html = (PAGE / "studio.html").read_text(encoding="utf-8")
    contents = {name: path.read_bytes() for name, path in static_files().items()}
    packed = {
        name: gzip.compress(content, mtime=0) for name, content in contents.items() if not name.endswith(".woff2")
    }  # fonts of this kind are packed already
    tags = {name: f'"{hashlib.sha256(content).hexdigest()[:20]}"' for name, content in contents.items()}

    @router.get("/")
    async def page(request: Request) -> Response:
        nonce = secrets.token_urlsafe(18)
        headers = {"Content-Security-Policy": content_policy(nonce), "Cache-Control": "no-store"}
        content = html.replace(NONCE, nonce).encode()
        if _takes_gzip(request):
            content, headers = gzip.compress(content, 5), headers | PACKED
        return Response(content, media_type="text/html", headers=headers)

    @router.get("/static/{name:path}")
    async def static(name: str, request: Request) -> Response:
        if name not in contents:
            raise HTTPException(404, "there is no such file")
        headers = {
            "ETag": tags[name],
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
        }  # asked for again, sent only if it changed
        if tags[name] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        content = contents[name]
        if name in packed and _takes_gzip(request):
            content, headers = packed[name], headers | PACKED
        return Response(content, media_type=KINDS[Path(name).suffix], headers=headers)

    @router.get("/favicon.ico")
    async def icon(request: Request) -> Response:
        return await static("studio/icon.svg", request)

    return router
