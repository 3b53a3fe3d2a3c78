"""The studio: a queue, an engine and a library of takes behind HTTP. Needs the extra `serve`."""

from cadenza.errors import UserError

try:
    import fastapi
    import sqlmodel
    import uvicorn
except ImportError as error:
    raise UserError(f"the studio needs some packages more: pip install cadenza[serve] ({error})") from error

__all__: list[str] = []
del fastapi, sqlmodel, uvicorn
