"""The list of commands. Nothing heavy is imported here: `cadenza --help` must answer at once."""

import typer

from cadenza import __version__
from cadenza.cli import (
    codec,
    convert,
    corpus,
    data,
    evaluate,
    finetune,
    generate,
    info,
    jukebox,
    listen,
    play,
    serve,
    train,
)

# Plain text: the boxes of rich would cost a third of a second and more than one line.
app = typer.Typer(
    help="Cadenza: text to music.",
    epilog="Exit codes: 0 done, 1 failure, 2 something to put right, 130 interrupted (what was made is kept).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> bool:
    if wanted:
        print(f"cadenza {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Cadenza: text to music."""


app.command()(generate.generate)
app.command()(play.play)
app.command()(info.info)
app.command()(convert.convert)
app.command()(train.train)
app.command()(finetune.finetune)
app.add_typer(codec.app, name="codec")
app.add_typer(corpus.app, name="corpus")
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(jukebox.app, name="jukebox")
app.add_typer(listen.app, name="listen")
app.add_typer(serve.app, name="serve")
