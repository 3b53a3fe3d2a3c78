"""`cadenza data tokens`: recordings to codes, melodies and text states, once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cadenza.cli.progress import counter, resumable
from cadenza.cli.values import Device, number, show_notices, whole_number
from cadenza.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from cadenza.conditioning.text import TextEncoder
    from cadenza.data.texts import Texts
    from cadenza.jukebox.level import VQVAELevel


def tokens(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="A manifest, or the folder that holds one.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the token cache.")],
    codec: Annotated[
        str | None, typer.Option(metavar="M", help="A codec, or a model with one. [default: the one that comes along]")
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="FORM", help="Also keep the captions' states (states) or token ids (ids).")
    ] = None,
    text_encoder: Annotated[
        str | None, typer.Option(metavar="DIR", help="Text encoder, or a model with one. [default: that of --codec]")
    ] = None,
    word_dropout: Annotated[
        float, typer.Option(metavar="P", parser=number, help="Chance that a word is left out of a caption, once.")
    ] = 0.0,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Longest caption. [default: the model's]")
    ] = None,
    normalize: Annotated[
        bool, typer.Option("--normalize-text", help="Leave out stop words, use base forms. [default: as the model]")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Of the words left out.")] = 0,
    first_seconds: Annotated[
        float | None, typer.Option(metavar="S", parser=number, help="Only this much of every recording.")
    ] = None,
    min_seconds: Annotated[
        float, typer.Option(metavar="S", parser=number, help="Shorter recordings are left out.")
    ] = 0.1,
    stereo: Annotated[bool, typer.Option("--stereo", help="Left and right apart, by a mono codec.")] = False,
    melody: Annotated[bool, typer.Option("--melody", help="Also keep the strongest pitch class of a frame.")] = False,
    quiet_db: Annotated[
        float | None, typer.Option(metavar="DB", parser=number, help="Frames this far below the loudest: no pitch.")
    ] = None,
    own_tuning: Annotated[
        bool, typer.Option("--own-tuning", help="Pitch classes of each recording's own tuning.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Processes. [default: one per core]")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster that shares OUT; local: one begun here.")
    ] = None,
    batch_seconds: Annotated[
        float, typer.Option(metavar="S", parser=number, help="Sound coded together; more suits a GPU.")
    ] = 30.0,
    shard_items: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="Recordings per file.")] = 64,
    level: Annotated[
        int | None,
        typer.Option(
            metavar="L", parser=whole_number, help="M is Jukebox' VQ-VAE: its codes of this level, 0 the finest."
        ),
    ] = None,
    device: Device = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compute nothing: check every file of OUT.")] = False,
) -> None:
    """Code every recording, once; goes on where an earlier call was ended, and makes damaged files anew.

    The result does not depend on the number of workers. What cannot be used is listed in skipped.jsonl.
    """
    show_notices()
    if verify:
        _verify(out)
        return
    about_text = text_encoder, max_tokens, word_dropout or None, normalize or None
    if text is None and any(option is not None for option in about_text):
        raise UserError("--text-encoder, --word-dropout, --max-tokens and --normalize-text need --text states or ids")
    if not melody and (quiet_db is not None or own_tuning):
        raise UserError("--quiet-db and --own-tuning need --melody")
    from cadenza.checkpoint import parse_config
    from cadenza.codec.stereo import StereoCodec
    from cadenza.conditioning.chroma import ChromaConfig
    from cadenza.data.coding import TokenConfig
    from cadenza.data.manifest import manifest_path, read_manifest
    from cadenza.data.tokens import TokenCache
    from cadenza.data.writing import SKIPPED, write_tokens
    from cadenza.engine.cores import usable_cores
    from cadenza.loading import load_codec

    if workers is not None and not 1 <= workers <= 1024:
        raise UserError(f"{workers} workers: choose 1 to 1024")
    settings = {
        "first_seconds": first_seconds,
        "min_seconds": min_seconds,
        "batch_seconds": batch_seconds,
        "shard_items": shard_items,
    }
    config = parse_config(TokenConfig, settings, "cadenza data tokens")
    if manifest_path(data).parent.absolute() == out.absolute():
        raise UserError(f"{out} holds the manifest: give the token cache a folder of its own")
    entries = read_manifest(data)
    coder = load_codec(codec, device) if level is None else _level(codec, level, device)
    if stereo and coder.channels == 1:
        coder = StereoCodec(coder)
    elif stereo and not isinstance(coder, StereoCodec):
        raise UserError(f"{codec} has {coder.channels} channels itself: leave out --stereo")
    place = next(coder.parameters()).device
    texts = None
    if text is not None:
        texts = _texts(text, text_encoder or codec, str(place), word_dropout, max_tokens, normalize, seed)
    tuning = "recording" if own_tuning else "a440"
    chroma = ChromaConfig(quiet_db=quiet_db, tuning=tuning, stems="none") if melody else None
    number_of_workers = workers or (usable_cores() if place.type == "cpu" else 1)
    with resumable():
        written = write_tokens(
            coder,
            entries,
            out,
            config,
            melody=chroma,
            texts=texts,
            workers=number_of_workers,
            cluster=cluster,
            on_progress=counter("recordings"),
        )
    cache = TokenCache(out)
    hours = sum(item.codes.shape[1] for item in cache.items) / cache.frame_rate / 3600
    print(f"{out}: {written.recordings} recordings, {hours:.2f} h, {cache.num_codebooks} codebooks", end="")
    print(f"; {len(written.skipped)} left out, see {out / SKIPPED}" if written.skipped else "")


def _level(codec: str | None, level: int, device: str | None) -> "VQVAELevel":
    """One level of a VQ-VAE: a model directory of its own, or OpenAI's file."""
    from cadenza.convert.openai_jukebox_vqvae import read_vqvae
    from cadenza.jukebox.level import VQVAELevel
    from cadenza.jukebox.vqvae import JukeboxVQVAE
    from cadenza.pipelines.placement import choose_device, companion_device

    if codec is None:
        raise UserError("--level is of a VQ-VAE: name its directory or file with --codec")
    vqvae = read_vqvae(codec) if Path(codec).is_file() else JukeboxVQVAE.from_pretrained(codec)
    return VQVAELevel(vqvae.eval().to(companion_device(choose_device(device))), level)


def _verify(out: Path) -> None:
    from cadenza.data.tokens import read_index
    from cadenza.data.verify import verify_tokens

    damaged = verify_tokens(out, counter("files"))
    if damaged:
        print("\n".join(damaged))
        raise UserError(f"{len(damaged)} damaged: the command that made {out} makes them anew, and only them")
    print(f"{out}: {len(read_index(out)['items'])} recordings, all files whole")


def _texts(
    form: str, source: str | None, device: str, word_dropout: float, max_tokens: int | None, normalize: bool, seed: int
) -> "Texts":
    from cadenza.checkpoint import parse_config
    from cadenza.data.texts import TextForm, Texts

    encoder, limit, normalized = _text_encoder(source, device)
    settings = {
        "form": form,
        "max_tokens": limit if max_tokens is None else max_tokens,
        "normalize": normalize or normalized,
        "word_dropout": word_dropout,
        "seed": seed,
    }
    return Texts(encoder, parse_config(TextForm, settings, "cadenza data tokens"))


def _text_encoder(source: str | None, device: str) -> "tuple[TextEncoder, int, bool]":
    """The encoder, how many tokens it may read, and whether sentences are normalised before."""
    from cadenza.checkpoint import CONFIG_FILE, read_config
    from cadenza.conditioning.provider import ConditioningConfig
    from cadenza.conditioning.text import TextConfig, TextEncoder
    from cadenza.loading import find_model

    facts = {} if source is None else _facts(Path(source) / CONFIG_FILE)
    if source is not None and ("d_ff" in facts or "feed_forward_dim" in facts):  # of transformers, or our own
        return TextEncoder.from_pretrained(source, device), TextConfig().max_tokens, False
    try:
        folder = find_model(source) / "conditioning"
    except CheckpointError as error:  # a codec alone
        raise UserError(f"{source} holds no text encoder: name one, or a model, with --text-encoder") from error
    parts = read_config(ConditioningConfig, folder / CONFIG_FILE).conditioners.values()
    part = next((part for part in parts if isinstance(part, TextConfig)), None)
    if part is None:
        raise UserError(f"{source} listens to no text: name a text encoder with --text-encoder")
    return TextEncoder.from_pretrained(folder / part.encoder, device), part.max_tokens, part.normalize


def _facts(path: Path) -> dict[str, object]:
    from cadenza.checkpoint import read_json

    return read_json(path) if path.is_file() else {}
