"""`cadenza convert`: models from one library's files to another's."""

from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli.values import show_notices
from cadenza.errors import UserError


def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A model: directory, file or Hub name.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A new directory.")],
    form: Annotated[str, typer.Option("--to", metavar="FORMAT", help="cadenza, audiocraft or transformers.")],
    precision: Annotated[
        str | None, typer.Option(metavar="P", help="int8 or int4: quantise the language model (--to cadenza).")
    ] = None,
) -> None:
    """Write a model (or a codec) in the files of another library, or in fewer bits."""
    show_notices()
    from cadenza.convert.formats import FORMATS, identify, read_codec, read_model, write_codec, write_model
    from cadenza.loading import find_model, load

    if form not in FORMATS:
        raise UserError(f"unknown format {form!r}: use {', '.join(FORMATS)}")
    path = Path(source)
    if path.exists() and identify(path)[1] == "codec":
        if precision is not None:
            raise UserError(f"{path} is a codec, which has no weights of {precision}: leave --precision away")
        write_codec(read_codec(path), target, form)
    else:
        model = read_model(path) if path.exists() else load(find_model(source), "cpu", "fp32")
        write_model(model, target, form, precision)
    print(f"{target}: {form}" if precision is None else f"{target}: {form}, {precision}")
