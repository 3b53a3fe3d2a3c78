"""`cadenza jukebox generate` and `upsample`: artist, genre and lyrics to a music file, and a song that is kept.

Beside the file that is asked for stands its song, a directory (`NAME.song`): everything that was asked, all codes so
far, written after every window, and the sound of every finished level. A stopped song goes on from there.
"""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli.jukebox_asked import choices_of, per_level, refuse
from cadenza.cli.jukebox_job import Job, load, load_maker, song_request
from cadenza.cli.take_files import check_output, path_for, slug
from cadenza.cli.values import (
    Device,
    Precision,
    Threads,
    loudness,
    number,
    set_threads,
    show_notices,
    whole_number,
)
from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.audio import Audio

Model = Annotated[
    str | None,
    typer.Option(
        metavar="M",
        help="Directory of a Jukebox or of OpenAI's files, or openai/jukebox-1b-lyrics. [default: the one inside]",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Names of artists and genres: a copy of openai/jukebox. [default: the model's own]"
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="wav, flac, ogg, opus or mp3; or a folder.")
]
Loudness = Annotated[
    float | None,
    typer.Option("--loudness", metavar="LUFS", parser=loudness, help="Of the file, or off. [default: -14]"),
]
Artist = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who plays; cadenza jukebox labels lists who is known.")
]
Genre = Annotated[str | None, typer.Option(metavar="NAME", help="What kind of music.")]
PerLevel = Annotated[
    str | None,
    typer.Option(
        metavar="T",
        help="Above 1: bolder, below: safer. One number, or one per level, the finest first: 0.99,0.99,0.98.",
    ),
]
TopK = Annotated[str | None, typer.Option(metavar="K", help="Choose among the K best; 0: all. One, or one per level.")]
TopP = Annotated[
    str | None, typer.Option(metavar="P", help="Choose within this probability; 0: off. One, or one per level.")
]
DownTo = Annotated[
    int | None,
    typer.Option(
        "--down-to", metavar="N", parser=whole_number, help="Finest level to make; 2: the top alone. [default: 0]"
    ),
]


def generate(
    output: Output = None,
    artist: Artist = None,
    genre: Genre = None,
    artist_id: Annotated[
        list[str] | None, typer.Option(metavar="[LIST=]N", help="In place of a name: 6785, or v3=6785 and v2=145.")
    ] = None,
    genre_id: Annotated[
        list[str] | None, typer.Option(metavar="[LIST=]N", help="In place of a name, as often as there are genres.")
    ] = None,
    lyrics: Annotated[str | None, typer.Option(metavar="TEXT", help=r"What is sung; \n begins a line.")] = None,
    lyrics_file: Annotated[Path | None, typer.Option(metavar="F", help="The same from a text file.")] = None,
    duration: Annotated[
        float | None, typer.Option(metavar="S", parser=number, help="Seconds, an audio prompt included. [default: 20]")
    ] = None,
    total_duration: Annotated[
        float | None,
        typer.Option(metavar="S", parser=number, help="Of the piece that this is a part of, over which lyrics go."),
    ] = None,
    offset: Annotated[
        float | None, typer.Option(metavar="S", parser=number, help="Where in that piece it begins. [default: 0]")
    ] = None,
    prompt_audio: Annotated[Path | None, typer.Option(metavar="F", help="Go on from this recording.")] = None,
    prompt_seconds: Annotated[
        float | None, typer.Option(metavar="S", parser=number, help="Of it, the first seconds. [default: all]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Same seed, same music. [default: drawn]")
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="Takes made together, of seeds that count up.")
    ] = None,
    temperature: PerLevel = None,
    top_k: TopK = None,
    top_p: TopP = None,
    down_to: DownTo = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the song is kept. [default: beside the file, NAME.song]")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on with a song that was stopped, exactly.")
    ] = None,
    take: Annotated[
        Path | None, typer.Option("--from", metavar="TAKE", help="Render a file of Cadenza again, exactly.")
    ] = None,
    model: Model = None,
    labels: Labels = None,
    device: Device = None,
    precision: Precision = None,
    threads: Threads = None,
    loudness_lufs: Loudness = None,
) -> int:
    """Make music by artist, genre and lyrics.

    Beside the file stands its song, a directory with all codes so far: what is stopped goes on from there.

    cadenza jukebox generate --genre folk --lyrics-file verse.txt --duration 20 --model openai/jukebox-1b-lyrics
    """
    show_notices()
    asked: dict[str, Any] = {
        "artist": artist,
        "genre": genre,
        "artist_id": artist_id or None,
        "genre_id": genre_id or None,
        "lyrics": lyrics,
        "lyrics_file": lyrics_file,
        "duration": duration,
        "total_duration": total_duration,
        "offset": offset,
        "prompt_audio": prompt_audio,
        "prompt_seconds": prompt_seconds,
        "seed": seed,
        "count": count,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "state": state,
        "labels": labels,
    }
    if output is not None:
        check_output(output)
    set_threads(threads)
    job = Job(output, loudness_lufs, {"--model": model, "--device": device, "--precision": precision})
    if resume is not None:
        refuse(asked | {"from": take}, "--resume goes on with a song as it was asked for")
        return _go_on(job, resume, model, device, precision, down_to)
    if take is not None:
        refuse(asked | {"down_to": down_to}, "--from renders a take as it was")
        return _render_again(job, take, model, device, precision)
    choices = choices_of(asked) | ({} if down_to is None else {"down_to": down_to})
    # Drawn here, for it may name the files.
    choices["seed"] = secrets.randbelow(2**31) if seed is None else seed
    name = slug(" ".join(word for word in (artist, genre) if word))
    job.place(f"{name}-{choices['seed']}.wav", state)
    jukebox = load(model, device, precision, labels)
    return job.run(jukebox, lambda hooks: jukebox.generate(state=job.state, **choices, **hooks))


def upsample(
    source: Annotated[
        Path, typer.Argument(metavar="SONG", help="The directory of a song whose top level is there; or a recording.")
    ],
    output: Output = None,
    take: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N", parser=whole_number, help="Of several takes this one, counted from 1. [default: all]"
        ),
    ] = None,
    artist: Artist = None,
    genre: Genre = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", parser=whole_number, help="[default: the song's; of a recording drawn]")
    ] = None,
    temperature: PerLevel = None,
    top_k: TopK = None,
    top_p: TopP = None,
    down_to: DownTo = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the new song is kept. [default: beside the file]")
    ] = None,
    model: Model = None,
    labels: Labels = None,
    device: Device = None,
    precision: Precision = None,
    threads: Threads = None,
    loudness_lufs: Loudness = None,
) -> int:
    """Make the finer levels of a song, anew.

    They become a song of their own; the one that they come from stays as it is.

    cadenza jukebox upsample takes.song --take 2 -o second.wav
    """
    show_notices()
    if output is not None:
        check_output(output)
    set_threads(threads)
    asked = {"artist": artist, "genre": genre, "seed": seed, "down_to": down_to}
    choices: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    choices |= per_level(temperature, top_k, top_p)
    if take:
        choices["items"] = [number - 1 for number in take]
    top: Path | "Audio" = source
    if source.is_file():
        from cadenza.audio import Audio

        top = Audio.read(source)
    job = Job(output, loudness_lufs, {"--model": model, "--device": device, "--precision": precision})
    job.place(f"{source.resolve().stem}-upsampled.wav", state)
    if source.is_file():
        jukebox = load(model, device, precision, labels)
    else:
        jukebox = load_maker(source, song_request(source).model, model, device, precision, labels)
    return job.run(jukebox, lambda hooks: jukebox.upsample(top, state=job.state, **choices, **hooks))


def _go_on(
    job: "Job", song: Path, model: str | None, device: str | None, precision: str | None, down_to: int | None
) -> int:
    job.resume(song)
    request = song_request(song)
    jukebox = load_maker(song, request.model, model, device, precision or request.precision)
    return job.run(jukebox, lambda hooks: jukebox.resume(song, down_to=down_to, **hooks))


def _render_again(job: "Job", file: Path, model: str | None, device: str | None, precision: str | None) -> int:
    from cadenza.audio import Audio
    from cadenza.pipelines.jukebox_take import JukeboxTake

    audio = Audio.read(file)
    try:
        record = JukeboxTake.from_metadata(audio.metadata)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    job.file = path_for(job.output, f"{file.stem}-again{file.suffix}")
    jukebox = load_maker(file, record.model, model, device, precision or record.song.precision)
    return job.run(jukebox, lambda hooks: jukebox.regenerate(audio, **hooks))
