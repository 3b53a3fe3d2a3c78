"""`cadenza convert`: models into the files of another library, fewer bits, stereo, or one with adapters merged."""

from pathlib import Path
from typing import Annotated

import typer

from cadenza.cli.values import Adapters, adapter, show_notices
from cadenza.errors import UserError


def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A model: directory, file or Hub name.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A new directory.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="cadenza, audiocraft or transformers. [default with the options below: cadenza]",
        ),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(metavar="P", help="int8 or int4: quantise the language model (--to cadenza).")
    ] = None,
    adapters: Adapters = None,
    codec: Annotated[
        str | None,
        typer.Option(metavar="M", help="Of a diffusion decoder: the codec (or model) whose codes it decodes."),
    ] = None,
    stereo_start: Annotated[
        bool, typer.Option("--stereo-start", help="Make of a mono model what the training of a stereo one begins with.")
    ] = False,
) -> None:
    """Write a model (or a codec) in the files of another library, in fewer bits, as the start of a stereo model, or
    with adapters in its weights."""
    show_notices()
    from cadenza.convert.formats import FORMATS, identify, read_codec, read_model, write_codec, write_model
    from cadenza.convert.merge import merged
    from cadenza.convert.stereo import stereo_start as start_of
    from cadenza.loading import (
        find_model,
        is_jukebox,
        is_published_diffusion,
        load_codec,
        load_musicgen,
        read_diffusion,
        write_jukebox,
    )

    if form is None:
        if not (stereo_start or precision or adapters):
            raise UserError(f"missing option --to: give one of {', '.join(FORMATS)}")
        form = "cadenza"
    if form not in FORMATS:
        raise UserError(f"unknown format {form!r}: use {', '.join(FORMATS)}")
    if stereo_start and precision is not None:
        raise UserError(f"a stereo start is there to be trained, and weights of {precision} cannot be: leave one away")
    worn = [adapter(text) for text in adapters or ()]
    path = Path(source)
    published = "diffusion decoder" if is_published_diffusion(source) else "model"
    kind = identify(path)[1] if path.exists() else "jukebox" if is_jukebox(source) else published
    if codec is not None and kind != "diffusion decoder":
        raise UserError(f"{source} is a {kind}, --codec is about diffusion decoders: leave it away")
    if kind == "diffusion decoder":
        if form != "cadenza" or precision or worn or stereo_start:
            raise UserError(f"{path} is a diffusion decoder: it is written --to cadenza, without other options")
        its_codec = None if codec is None else load_codec(codec, "cpu")
        read_diffusion(source, its_codec).save_pretrained(target)
    elif kind == "jukebox":
        if form != "cadenza" or precision or worn or stereo_start:
            raise UserError(f"{source} is a Jukebox: it is written --to cadenza, without other options")
        write_jukebox(source, target)
    elif kind == "codec":
        if precision is not None:
            raise UserError(f"{path} is a codec, which has no weights of {precision}: leave --precision away")
        if stereo_start:
            raise UserError(f"{path} is a codec, which both channels share: give the directory of a whole model")
        if worn:
            raise UserError(f"{path} is a codec, which takes up no adapter: give the directory of a whole model")
        write_codec(read_codec(path), target, form)
    else:
        if worn:  # sums want all digits, and adapters know models by the hash of their own directories
            model = merged(load_musicgen(find_model(source), "cpu", "fp32"), worn)
        else:
            model = read_model(path) if path.exists() else load_musicgen(find_model(source), "cpu", "fp32")
        write_model(start_of(model) if stereo_start else model, target, form, precision)
    notes = [form, *([precision] if precision else []), *(["stereo start"] if stereo_start else [])]
    notes += [f"with {gain:g} {file}" for file, gain in worn]
    print(f"{target}: {', '.join(notes)}")
