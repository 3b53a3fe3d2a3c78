"""`cadenza evaluate`: how good music is, from anyone's audio. Each family of commands has a file of its own."""

import typer

from cadenza.cli import (
    evaluate_codec,
    evaluate_health,
    evaluate_measure,
    evaluate_memorization,
    evaluate_metrics,
    evaluate_neighbours,
    evaluate_run,
)

app = typer.Typer(help="Measure music: reports, distances, control.", no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measure music: reports, distances, control."""


app.command()(evaluate_run.run)
app.command()(evaluate_metrics.fad)
app.command()(evaluate_metrics.kad)
app.command()(evaluate_metrics.mad)
app.command()(evaluate_metrics.kl)
app.command()(evaluate_metrics.clap)
app.command()(evaluate_metrics.chroma)
app.command()(evaluate_metrics.control)
app.command("loudness")(evaluate_metrics.loudness_of)
app.command()(evaluate_metrics.repetition)
app.command()(evaluate_codec.codec)
app.command()(evaluate_health.health)
app.command()(evaluate_memorization.memorization)
app.command()(evaluate_neighbours.neighbours)
app.command()(evaluate_measure.measure)
app.command()(evaluate_measure.merge)
app.command()(evaluate_measure.embedders)
