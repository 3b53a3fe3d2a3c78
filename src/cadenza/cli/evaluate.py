"""`cadenza evaluate`: how good music is, from anyone's audio. Each family of commands has a file of its own."""

import typer

app = typer.Typer(help="Measure music: reports, distances, control.", no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measure music: reports, distances, control."""
