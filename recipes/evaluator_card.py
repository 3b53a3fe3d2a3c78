"""The card of the evaluator's own ear: its measured figures, in words. `metrics.json` in, README.md out."""

from collections.abc import Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]


_TEXT = """# The evaluator's own ear ("mel")

A network that hears log-mel windows of 1.28 s, so that music can be evaluated on a machine without a network. It gives
an embedding per window (128 numbers, for Fréchet and kernel distances), the probability of {instruments} instruments
and {genres} genres, a vector in a space shared with sentences, the tempo and the key. MIT licence.

It was trained on composed music alone: this repository's composers, one soundfont (FluidR3 GM) and its own synthesis.
What it says of that kind of music can be believed as far as the tables go; of recordings it has never heard one. No
figure of a paper is measured with it, and none can be compared with it.

## What it is

Mel levels (96 bands, 50 frames a second, 32 kHz) relative to the clip's mean power, from -80 to 22 dB: the level of a
clip drops out; noise, missing highs and gaps do not. Seven convolutions hear each window for itself; a clip is the mean
and the maximum over its windows. The embedding is whitened over the whole clips it learnt from. Sentences: hashed words
and pairs of words, two layers. Tempo and key come from small networks of their own that hear nothing but onsets and
pitches: no timbre and no genre can suggest an answer. {parameters} million parameters, stored in fp16, computed in
fp32. Ten seconds of sound take {milliseconds} ms on one thread of an AMD EPYC, features included (tempo and key aside).
Silence is heard as silence (the floor everywhere); a clip shorter than a window as one followed by silence; under
0.25 s it is refused.

## What it was trained on

{lessons}

No generator was trained on that music. Thresholds were chosen on another {chosen}.
It heard every clip as it is and once damaged (noise, low-pass, clipping, smeared spectra; gaps in passing), and had to
tell the severity from the embedding. No codec was among the damage. `python recipes/evaluator.py TRAIN HELD_OUT` trains
one like it.

## What it can be believed

On {held_out}, which nothing else has heard; 95 % intervals by
resampling pieces, in the lists below by Wilson's formula.

| question | |
|---|---|
{answers}

## What damage does

Fréchet distance of every second clip of one half of the held-out pieces to the other half, and instruments and genres
told from the damaged sound.

| those clips | distance | recall of instruments | genre |
|---|---|---|---|
{damage}

## Instrument by instrument

| instrument | clips | recall | precision | average precision |
|---|---|---|---|---|
{instrument_list}

## Genre by genre

| genre | clips | told |
|---|---|---|
{genre_list}
"""


def card(report: Figures) -> str:
    """The whole card."""
    held_out = report["held_out"]
    instruments, genres = held_out["instruments"], held_out["genres"]
    answers = {
        "stated instruments heard (recall)": _interval(instruments["recall"]),
        "heard instruments that play (precision)": _interval(instruments["precision"]),
        "clips of which every stated instrument is heard": _interval(instruments["all_stated_heard"]),
        f"mean average precision over {instruments['measured']} instruments": _share(
            instruments["mean_average_precision"]
        ),
        "genre": _interval(genres["accuracy"]),
        "genre, solos aside": _interval(genres["accuracy_without_solos"]),
        **_text_answers(held_out["text"]),
        **_estimates(held_out),
    }
    return _TEXT.format(
        instruments=instruments["known"],
        genres=genres["known"],
        parameters=f"{report['parameters'] / 1e6:.2f}",
        milliseconds=f"{held_out['milliseconds_per_clip']:.0f}",
        lessons="\n".join(_lessons([*report["before"], report["trained_on"]])),
        chosen=_extent(report["thresholds_chosen_on"]),
        held_out=_extent(held_out),
        answers="\n".join(f"| {question} | {answer} |" for question, answer in answers.items()),
        damage="\n".join(_damage_rows(held_out["damage"])),
        instrument_list="\n".join(_instrument_rows(instruments["each"])),
        genre_list="\n".join(_genre_rows(genres["each"])),
    )


def _lessons(lessons: Sequence[Figures]) -> list[str]:
    """One line for each training; the first one alone taught tempo and key."""
    lines = [f"- {_extent(one)}: {one['steps']} steps in {one['minutes']:.0f} minutes on one thread" for one in lessons]
    if len(lines) > 1:
        lines[0] += "; tempo and key were learnt here"
    return [f"{line};" for line in lines[:-1]] + [f"{lines[-1]}."]


def _extent(figures: Figures) -> str:
    music = f"{figures['hours']} hours ({figures['clips']} clips of {figures['pieces']} pieces)"
    corpora, composers = (" and ".join(map(str, figures[name])) for name in ("corpora", "composers"))
    return f"{music} of corpus seed {corpora}, composer {composers}"


def _share(value: float) -> str:
    return f"{value:.3f}"


def _interval(value: Figures) -> str:
    return f"{value['mean']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def _text_answers(text: Figures) -> dict[str, str]:
    answers = {}
    for kind, name in (("longest_caption", "the longest caption"), ("any_caption", "any caption")):
        for way, words in (("sound_to_text", f"{name} of a clip"), ("text_to_sound", f"the clip of {name}")):
            found = text[kind][way]
            first, ten = (_share(found[f"recall_at_{k}"]["mean"]) for k in (1, 10))
            answers[f"{words} among {text['clips']}: the first; in the first ten"] = f"{first}; {ten}"
        answers[f"{name} of a clip is nearer than that of another"] = _share(text[kind]["true_above_shuffled"])
    return answers


def _estimates(held_out: Figures) -> dict[str, str]:
    """Tempo and key, and beside them what is found without having learnt."""
    questions = {
        "tempo within 4 %": ("tempo", "same"),
        "tempo, its half or its double within 4 %": ("tempo", "or_octave"),
        "key": ("key", "same"),
        "key, near misses counted as MIREX does": ("key", "mirex"),
    }
    return {
        question: f"{_interval(held_out[what]['learnt'][how])}; without learning "
        f"{_share(held_out[what]['estimated'][how]['mean'])}"
        for question, (what, how) in questions.items()
    }


def _damage_rows(damage: Figures) -> list[str]:
    rows = []
    for name, figures in damage.items():
        told = [_share(figures[key]) if key in figures else "" for key in ("instrument_recall", "genre_accuracy")]
        rows.append(f"| {name} | {figures['fad']:.2f} | {told[0]} | {told[1]} |")
    return rows


def _instrument_rows(each: Figures) -> list[str]:
    rows = []
    for name, one in each.items():
        told = (_interval(one["recall"]), _share(one["precision"]), _share(one["average_precision"]))
        rows.append(f"| {name} | {one['clips']} | " + " | ".join(told) + " |")
    return rows


def _genre_rows(each: Figures) -> list[str]:
    return [f"| {name} | {one['clips']} | {_interval(one['accuracy'])} |" for name, one in each.items()]
