"""`cadenza generate`: words to a music file."""

import math
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from cadenza.cli import INTERRUPTED
from cadenza.cli.outlets import STANDARD_OUTPUT, describe, listen
from cadenza.cli.progress import GenerationProgress
from cadenza.cli.take_files import check_output, keep, path_for, paths_for, slug
from cadenza.cli.values import (
    Adapters,
    Calls,
    Decoder,
    Device,
    OneBand,
    Precision,
    SolverName,
    Threads,
    adapter,
    load_decoder,
    loudness,
    number,
    set_threads,
    show_notices,
    whole_number,
)
from cadenza.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cadenza.audio import Audio
    from cadenza.conditioning.chroma import Melody
    from cadenza.conditioning.plan import Plan
    from cadenza.pipelines.musicgen import MusicGen


def generate(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT...", show_default=False, help="What to play; one file each.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="wav, flac, ogg, opus or mp3; a folder that exists; or - (a pipe) with --stream.",
        ),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(metavar="S", parser=number, help="Seconds, an audio prompt included. [default: 10]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Same seed, same music. [default: drawn]")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="M", help="Directory, file or Hub name. [default: the one that comes along]")
    ] = None,
    device: Device = None,
    precision: Precision = None,
    then: Annotated[
        list[str] | None,
        typer.Option(
            metavar='"S TEXT"', help='From second S on play this: --then "8 drums enter". As often as you like.'
        ),
    ] = None,
    prompt_audio: Annotated[Path | None, typer.Option(metavar="F", help="Go on from this recording.")] = None,
    melody: Annotated[
        Path | None, typer.Option(metavar="F", help="Follow the melody of this recording: hummed, whistled, played.")
    ] = None,
    stems: Annotated[
        str | None,
        typer.Option(
            metavar="S",
            help="Of a melody, leave out drums and bass first: auto, demucs or none. [default: the model's]",
        ),
    ] = None,
    adapters: Adapters = None,
    style: Annotated[Path | None, typer.Option(metavar="F", help="Sound like an excerpt of this recording.")] = None,
    tempo: Annotated[
        float | None,
        typer.Option(metavar="BPM", parser=number, help="Beats a minute. [default: what the words say or suggest]"),
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help='Such as "A minor", or minor alone.')] = None,
    meter: Annotated[str | None, typer.Option(metavar="M", help="4/4, 3/4, 6/8 or 5/4.")] = None,
    guidance: Annotated[
        float | None,
        typer.Option(metavar="G", parser=number, help="How closely to follow the words. [default: the model's]"),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(metavar="K", parser=whole_number, help="Choose among the K best; 0: all.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(metavar="P", parser=number, help="Choose within this probability; 0: off.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="T", parser=number, help="Above 1: bolder, below: safer. [default: the model's]"),
    ] = None,
    decoder: Decoder = None,
    calls: Calls = None,
    solver: SolverName = None,
    one_band: OneBand = False,
    threads: Threads = None,
    take: Annotated[
        Path | None, typer.Option("--from", metavar="TAKE", help="Render a file of Cadenza again, exactly.")
    ] = None,
    loudness_lufs: Annotated[
        float | None,
        typer.Option("--loudness", metavar="LUFS", parser=loudness, help="Of the file, or off. [default: -14]"),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Hear it while it is made: through a player found here, from -o FILE.wav, which grows, or from -o -, "
            "a WAV on standard output. Until the file is finished its level is the model's own.",
        ),
    ] = False,
) -> int:
    """Make music from words, and write it to a file.

    cadenza generate "warm lo-fi beat with Rhodes piano, 82 bpm" -o beat.flac --duration 12 --seed 7

    cadenza generate "warm lo-fi beat with Rhodes piano" --stream -o - | ffplay -nodisp -autoexit -
    """
    show_notices()
    choices: dict[str, Any] = {
        "duration": duration,
        "seed": seed,
        "guidance": guidance,
        "top_k": top_k,
        "top_p": top_p,
        "temperature": temperature,
    }
    if take is not None:
        others: dict[str, object] = {
            "then": then or None,
            "prompt_audio": prompt_audio,
            "melody": melody,
            "stems": stems,
            "style": style,
            "tempo": tempo,
            "key": key,
            "meter": meter,
        }
        others |= {"calls": calls, "solver": solver}
        others |= {"stream": stream or None, "PROMPT": prompts or None}
        _refuse_choices(choices | others)
    elif not prompts:
        raise UserError('no prompt: say what to play, as in cadenza generate "a slow waltz", or give --from TAKE')
    sections = [_section(text) for text in then or ()]
    if sections and prompts and len(prompts) != 1:
        raise UserError(f"--then goes on from one prompt, not {len(prompts)}: give one prompt")
    if stream and prompts:
        _check_stream(prompts, output, loudness_lufs)
    if output is not None and not (stream and output == STANDARD_OUTPUT):
        check_output(output)
    if decoder is None and (calls is not None or solver is not None or one_band):
        raise UserError("--calls, --solver and --one-band are about a diffusion decoder: add --decoder mbd")
    worn = [adapter(text) for text in adapters or ()]
    set_threads(threads)
    level = {} if loudness_lufs is None else {"loudness_lufs": None if math.isnan(loudness_lufs) else loudness_lufs}
    if take is not None:
        code, audios = _render_again(take, model, device, precision, worn, decoder, one_band)
        paths = [path_for(output, f"{take.stem}-again{take.suffix}")]
    else:
        assert prompts is not None
        # Small files before large ones: a mistyped name should not cost a minute of loading.
        choices["prompt"], choices["style"] = _read(prompt_audio), _read(style)
        choices["melody"] = _melody(melody, stems)
        choices["plan"] = _plan(tempo, key, meter)
        choices["adapters"] = _readable(worn)
        from cadenza.loading import load_musicgen

        music = load_musicgen(model, device, precision)
        if decoder is not None:
            music.decoder = load_decoder(decoder, music.codec, device, calls, solver, one_band)
        if stream:
            return _stream(music, prompts[0], sections, choices, output, level)
        code, audios = _render(music, prompts, sections, choices)
        paths = paths_for(output, prompts, audios)
    for audio, path in zip(audios, paths, strict=True):
        if not audio.num_samples:
            continue
        keep(audio, path, level)
        print(describe(path, audio.duration_seconds, audio.metadata))
    return code


def _read(path: Path | None) -> "Audio | None":
    from cadenza.audio import Audio

    return None if path is None else Audio.read(path)


def _readable(adapters: list[tuple[Path, float]]) -> list[tuple[Path, float]]:
    from cadenza.lm.adapter import read_adapter

    for path, _ in adapters:
        read_adapter(path)
    return adapters


def _melody(path: Path | None, stems: str | None) -> "Melody | None":
    """The recording, and whether to take drums and bass out of it."""
    from cadenza.conditioning.chroma import Melody
    from cadenza.conditioning.stems import choose_stems

    if path is None:
        if stems is not None:
            raise UserError(f"--stems {stems} is about a melody: add --melody FILE, or leave it out")
        return None
    return Melody(cast("Audio", _read(path)), None if stems is None else choose_stems(stems))


def _plan(tempo: float | None, key: str | None, meter: str | None) -> "Plan | None":
    from cadenza.conditioning.plan import Plan

    return None if tempo is None and key is None and meter is None else Plan(tempo, key, meter)


def _section(text: str) -> tuple[float, str]:
    """`8 drums enter`: when, and what."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s+(\S.*)", text, re.DOTALL)
    if match is None:
        raise UserError(f'--then {text!r:.60}: give the second and what is played from there on, as in "8 drums enter"')
    return float(match[1]), match[2]


def _timeline(prompt: str, sections: list[tuple[float, str]]) -> Any:
    return [(0.0, prompt), *sections] if sections else prompt


def _watch(music: "MusicGen", progress: GenerationProgress) -> None:
    """Show what a diffusion decoder does, too."""
    if music.decoder is not None:
        music.decoder.on_call = progress.called


def _render(
    music: "MusicGen", prompts: list[str], sections: list[tuple[float, str]], choices: dict[str, Any]
) -> tuple[int, "list[Audio]"]:
    text = _timeline(prompts[0], sections) if sections else prompts
    with GenerationProgress() as progress:
        _watch(music, progress)
        made = music.generate(text, progress=progress.update, should_stop=progress.should_stop, **choices)
    audios = made if isinstance(made, list) else [made]
    return INTERRUPTED if progress.stopped else 0, audios


def _stream(
    music: "MusicGen",
    text: str,
    sections: list[tuple[float, str]],
    choices: dict[str, Any],
    output: Path | None,
    level: dict[str, float | None],
) -> int:
    def stream(progress: GenerationProgress) -> "Iterator[Audio]":
        _watch(music, progress)
        return music.stream(
            _timeline(text, sections), progress=progress.update, should_stop=progress.should_stop, **choices
        )

    return listen(stream, lambda seed: path_for(output, f"{slug(text)}-{seed}.wav"), output is None, level)


def _render_again(
    path: Path,
    model: str | None,
    device: str | None,
    precision: str | None,
    adapters: list[tuple[Path, float]],
    decoder: str | None,
    one_band: bool,
) -> tuple[int, "list[Audio]"]:
    from cadenza.audio import Audio
    from cadenza.checkpoint import read_json
    from cadenza.loading import find_model, load_musicgen
    from cadenza.pipelines.take import Take

    for file, gain in _readable(adapters):
        if gain != 1:
            raise UserError(f"--from plays {file} as strong as it was: leave out :{gain:g}")
    audio = Audio.read(path)
    if audio.metadata.get("type") == "jukebox":
        raise UserError(f"{path} is a song of Jukebox: cadenza jukebox generate --from {path}")
    try:
        record = Take.from_metadata(audio.metadata)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    name = model
    if name is None:
        try:
            embedded = read_json(find_model() / "config.json").get("name")
        except CheckpointError:
            embedded = None
        name = None if embedded == record.model else record.model
    try:
        music = load_musicgen(name, device, precision or record.precision)
    except UserError as error:
        if model is not None:
            raise
        raise UserError(
            f"{path} was made by {record.model!r}: say where that model is with --model ({error})"
        ) from error
    if record.decoder is None and decoder is not None:
        raise UserError(f"{path} was decoded by the model's codec: leave out --decoder")
    if record.decoder is not None:
        try:
            music.decoder = load_decoder(decoder or "mbd", music.codec, device, one_band=one_band)
        except UserError as error:
            if decoder is not None:
                raise
            raise UserError(
                f"{path} was decoded by {record.decoder.name}: give it with --decoder mbd=DIR ({error})"
            ) from error
    with GenerationProgress() as progress:
        _watch(music, progress)
        again = music.regenerate(audio, progress.update, progress.should_stop, [file for file, _ in adapters])
    return INTERRUPTED if progress.stopped else 0, [again]


def _refuse_choices(choices: dict[str, object]) -> None:
    given = [name for name, value in choices.items() if value is not None]
    if given:
        option = given[0] if given[0].isupper() else "--" + given[0].replace("_", "-")
        raise UserError(f"--from renders a take as it was: leave out {option}, or leave out --from")


def _check_stream(prompts: list[str], output: Path | None, loudness_lufs: float | None) -> None:
    """One piece, to one place that can sound before it is finished."""
    if len(prompts) != 1:
        raise UserError(f"--stream plays one piece of music, not {len(prompts)}: give one prompt")
    if output == STANDARD_OUTPUT:
        if loudness_lufs is not None and not math.isnan(loudness_lufs):
            raise UserError("--loudness is that of a finished file: leave it out, or stream to a file with -o FILE.wav")
        if sys.stdout.isatty():
            raise UserError("-o - writes sound, and this is a terminal: add | ffplay -nodisp -autoexit -")
    elif output is not None and not output.is_dir() and output.suffix.lower() != ".wav":
        raise UserError(f"{output}: a file that grows is a WAV; choose a name in .wav, or leave out --stream")
