"""`cadenza listen`: listening tests, from folders of takes to figures with their uncertainty."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cadenza.cli.progress import counter
from cadenza.cli.values import number, show_notices, whole_number
from cadenza.errors import UserError

app = typer.Typer(help="Listening tests: make, serve, analyse.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="TEST", help="The folder that `cadenza listen make` made.")]


@app.command()
def make(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG]", show_default=False, help="Settings, YAML or JSON.")
    ] = None,
    systems: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="A system and its takes; as often as there are systems."),
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(metavar="P", help="ovl, rel, jukebox or pairs; several if you like.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="TEST", help="Folder to make.")] = Path("listening-test"),
    prompts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON lines with id and text, if the takes do not say it.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="NAME", help="The system that is real music, as hidden reference.")
    ] = None,
    anchor: Annotated[
        list[str] | None, typer.Option(metavar="A", help="lowpass or opus: a version known to be bad.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", parser=number, help="Longest part of a clip that is heard.")
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", parser=whole_number, help="Of all that is drawn.")] = None,
) -> None:
    """Make a listening test: clips of the same prompts, alike in length, level and format, under random names.

    TEST/key.json says who is who: keep it from listeners. What was left out, cut or brought down in level is listed.
    """
    show_notices()
    from cadenza.serve.listening_config import checked, read_config
    from cadenza.serve.listening_make import make_test
    from cadenza.serve.listening_plan import listeners_needed

    given: dict[str, Any] = {} if config is None else read_config(config).model_dump()
    if systems:
        given["systems"] = _systems(systems)
    words = {"protocols": protocol, "prompts": prompts, "reference": reference, "anchors": anchor, "seconds": seconds}
    given |= {name: value for name, value in (words | {"seed": seed}).items() if value not in (None, [])}
    if "systems" not in given or "protocols" not in given:
        raise UserError("say what to compare: a CONFIG, or --systems NAME=FOLDER (twice or more) and --protocol ovl")
    made = make_test(checked(given, "the test" if config is None else str(config)), out, counter("prompts"))
    for item in made.left_out:
        print(f"left out: {item['system']}: {item['what']}: {item['reason']}", file=sys.stderr)
    for item in made.notes:
        print(f"{item['prompt']}: {item['note']}", file=sys.stderr)
    screens = sum(len(block.screens) for section in made.design.sections for block in section.blocks)
    print(
        f"{made.folder}: {made.prompts} prompts, {len(made.systems)} systems, {screens} screens; "
        f"{listeners_needed(made.design)} listeners at least for {made.design.ratings_per_item} ratings of each"
    )


@app.command()
def serve(
    test: Folder,
    port: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Of the page; 0: any that is free.")
    ] = 8766,
    host: Annotated[str, typer.Option(metavar="H", help="Address to listen at; others get in at one of yours.")] = (
        "127.0.0.1"
    ),
    name: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="What listeners call this machine, if not by its address.")
    ] = None,
) -> None:
    """Show the test to listeners: a page, several at once, each with a code to go on with later.

    Every answer is in TEST/results.sqlite before the next screen.
    """
    show_notices()
    from cadenza.serve.listening import ListeningTest
    from cadenza.serve.listening import serve as serve_page

    opened = ListeningTest(test)
    try:
        serve_page(
            opened,
            port,
            lambda address: print(f"{address}  (Ctrl-C ends it; every answer is saved as it comes)", flush=True),
            host,
            name or (),
        )
        print(f"{test}: {opened.summary()}")
    finally:
        opened.store.close()


@app.command()
def analyse(
    test: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Only the JSON object, no tables.")] = False,
    html: Annotated[bool, typer.Option("--html", help="Write TEST/report.html too, with plots.")] = False,
) -> None:
    """Figures with intervals, with and without those who did not listen; the last line is one JSON object."""
    show_notices()
    from cadenza.evaluate.ratings.analysis import analyse as figures
    from cadenza.evaluate.ratings.page import render
    from cadenza.files import atomic_file
    from cadenza.serve.listening_config import QUESTIONS
    from cadenza.serve.listening_results import read_results

    found = figures(*read_results(test))
    if not as_json:
        print("\n".join(_lines(found)))
    if html:
        page = render(found, {name: question.title for name, question in QUESTIONS.items()})
        with atomic_file(test / "report.html") as temporary:
            temporary.write_text(page, "utf-8")
        print(f"cadenza: {test / 'report.html'} written", file=sys.stderr)
    print(json.dumps(found, ensure_ascii=False, allow_nan=False))


def _systems(words: list[str]) -> dict[str, list[Path]]:
    """`NAME=FOLDER`; a name that comes again brings more takes."""
    found: dict[str, list[Path]] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or not name or not folder:
            raise UserError(f"--systems {word}: give NAME=FOLDER, as in small=takes/small")
        found.setdefault(name, []).append(Path(folder))
    return found


def _lines(found: dict[str, Any]) -> list[str]:
    """The figures for a terminal."""
    people = found["listeners"]
    lines = [f"{found['title']}: {people['answered']} of {people['count']} listeners answered"]
    lines += [f"  left out: listener {one['listener']}, {one['reason']}" for one in people["excluded"]]
    for protocol, question in found["questions"].items():
        unlike = len(question["unlike_the_others"])
        for name in ("filtered", "all"):
            part = question[name]
            if part is None:
                lines.append(f"{protocol}, {name}: nobody is left")
                continue
            gone = f", {unlike} unlike the others left out" if unlike and name == "filtered" else ""
            lines.append(f"{protocol}, {name}: {part['ratings']} ratings, {part['listeners']} listeners{gone}")
            lines += [f"  {system:<24} {_interval(row)}" for system, row in part["systems"].items()]
            lines += [_difference(row) for row in part["differences"] if name == "filtered"]
        below = question["ratings_per_item"]
        if below["below"]:
            lines.append(f"  {below['below']} of {below['items']} have fewer than {below['wanted']} ratings that count")
    if found["pairs"]:
        for name in ("filtered", "all"):
            part = found["pairs"][name]
            if part is None:
                lines.append(f"pairs, {name}: nobody is left")
                continue
            held = "; half a vote each way added, since some never lost or never met" if part["prior"] else ""
            lines.append(f"pairs, {name}: {part['votes']} votes, {part['listeners']} listeners{held}")
            lines += [f"  {system:<24} {_interval(row)}" for system, row in part["strengths"].items()]
            lines += [_difference(row) for row in part["differences"] if name == "filtered"]
    return lines


def _difference(row: dict[str, Any]) -> str:
    return f"  {row['first'] + ' - ' + row['second']:<24} {_interval(row)}, p {row['p_holm']:.3g} (Holm)"


def _interval(row: dict[str, Any]) -> str:
    if row["low"] is None:
        return f"{row['mean']:.2f} (no interval from one listener or one prompt)"
    return f"{row['mean']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
