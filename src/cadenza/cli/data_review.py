"""`cadenza data review`: a local page to listen to recordings and keep or drop them."""

from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli.values import show_notices, whole_number


def review(
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest, or the folder that holds one.")],
    apply: Annotated[
        bool, typer.Option("--apply", help="Only write reviewed.jsonl: what was kept so far, without a page.")
    ] = False,
    port: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Of the page; 0: any that is free.")
    ] = 8765,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Listen to recordings in the browser and keep or drop each; goes on where the last listening stopped.

    Every decision is saved at once in review.jsonl beside the manifest. No audio is deleted.
    """
    show_notices()
    from cadenza.serve.review import Review, serve

    session = Review.open(manifest)
    if not apply:
        serve(session, port, lambda address: _announce(address, browser))
    counts = session.counts()
    print(f"{session.decisions.path}: {counts['keep']} kept, {counts['drop']} dropped, {counts['open']} not decided")
    if apply:
        print(session.apply())


def _announce(address: str, browser: bool) -> None:
    print(f"{address}  (Ctrl-C ends it; everything is saved as you go)", flush=True)
    if browser:
        import webbrowser

        webbrowser.open(address)
