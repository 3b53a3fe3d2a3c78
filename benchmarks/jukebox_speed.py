"""A step of Jukebox' top prior beside the memory's limit and `transformers`: `python benchmarks/jukebox_speed.py`.

    python benchmarks/jukebox_speed.py [--layers 16] [--precision fp32,bf16] [--songs 1,4] [--theirs PYTHON]

The shape of the published 1b_lyrics (width 2048, its attention pattern, lyrics of 384 and 6144 codes in one sequence)
with its first layers, random weights. A step is what sampling does for each code: embedding, layers, head, choice. Its
caches are filled with noise up to a place early or late in the window, and steps are timed there. `--theirs` is the
interpreter of an environment with torch and transformers 4.57 (the last with Jukebox), which runs as it comes in a
process of its own; the sides take turns, figures are medians. The limit is the bandwidth of a sum over 1 GB, measured
in the same run by the same clock, over what a step must read: every weight once, and the keys and values that its
layers look at.
With `--clock processor` time is that of the one thread that works, for machines that others use too. The last line is
JSON.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

PLACES = {"early": 400, "late": 6400}  # of 6528 positions, lyrics included
BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "int4": 0.625}
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "processor": time.thread_time}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=16, help="of 72; the weights must not fit into the cache")
    parser.add_argument("--precision", default="fp32,bf16", help="of fp32, bf16, int8, int4; several with commas")
    parser.add_argument("--songs", default="1,4", help="made together; several with commas")
    parser.add_argument("--places", default="early,late")
    parser.add_argument("--steps", type=int, default=5, help="timed in a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    parser.add_argument("--theirs", help="interpreter of an environment with transformers 4.57")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)  # we are that process
    return parser.parse_args(arguments)


# ---- ours ------------------------------------------------------------------------------------------------------------


class Ours:
    """The prior of this package, packed."""

    def __init__(self, layers: int, precision: str) -> None:
        from cadenza.convert.openai_jukebox_prior import RELEASED, prior_config
        from cadenza.engine.pages import prefer_large_pages
        from cadenza.jukebox.prior import Prior
        from cadenza.nn.linear import quantize_linears

        prefer_large_pages()  # as `Jukebox.from_pretrained` does
        config = prior_config(RELEASED["1b_lyrics"], "1b_lyrics")
        stack = config.transformer.model_copy(update={"layers": config.transformer.layers[:layers]})
        self.prior = Prior(config.model_copy(update={"transformer": stack})).eval()
        self.prior.initialize(torch.Generator().manual_seed(0))
        if precision != "fp32":
            self.prior.transformer.bfloat16()
            for name, part in self.prior.transformer.named_modules():
                if name.rpartition(".")[2].startswith("norm"):
                    part.float()
        if precision in ("int8", "int4"):
            quantize_linears(self.prior.transformer, precision)  # type: ignore[arg-type]
        self.width = BYTES[precision]
        self.cache_width = 4 if precision == "fp32" else 2
        self.prior.pack()

    def begin(self, songs: int, place: int) -> None:
        from cadenza.jukebox.labels import Piece
        from cadenza.jukebox.sampling import Draws

        piece = Piece(total_length=60 * 44100, lyrics=(1,) * 400)
        self.cache = self.prior.new_cache(songs)
        self.prior.prefill(self.cache, self.prior.conditions([piece] * songs))
        for layer in self.cache.layers:
            for part in layer.held or ():
                part.normal_()
        self.cache.advance(place - self.cache.length)
        self.draws = Draws(range(songs), 2, self.prior.vocabulary_size, temperature=0.98)
        self.tokens = torch.full((songs, 1, 1), 100)

    def step(self) -> None:
        logits = self.prior.step(self.tokens, self.cache)[:, 0, 0]
        logits[:, : self.prior.num_symbols] = float("-inf")
        self.tokens[:, 0, 0] = self.draws(logits, self.cache.length)

    def bytes_read(self, songs: int, place: int) -> float:
        """By one step: weights, the head in float32, and what the layers look at."""
        stack, grid = self.prior.config.transformer, self.prior.transformer.grid
        weights = (4 * stack.attention_dim + 2 * stack.feed_forward_dim) * stack.dim * len(stack.layers)
        head = 4 * self.prior.vocabulary_size * stack.dim
        seen = {
            "row": place % grid.columns + 1,
            "column": place // grid.columns + 1,
            "previous_row": grid.columns,
            "prime": min(place + 1, grid.prime),
            "dense": place + 1,
        }
        positions = sum(seen[kind] for kind in stack.layers)
        return weights * self.width + head + songs * positions * 2 * stack.attention_dim * self.cache_width


# ---- theirs ----------------------------------------------------------------------------------------------------------


class Theirs:
    """The same stack of transformers 4.57, stepped as its own `sample` steps it."""

    def __init__(self, layers: int, precision: str) -> None:
        from transformers.models.deprecated.jukebox import modeling_jukebox as jukebox
        from transformers.models.deprecated.jukebox.configuration_jukebox import JukeboxPriorConfig

        config = JukeboxPriorConfig(num_layers=layers, lyric_vocab_size=79)  # else that of 1b_lyrics
        dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self.model = jukebox.JukeboxConditionalAutoregressive(
            config, n_ctx=6144 + 384, embed_dim=2048 + 79, metadata_conditioning=True, is_encoder=False
        ).eval()
        for parameter in self.model.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.02)
        self.model.transformer.to(dtype)
        self.dtype = dtype

    def begin(self, songs: int, place: int) -> None:
        self.model.transformer.del_cache()
        for layer in self.model.transformer._attn_mods:
            attention = layer.attn
            attention.sample_t = place
            length = attention._encoder_len if attention.attn_func == "prime_attn" else attention._suff_cache_len()
            shape = (songs, min(length, place), attention.hidden_dim)
            attention.cache = {name: torch.randn(shape).to(self.dtype) for name in ("key", "value")}
        self.place, self.songs, self.tokens = place, songs, torch.full((songs, 1), 100)

    def step(self) -> None:
        model = self.model
        conditioning = torch.zeros(1, 1, 2048).expand(self.songs, 1, 2048)
        start = torch.zeros(self.songs, 1, 2048)
        hidden, _ = model.get_emb(self.place, self.songs, self.tokens, conditioning, start)
        hidden = model.transformer(hidden.to(self.dtype), last_encoder_hidden_states=None, sample=True).float()
        logits = model.fc_proj_out(hidden) / 0.98
        self.tokens = torch.distributions.Categorical(logits=logits).sample()
        self.place += 1


# ---- turns -----------------------------------------------------------------------------------------------------------


def bandwidth(clock: Callable[[], float]) -> float:
    """Bytes a second of a sum over 1 GB, median of five."""
    block = torch.ones(250_000_000)
    block.sum()
    return block.nbytes / _median([_timed(block.sum, 1, clock) for _ in range(5)])


@torch.inference_mode()
def turn(side: Any, songs: int, place: int, steps: int, clock: Callable[[], float]) -> float:
    """Seconds of a step; two before it are not counted."""
    side.begin(songs, place)
    for _ in range(2):
        side.step()
    return _median([_timed(side.step, 1, clock) for _ in range(steps)])


def _timed(action: Callable[[], object], count: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(count):
        action()
    return (clock() - start) / count


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def serve(options: argparse.Namespace) -> None:
    """Answer `precision songs place` lines with the seconds of a step, until there are no more."""
    sides: dict[str, Theirs] = {}
    for line in sys.stdin:
        precision, songs, place = line.split()
        if precision not in sides:
            sides.clear()
            sides[precision] = Theirs(options.layers, precision)
        seconds = turn(sides[precision], int(songs), int(place), options.steps, CLOCKS[options.clock])
        print(seconds, flush=True)


class Other:
    """The process of the other side."""

    def __init__(self, options: argparse.Namespace) -> None:
        words = [options.theirs, str(Path(__file__).resolve()), "--serve", "--layers", options.layers]
        words += ["--steps", options.steps, "--threads", options.threads, "--clock", options.clock]
        self.process = subprocess.Popen(
            [str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def turn(self, precision: str, songs: int, place: int) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(precision, songs, place, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    clock, rows = CLOCKS[options.clock], []
    other = Other(options) if options.theirs else None
    for precision in options.precision.split(","):
        ours = Ours(options.layers, precision)
        against = other if precision in ("fp32", "bf16") else None  # they have no others
        for songs in map(int, options.songs.split(",")):
            for name in options.places.split(","):
                place = PLACES[name]
                limits, mine, theirs = [], [], []
                for _ in range(options.rounds):
                    limits.append(bandwidth(clock))
                    mine.append(turn(ours, songs, place, options.steps, clock))
                    if against is not None:
                        theirs.append(against.turn(precision, songs, place))
                read, limit = ours.bytes_read(songs, place), _median(limits)
                row: dict[str, Any] = {"precision": precision, "songs": songs, "place": place, "mb": read / 1e6}
                row |= {"ms": 1e3 * _median(mine), "gb_per_second": read / _median(mine) / 1e9}
                row |= {"memory_gb_per_second": limit / 1e9, "share": read / _median(mine) / limit}
                if theirs:
                    pairs = zip(theirs, mine, strict=True)
                    row |= {"theirs_ms": 1e3 * _median(theirs), "ratio": _median([a / b for a, b in pairs])}
                rows.append({key: one if isinstance(one, str) else float(f"{one:.4g}") for key, one in row.items()})
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        del ours
    if other is not None:
        other.close()
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    head = (
        "precision",
        "songs",
        "position",
        "ms a step",
        "MB read",
        "share of the limit",
        "transformers' ms",
        "over ours",
    )
    lines = [f"| {' | '.join(head)} |", "|---|--:|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        theirs = f"{row['theirs_ms']:.1f} | {row['ratio']:.2f}" if "ratio" in row else "– | –"
        figures = f"{row['ms']:.1f} | {row['mb']:.0f} | {row['share']:.0%}"
        lines.append(f"| {row['precision']} | {row['songs']:g} | {row['place']:g} | {figures} | {theirs} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    if options.serve:
        serve(options)
        return {}
    from machine import describe

    facts = describe(torch.device("cpu"))
    record = {"benchmark": "jukebox_speed", "layers": options.layers, "clock": options.clock, "machine": facts}
    record["rows"] = measure(options)
    print("\n" + table(record["rows"]) + "\n")
    print(json.dumps(record))
    return record


if __name__ == "__main__":
    main()
