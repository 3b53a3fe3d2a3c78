"""`cadenza evaluate codec`: what a codec keeps of sound, beside Opus."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cadenza.cli import INTERRUPTED
from cadenza.cli.progress import counter
from cadenza.cli.values import Device, number, show_notices, whole_number
from cadenza.errors import UserError

if TYPE_CHECKING:
    from cadenza.audio import Audio
    from cadenza.evaluate.clips import Clip, ClipSet
    from cadenza.evaluate.codec_quality import Coder, Trial
    from cadenza.evaluate.intervals import Interval

OPUS_KBPS = "6,8,12,16,24"
_COLUMNS = (  # figure, heading, form
    ("kbps", "kbit/s", ".2f"),
    ("si_sdr_db", "SI-SDR dB", ".1f"),
    ("mel_distance", "mel", ".2f"),
    ("stft_distance", "STFT", ".2f"),
    ("loudness_error_lu", "loudness LU", ".2f"),
    ("dropout_share", "drop-outs", ".2%"),
)


def codec(
    audio: Annotated[list[Path], typer.Argument(metavar="AUDIO...", help="Recordings, a folder, or a manifest.")],
    model: Annotated[
        str | None, typer.Option(metavar="M", help="A codec, or a model with one. [default: the one that comes along]")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="In place of a codec: the same files, decoded by another, paired by name."),
    ] = None,
    opus: Annotated[
        str, typer.Option(metavar="KBPS,...", help="Also Opus at these bit rates, and at the codec's; none: no Opus.")
    ] = OPUS_KBPS,
    codebooks: Annotated[
        str, typer.Option(metavar="N,...", help="Also with the codec's first codebooks alone, so many.")
    ] = "",
    seconds: Annotated[
        float, typer.Option(metavar="S", parser=number, help="So much of each recording, from its beginning.")
    ] = 30.0,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keep there the decoded sounds, codec.json, and clips.jsonl with the figures of each."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print nothing but the JSON object.")] = False,
    device: Device = None,
) -> None:
    """How much sound suffers in a codec: SI-SDR, mel and STFT distances, loudness, drop-outs, codebook use, bit rate.

    Beside Opus, on the same clips, with 95 % intervals and paired differences. Ctrl-C ends it with the clips so far.
    The last line is JSON.
    """
    show_notices()
    if not 1 <= seconds <= 3600:
        raise UserError(f"--seconds {seconds:g}: choose 1 to 3600")
    rates = [] if opus.strip() in ("", "none", "off") else [_positive(part, "--opus") for part in opus.split(",")]
    firsts = list(dict.fromkeys(_whole(part, "--codebooks") for part in codebooks.split(",") if part.strip()))
    if against is not None and (model is not None or firsts):
        raise UserError("--against compares files, no codec runs: leave out --model and --codebooks")
    from cadenza.evaluate.clips import ClipSet, read_clips
    from cadenza.evaluate.codec_quality import DecodedFolder, NeuralCoder, common_form, hold_trial
    from cadenza.loading import load_codec

    clips = _clips(audio)
    coders: list[Coder]
    if against is not None:
        folder = DecodedFolder(read_clips(against))
        rate, channels = common_form(clips)
        clips = ClipSet(clips.name, clips.clips, (*clips.refused, *folder.unpaired(clips)))
        coders, nominal = [folder], None
    else:
        loaded = load_codec(model, device)
        rate, channels = loaded.sample_rate, loaded.channels
        neural = NeuralCoder(loaded)
        coders, nominal = [neural], neural.counts.nominal_kbps(loaded.frame_rate)
        coders += [NeuralCoder(loaded, count) for count in firsts if count != loaded.num_codebooks]
    coders += _opus(rates, nominal, channels)
    keep = None if out is None else _keeper(out)
    trial = hold_trial(clips, coders, rate, channels, seconds, counter("clips"), keep)
    found: dict[str, Any] = trial.record()
    if against is None:
        found["codec"] = neural.record()
    else:
        found["resampled_files"] = folder.resampled
    if out is not None:
        _write(out, found, trial)
    if not as_json:
        print(_table(trial))
        if "codec" in found:
            print(_codebooks(found["codec"]))
    _list(trial)
    print(json.dumps(found))
    if not trial.complete:
        print(f"cadenza: interrupted after {len(trial.ids)} of {len(clips)} clips", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)


def _positive(text: str, option: str) -> float:
    value = round(number(text), 2)  # as fine as they are shown: coders need different names
    if value <= 0:
        raise UserError(f"{option} {text}: give numbers above 0, with commas between them")
    return value


def _whole(text: str, option: str) -> int:
    value = whole_number(text)
    if value < 1:
        raise UserError(f"{option} {text}: give whole numbers from 1 on, with commas between them")
    return value


def _clips(sources: list[Path]) -> "ClipSet":
    """One folder or manifest, or several recordings."""
    from cadenza.evaluate.clips import ClipSet, Refused, read_clips

    if len(sources) == 1:
        return read_clips(sources[0])
    sets = []
    refused: list[Refused] = []
    for source in sources:
        if source.is_dir() or source.suffix in (".jsonl", ".gz"):
            raise UserError(f"{source}: give one folder or manifest alone, or any number of recordings")
        try:
            sets.append(read_clips(source))
        except UserError as error:
            refused.append(Refused(source.name, str(error).removeprefix(f"{source.absolute()}: ")))
    clips = [clip for one in sets for clip in one.clips]
    if not clips:
        raise UserError(f"{refused[0].name}: {refused[0].reason}")
    ids = [clip.id for clip in clips]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two recordings are called {twice!r}: rename one of them")
    return ClipSet("recordings", tuple(clips), tuple(refused))


def _opus(rates: list[float], nominal: float | None, channels: int) -> "list[Coder]":
    """Opus at the wanted rates, at the codec's own if it can go so low, and what its resampling alone does."""
    from cadenza.evaluate.codec_quality import OpusCoder, Resampler
    from cadenza.evaluate.opus import LEAST_KBPS, MOST_KBPS

    if not rates:
        return []
    least, most = LEAST_KBPS * channels, MOST_KBPS * channels
    wanted = set(rates)
    if nominal is not None and least <= nominal <= most:
        wanted.add(round(nominal, 2))
    elif nominal is not None:
        words = f"Opus begins at {least:g}" if nominal < least else f"Opus ends at {most:g}"
        print(f"cadenza: no Opus at the codec's {nominal:.2f} kbit/s: {words}", file=sys.stderr)
    impossible = sorted(rate for rate in wanted if not least <= rate <= most)
    if impossible:
        words = ", ".join(f"{rate:g}" for rate in impossible)
        print(f"cadenza: left out, Opus does {least:g} to {most:g} kbit/s here: {words}", file=sys.stderr)
    return [*(OpusCoder(rate) for rate in sorted(wanted - set(impossible))), Resampler()]


def _keeper(out: Path) -> "Callable[[Clip, str, Audio], None]":
    from cadenza.evaluate.codec_quality import sound_path

    def keep(clip: "Clip", coder: str, audio: "Audio") -> None:
        audio.write(sound_path(out, coder, clip.id), loudness_lufs=None)

    return keep


def _write(out: Path, found: dict[str, Any], trial: "Trial") -> None:
    from cadenza.files import atomic_file

    with atomic_file(out / "codec.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    with atomic_file(out / "clips.jsonl") as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in trial.rows()), encoding="utf-8")


def _table(trial: "Trial") -> str:
    """Means with their intervals, then what the first coder has more than the others on the same clips. Whether more
    is better stands in the JSON's definitions."""
    first, *others = trial.results
    rows = [["", *(heading for _, heading, _ in _COLUMNS)]]
    for name in trial.results:
        spent = trial.kbps(name)
        intervals = [trial.interval(name, figure) for figure, _, _ in _COLUMNS[1:]]
        rows.append([name, "" if spent is None else format(spent, _COLUMNS[0][2]), *_cells(intervals)])
    for other in others:
        intervals = [trial.difference(first, other, figure) for figure, _, _ in _COLUMNS[1:]]
        rows.append([f"{first} less {other}", "", *_cells(intervals)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    pieces = len(set(trial.pieces))
    return "\n".join([*lines, f"{len(trial.ids)} clips of {pieces} pieces; mean (95 % interval, over pieces)"])


def _cells(intervals: "list[Interval]") -> list[str]:
    return [format(one, form) for one, (_, _, form) in zip(intervals, _COLUMNS[1:], strict=True)]


def _codebooks(facts: dict[str, Any]) -> str:
    lines = [
        f"codebook {k}: {use['usage']:.0%} of {facts['codebook_size']} entries used, "
        f"entropy {use['entropy_bits']:.2f} bits, perplexity {use['perplexity']:.0f}"
        for k, use in enumerate(facts["codebooks"])
    ]
    doubt = "" if facts["enough_codes"] else f" (of {facts['codes_per_entry']:.1f} codes per entry: too few to be sure)"
    nominal, entropy = facts["nominal_kbps"], facts["entropy_kbps"]
    return "\n".join([*lines, f"{nominal:.2f} kbit/s nominal, {entropy:.2f} if entropy-coded{doubt}"])


def _list(trial: "Trial") -> None:
    for word, listed in (("left out", trial.refused), ("remark", trial.remarks)):
        for one in listed[:10]:
            print(f"cadenza: {word}: {one.name}: {one.reason}", file=sys.stderr)
        if len(listed) > 10:
            print(f"cadenza: {word}: {len(listed) - 10} more, see the JSON", file=sys.stderr)
