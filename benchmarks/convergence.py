"""Why did MusicGen-2 of "音樂生成 Music Generation" (NCNU, 844 M parameters) not converge? A factor at a time, shrunk.

    python benchmarks/convergence.py TOKENS [--only NAME ...]     trains what is not there yet; writes the results,
                                                                  docs/convergence.png and, to the terminal, the table

TOKENS is a token cache (`cadenza.data`); text is encoded by the embedded model's frozen encoder. Every run is a
`Setting`; the results hold the loss and the gradient norm of every step, so the plot needs no training. What the runs
say is in docs/convergence.md. The last line is JSON.
"""

import argparse
import dataclasses
import io
import json
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cadenza.conditioning.fuser import FusedConditions, FuserConfig
from cadenza.conditioning.provider import ConditioningConfig, ConditionProvider
from cadenza.conditioning.text import TextConfig, TextEncoder
from cadenza.data.tokens import CodedItem, TokenCache
from cadenza.lm.model import LM, InterleavedConfig, LMConfig
from cadenza.loading import ASSETS
from cadenza.train.objectives.lm import masked_cross_entropy
from cadenza.train.schedule import ConstantSchedule
from machine import describe

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "convergence.json"
PLOT = HERE.parent / "docs" / "convergence.png"

FRAMES = 125  # 2.5 s
TOKENS_OF_TEXT = 32


@dataclass(frozen=True)
class Setting:
    """The defaults are the paper's model shrunk, trained as one does who changes nothing of PyTorch's defaults."""

    dim: int = 128
    layers: int = 16
    norm: str = "post"
    initialization: str = "torch"  # of torch.nn.TransformerDecoder: every layer a copy of the first; or "scaled": ours
    learning_rate: float = 1e-2
    warmup: int = 0
    clip: float = 0.0
    summed: bool = True
    weight_decay: float = 0.0
    eps: float = 1e-8
    items: int = 300
    batch: int = 10
    steps: int = 300
    seed: int = 0
    head_dim: int = 32
    codebook_size: int = 0  # 0: that of the codes; the true size keeps the paper's 2048 and uses some of its rows
    text_dim: int = 0  # 0: that of the text states; the true size pads them to the paper's 512
    valid_items: int = 48


BASE = Setting()
SAFE = replace(BASE, norm="pre", initialization="scaled", warmup=60, clip=1.0, summed=False)


def settings() -> dict[str, Setting]:
    """Every run by name, one factor changed at a time; widths and the whole remedy at the end."""
    return {
        "base": BASE,
        "pre-norm": replace(BASE, norm="pre"),
        "warm-up of 60 updates": replace(BASE, warmup=60),
        "8 layers": replace(BASE, layers=8),
        "learning rate 0.003": replace(BASE, learning_rate=3e-3),
        "learning rate 0.001": replace(BASE, learning_rate=1e-3),
        "learning rate 0.03": replace(BASE, learning_rate=3e-2),
        "clipped to norm 1": replace(BASE, clip=1.0),
        "loss averaged": replace(BASE, summed=False),
        "600 items": replace(BASE, items=600),
        "scaled initialisation": replace(BASE, initialization="scaled"),
        "base, another seed": replace(BASE, seed=1),
        "width 64": replace(BASE, dim=64),
        "width 64, 8 layers": replace(BASE, dim=64, layers=8),
        "width 256, learning rate 0.003": replace(BASE, dim=256, learning_rate=3e-3),
        "all remedies": SAFE,
        "width 64, learning rate 0.03": replace(BASE, dim=64, learning_rate=3e-2),
        "width 256, learning rate 0.001": replace(BASE, dim=256, learning_rate=1e-3),
        "pre-norm, learning rate 0.003": replace(BASE, norm="pre", learning_rate=3e-3),
        "pre-norm, another seed": replace(BASE, norm="pre", seed=1),
        "all remedies, learning rate 0.003": replace(SAFE, learning_rate=3e-3),
        "pre-norm, 3,000 items": replace(BASE, norm="pre", items=3000),
        "learning rate 0.1": replace(BASE, learning_rate=0.1),
        "pre-norm, learning rate 0.03": replace(BASE, norm="pre", learning_rate=3e-2),
        "averaged and clipped to norm 1": replace(BASE, summed=False, clip=1.0),
        "warm-up, another seed": replace(BASE, warmup=60, seed=1),
    }


PAPER = {"dim": 2048, "head_dim": 128, "codebook_size": 2048, "text_dim": 512}
FEW = {"batch": 2, "steps": 12, "valid_items": 2}
TRUE = replace(BASE, **PAPER, **FEW, learning_rate=1e-3)  # type: ignore[arg-type]


def true_size() -> dict[str, Setting]:
    """The first updates of the paper's 844 M parameters (14 GB of memory, minutes each)."""
    return {
        "844 M, post-norm, learning rate 0.001": TRUE,
        "844 M, pre-norm, learning rate 0.001": replace(TRUE, norm="pre"),
        "844 M, post-norm, learning rate 0.0001": replace(TRUE, learning_rate=1e-4),
        "844 M, all remedies": replace(SAFE, **PAPER, **FEW, learning_rate=1e-4, warmup=6),  # type: ignore[arg-type]
    }


def key(setting: Setting) -> str:
    """What differs from the defaults: the name of a run in the results."""
    default = Setting()
    fields = (field.name for field in dataclasses.fields(Setting))
    return (
        ",".join(f"{f}={getattr(setting, f)}" for f in fields if getattr(setting, f) != getattr(default, f)) or "base"
    )


# ------------------------------------------------------------------------------------------------------------ a model


class Model(nn.Module):
    """The paper's decoder with its two-layer text projection, at the size of a setting."""

    def __init__(self, setting: Setting, music: "Music") -> None:
        super().__init__()
        torch.manual_seed(setting.seed)
        pre = setting.norm == "pre"
        config = LMConfig(
            codebook_size=setting.codebook_size or music.codebook_size,
            dim=setting.dim,
            num_layers=setting.layers,
            num_heads=setting.dim // setting.head_dim,
            feed_forward_dim=2 * setting.dim,
            num_special_tokens=2,
            norm_first=pre,
            final_norm=pre,  # without it nothing bounds the residual sum of a pre-norm model
            attention_bias=True,
            feed_forward_bias=True,
            head_bias=True,
            activation="relu",
            positional=InterleavedConfig(),
        )
        text = TextConfig(dim=setting.text_dim or music.text_dim, projection_layers=2, pad_to=TOKENS_OF_TEXT)
        self.text_dim = text.dim
        self.lm = LM(config)
        self.conditioning = ConditionProvider(
            ConditioningConfig(
                dim=setting.dim, conditioners={"text": text}, fuser=FuserConfig(cross=("text",), mask_padding=False)
            )
        )
        if setting.initialization == "torch":
            initialize_like_torch(self.lm)
        else:
            self.lm.initialize(torch.Generator().manual_seed(setting.seed))

    def forward(self, codes: Tensor, text: Sequence[Tensor]) -> Tensor:
        """Mean cross entropy per codebook, `[K]`."""
        rows = [nn.functional.pad(states, (0, self.text_dim - states.shape[1])) for states in text]
        conditions: FusedConditions = self.conditioning({"text": rows})
        sequence, present = self.lm.pattern.build(codes, self.lm.config.special_token, valid_only=True)
        targets = sequence.masked_fill(~present, -1)
        return masked_cross_entropy(self.lm(sequence[:, :, :-1], conditions), targets[:, :, 1:])


@torch.no_grad()
def initialize_like_torch(lm: LM) -> None:
    """What `torch.nn.TransformerDecoder` and `nn.Embedding` start from: Glorot for attention's packed projection,
    `U(+-1/sqrt(fan_in))` for linear layers, `N(0, 1)` for tables, and every layer a deep copy of the first."""
    for name, parameter in lm.named_parameters():
        if "attention" in name:
            if name.endswith("in_projection.weight"):
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
    first = lm.layers[0].state_dict()
    for layer in lm.layers:
        layer.load_state_dict(first)


# ------------------------------------------------------------------------------------------------------------- a run


class Music:
    """The first 2.5 s of recordings with the states of their first caption."""

    def __init__(self, folder: Path) -> None:
        cache = TokenCache(folder)
        self.codebook_size = cache.codebook_size
        self.encoder = TextEncoder.from_pretrained(ASSETS / "embedded" / "conditioning" / "text_encoder")
        self.text_dim = self.encoder.model.config.dim
        self.splits = {name: cache.split(name) for name in ("train", "valid")}

    def take(self, split: str, count: int) -> tuple[Tensor, list[Tensor]]:
        """Codes `[N, K, T]` and text states of `count` recordings spread over a split."""
        items = self._chosen(split, count)
        return self._codes(items), self._text(items)

    def frequencies_entropy(self, count: int) -> float:
        """Nats per code of who knows only how frequent each code is among those trained on: where a model stays that
        ignores what it is given."""
        entropies = []
        for book in self._codes(self._chosen("train", count)).transpose(0, 1):
            shares = torch.bincount(book.flatten(), minlength=self.codebook_size).double() / book.numel()
            entropies.append(float(torch.special.entr(shares).sum()))
        return statistics.mean(entropies)

    def _chosen(self, split: str, count: int) -> list[CodedItem]:
        items = [item for item in self.splits[split] if item.codes.shape[1] >= FRAMES and item.captions]
        return items[:: max(1, len(items) // count)][:count]

    def _codes(self, items: Sequence[CodedItem]) -> Tensor:
        return torch.stack([item.codes[:, :FRAMES].long() for item in items])

    @torch.no_grad()
    def _text(self, items: Sequence[CodedItem]) -> list[Tensor]:
        captions = [item.captions[0] for item in items]
        parts = [captions[i : i + 32] for i in range(0, len(captions), 32)]
        return [states for part in parts for states in self.encoder.encode(part, TOKENS_OF_TEXT)]


def epochs(count: int, batch: int, seed: int) -> Iterator[list[int]]:
    """Batches of indices, every item once an epoch, for ever."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(count, generator=generator).tolist()
        yield from (order[i : i + batch] for i in range(0, count - batch + 1, batch))


def train(setting: Setting, music: Music) -> dict[str, Any]:
    """One run: traces of the mean loss per code (nats) and of the gradient norm, and where it ended."""
    codes, text = music.take("train", setting.items)
    model = Model(setting, music).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), setting.learning_rate, eps=setting.eps, weight_decay=setting.weight_decay, fused=True
    )
    schedule = ConstantSchedule(warmup_steps=setting.warmup)
    started = time.perf_counter()
    losses: list[float] = []
    norms: list[float] = []
    norms_of_layers: list[list[float]] = []
    for step, rows in zip(range(setting.steps), epochs(len(text), setting.batch, setting.seed), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = setting.learning_rate * schedule.factor(step, setting.steps)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            per_codebook = model(codes[rows], [text[i] for i in rows])
        loss = per_codebook.sum() if setting.summed else per_codebook.mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), setting.clip or math.inf)
        losses.append(float(per_codebook.detach().mean()))
        norms.append(float(norm))
        if step in (0, setting.steps - 1):
            norms_of_layers.append([float(f"{_norm(layer):.3g}") for layer in model.lm.layers])
        if not math.isfinite(losses[-1]):
            break
        optimizer.step()
    return {
        "setting": dataclasses.asdict(setting),
        "parameters": sum(p.numel() for p in model.parameters()),
        "losses": [round(value, 3) for value in losses],
        "norms": [float(f"{value:.3g}") for value in norms],
        "first_norms": norms_of_layers[0],
        "last_norms": norms_of_layers[-1],
        "valid": round(validate(model, music, setting.valid_items), 3),
        "alike": round(alike(model, music), 4),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _norm(module: nn.Module) -> float:
    return math.sqrt(sum(float(p.grad.square().sum()) for p in module.parameters() if p.grad is not None))


@torch.no_grad()
def validate(model: Model, music: Music, items: int) -> float:
    """Mean cross entropy per code on recordings that are not trained on, nats."""
    codes, text = music.take("valid", items)
    model.eval()
    with torch.autocast("cpu", torch.bfloat16):
        return float(model(codes, text).mean())


@torch.no_grad()
def alike(model: Model, music: Music) -> float:
    """Mean cosine of what the heads read at different places of different recordings: 1 if it is the same everywhere,
    and the model tells nothing from what it is given."""
    codes, text = music.take("valid", 8)
    read: list[Tensor] = []
    hook = model.lm.heads[0].register_forward_pre_hook(lambda _, given: read.append(given[0].float()))
    model(codes, text)
    hook.remove()
    vectors = nn.functional.normalize(read[0][:, ::10].flatten(0, 1), dim=-1)
    count = len(vectors)
    return (float((vectors @ vectors.T).sum()) - count) / (count * (count - 1))


# --------------------------------------------------------------------------------------------------------- reporting

GROUPS = {
    "learning rate (base: 0.01)": ("base", "learning rate 0.001", "learning rate 0.003", "learning rate 0.03",
                                   "learning rate 0.1"),
    "norms, depth, initialisation": ("base", "pre-norm", "8 layers", "scaled initialisation", "all remedies",
                                     "pre-norm, learning rate 0.003", "all remedies, learning rate 0.003"),
    "warm-up, clipping, averaging": ("base", "warm-up of 60 updates", "clipped to norm 1", "loss averaged",
                                     "averaged and clipped to norm 1"),
    "width": ("base", "width 64", "width 64, 8 layers", "width 256, learning rate 0.003",
              "width 256, learning rate 0.001", "width 64, learning rate 0.03"),
}  # fmt: skip


def ended(losses: Sequence[float]) -> float:
    """Mean of the last tenth."""
    return statistics.mean(losses[-max(1, len(losses) // 10) :])


def table(kept: dict[str, Any]) -> list[str]:
    """A row per run."""
    lines = [
        "| run | parameters | highest loss after the first update | loss at the end | below frequencies alone "
        "| outputs alike | validation | largest gradient | seconds |",
        "|---|" + "--:|" * 8,
    ]
    for name, setting in (settings() | true_size()).items():
        run = kept["runs"].get(key(setting))
        if run is None:
            continue
        end = ended(run["losses"])
        cells = [
            name,
            f"{run['parameters'] / 1e6:.1f} M",
            f"{max(run['losses'][1:]):.2f}",
            f"**{end:.2f}**",
            f"{kept['frequencies'][str(setting.items)] - end:+.2f}" if name in settings() else "",
            f"{run['alike']:.3f}" if "alike" in run else "",
            f"{run['valid']:.2f}",
            f"{max(run['norms']):.2g}",
            f"{run['seconds']:.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def smooth(values: Sequence[float], span: int) -> list[float]:
    """Means of neighbours; the first few steps stay as they are, for it is there that losses jump."""
    return [
        statistics.mean(values[max(0, i - min(i, span) // 2) : i + min(i, span) // 2 + 1]) for i in range(len(values))
    ]


def draw(kept: dict[str, Any], path: Path) -> None:
    """Losses summed over the codebooks, as the paper's seem to be, a panel per factor."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from PIL import Image  # comes with matplotlib

    named = settings() | true_size()
    figure, axes = pyplot.subplots(2, 3, figsize=(12, 6.6), layout="constrained")
    for axis, (title, names) in zip(axes.flat, GROUPS.items(), strict=False):
        for name in names:
            run = kept["runs"].get(key(named[name]))
            if run is not None:
                summed = [4 * loss for loss in smooth(run["losses"], 12)]
                axis.plot(summed, label=name, linewidth=1.2, color="black" if name == "base" else None)
        axis.axhline(4 * kept["frequencies"][str(BASE.items)], color="grey", linewidth=0.8, linestyle="--")
        axis.axhline(4 * kept["chance"], color="grey", linewidth=0.8, linestyle=":")
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.set_ylim(22.5, 33)
        axis.set_xlabel("update", fontsize=7)
        axis.legend(fontsize=6.5)
    _layers(axes.flat[-2], kept)
    _scatter(axes.flat[-1], kept)
    for axis in axes[:, 0]:
        axis.set_ylabel("sum of four cross entropies, nats", fontsize=8)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=75)
    pyplot.close(figure)
    Image.open(drawn).convert("RGB").quantize(128).save(path, optimize=True)


def _layers(axis: Any, kept: dict[str, Any]) -> None:
    """The gradient that reaches each layer of the true size, before the first update and at the last one."""
    for number, (name, setting) in enumerate(true_size().items()):
        run = kept["runs"].get(key(setting))
        if run is not None:
            layers = range(1, setting.layers + 1)
            axis.plot(layers, run["first_norms"], color=f"C{number}", linewidth=0.8, linestyle=":")
            axis.plot(layers, run["last_norms"], color=f"C{number}", linewidth=1.2, label=name)
    axis.set_yscale("log")
    axis.set_title(f"gradient norm by layer: first update (dotted), update {TRUE.steps}", fontsize=9)
    axis.set_xlabel("layer", fontsize=7)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=6.5)


def _scatter(axis: Any, kept: dict[str, Any]) -> None:
    """Where runs of the base end over learning rate times width, the change of a logit in Adam's first update."""
    plain = {"dim", "learning_rate", "seed"}
    for width in sorted({setting.dim for setting in settings().values()}):
        points = [
            (setting.learning_rate * width, 4 * ended(kept["runs"][key(setting)]["losses"]))
            for setting in settings().values()
            if setting.dim == width
            and key(setting) in kept["runs"]
            and {part.partition("=")[0] for part in key(setting).split(",")} <= plain | {"base"}
        ]
        axis.plot(*zip(*sorted(points), strict=True), marker="o", linewidth=0.8, label=f"width {width}")
    axis.axhline(4 * kept["frequencies"][str(BASE.items)], color="grey", linewidth=0.8, linestyle="--")
    axis.set_xscale("log")
    axis.set_xticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
    axis.set_xticks([], minor=True)
    axis.set_title("post-norm without warm-up: loss at the end", fontsize=9)
    axis.set_xlabel("learning rate x width", fontsize=7)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=6.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokens", type=Path, nargs="?", help="token cache; without one, only what is there is shown")
    parser.add_argument("--only", nargs="*", help="names of runs")
    parser.add_argument("--true-size", action="store_true", help="the first updates of 844 M parameters as well")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file that keeps the runs")
    parser.add_argument("--plot", type=Path, default=PLOT, help="picture to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept: dict[str, Any] = {"runs": {}}
    if options.results.exists():
        kept = json.loads(options.results.read_text())
    if options.tokens is not None:
        music = Music(options.tokens)
        counts = {setting.items for setting in settings().values()}
        kept["chance"] = math.log(music.codebook_size)
        kept["frequencies"] = {str(count): music.frequencies_entropy(count) for count in sorted(counts)}
        for name, setting in (settings() | (true_size() if options.true_size else {})).items():
            if key(setting) in kept["runs"] or (options.only and name not in options.only):
                continue
            result = train(setting, music)
            kept["runs"][key(setting)] = result
            kept["machine"] = describe(torch.device("cpu"))
            options.results.write_text(json.dumps(kept, separators=(",", ":")) + "\n")
            print(f"{name}: {result['seconds']:.0f} s, {ended(result['losses']):.3f}", flush=True)
    print("\n".join(table(kept)))
    draw(kept, options.plot)
    print(json.dumps({name: ended(run["losses"]) for name, run in kept["runs"].items()}))


if __name__ == "__main__":
    main()
