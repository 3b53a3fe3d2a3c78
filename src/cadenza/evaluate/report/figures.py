"""The form of a report: every figure with all that it takes to judge it. Plain values in, JSON out.

A figure without its number of clips, its interval and the exact embedder cannot be compared with another; here it
cannot be written down either. Nothing holds a time or a place, so that two runs give the same bytes.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import Field

from cadenza.checkpoint import Config
from cadenza.evaluate.embedders.base import Identity
from cadenza.evaluate.intervals import Interval
from cadenza.evaluate.report.config import ReportConfig

Kind = Literal["model", "audio", "measured", "truth", "ceiling"]
Better = Literal["higher", "lower", "neither"]


class EmbedderRecord(Config):
    """Which network heard it: two equal records give equal vectors for equal sound."""

    name: str = Field(description="what the registry calls it")
    weights: str = Field(description="SHA-256 of its weights")
    settings: dict[str, str | int | float | bool] = Field(description="rate, window rule, layer and so on")
    source: str = Field(description="paper or public origin")

    @classmethod
    def of(cls, identity: Identity) -> Self:
        return cls.model_validate(identity.record())


class Range(Config):
    """A value and where it lies with 95 % confidence; None: not known."""

    value: float | None = Field(None, description="the figure")
    low: float | None = Field(None, description="lower end of the 95 % interval")
    high: float | None = Field(None, description="upper end")

    @classmethod
    def of(cls, interval: Interval) -> Self:
        return cls(value=finite(interval.mean), low=finite(interval.low), high=finite(interval.high))

    def text(self, digits: int = 2) -> str:
        """For a person: "0.31 (0.28 to 0.34)"."""
        if self.value is None:
            return "–"
        if self.low is None or self.high is None:
            return shown(self.value, digits)
        return f"{shown(self.value, digits)} ({shown(self.low, digits)} to {shown(self.high, digits)})"


class Figure(Config):
    """One measured figure of one system."""

    metric: str = Field(description="its name: fad, kad, mad, kl, text_alignment, tempo, ...")
    title: str = Field(description="for a person")
    system: str = Field(description="whose figure")
    result: Range = Field(description="value and 95 % interval")
    count: int = Field(description="N: what the value is computed from, in `of`")
    of: str = Field(description="what is counted: clips, pieces, windows, pairs, facts")
    unit: str = Field(description="of the value; empty: none")
    better: Better = Field(description="which way is better")
    heard_by: str = Field("", description="what the set calls the network that heard it; empty: none")
    embedder: EmbedderRecord | None = Field(None, description="which network that is, exactly")
    floor: Range | None = Field(None, description="the same with captions shuffled: what chance reaches")
    ceiling: Range | None = Field(None, description="the same of true music through this system's codec")
    details: dict[str, float | None] = Field({}, description="what belongs to it: FAD-infinity, windows, ...")
    curve: tuple[tuple[int, float], ...] = Field((), description="distance by number of windows, for the extrapolation")
    notes: tuple[str, ...] = Field((), description="what to know before trusting it")

    @property
    def middle(self) -> float | None:
        """What the interval is of: the value, of a distance that without the bias of few clips."""
        unbiased = self.details.get("without_bias")
        return self.result.value if unbiased is None or self.result.low is None else unbiased

    def text(self, digits: int) -> str:
        """For a person: "0.31 (0.28 to 0.34)", or "42.2, without bias 36.0 (30.1 to 41.8)"."""
        if self.middle is None or self.middle == self.result.value or self.result.value is None:
            return self.result.text(digits)
        middle = self.result.model_copy(update={"value": self.middle})
        return f"{shown(self.result.value, digits)}, without bias {middle.text(digits)}"


class Test(Config):
    """Two systems on the same prompts."""

    __test__ = False  # no test of pytest

    metric: str = Field(description="name of the figure")
    title: str = Field(description="for a person")
    heard_by: str = Field("", description="what heard it; empty: no network")
    first: str = Field(description="a system")
    second: str = Field(description="another")
    difference: Range = Field(description="first less second, mean over prompts, and its 95 % interval")
    p_value: float | None = Field(description="of no difference; None: no test for this figure, see the interval")
    p_holm: float | None = Field(None, description="corrected for all tests of the report (Holm 1979)")
    count: int = Field(description="prompts that both answered")
    verdict: str = Field(description="which is better, or that it cannot be told")


class Gap(Config):
    """One system's figure on one set of prompts, and how it differs from that on the first set."""

    metric: str = Field(description="name of the figure")
    title: str = Field(description="for a person")
    system: str = Field(description="whose")
    prompts: str = Field(description="the set")
    result: Range = Field(description="mean over prompts")
    count: int = Field(description="prompts of the set that ask for it")
    difference: Range | None = Field(description="less the first set's; None: it is the first")
    within: bool | None = Field(description="at most 15 points lower")
    surely: bool | None = Field(description="so is the whole interval")


class SetDifference(Config):
    """Two systems on one set of prompts, prompt by prompt."""

    metric: str = Field(description="name of the figure")
    title: str = Field(description="for a person")
    prompts: str = Field(description="the set")
    first: str = Field(description="a system")
    second: str = Field(description="another")
    difference: Range = Field(description="first less second, mean over prompts")
    count: int = Field(description="prompts that both answered")


class RefusedRecord(Config):
    """What could not be judged."""

    name: str = Field(description="file or prompt")
    reason: str = Field(description="why")


class SystemRecord(Config):
    """What was judged."""

    name: str = Field(description="what the tables call it")
    kind: Kind = Field(description="model: takes made here; audio, measured: given; truth, ceiling: true music")
    source: str = Field(description="model name, or name of the folder, manifest or measured set")
    clips: int = Field(description="judged")
    pieces: int = Field(description="independent of each other")
    seconds: float = Field(description="of sound in all")
    sample_rates: tuple[int, ...] = Field(description="Hz, as found")
    clip_ids: tuple[str, ...] = Field(description="names of the clips")
    ids: str = Field(description="SHA-256 of the names and sounds of all clips, in order")
    made_with: dict[str, Any] = Field({}, description="model, weights and sampling, as the takes themselves say")
    ceiling_of: tuple[str, ...] = Field((), description="for a ceiling: the systems with that codec")
    refused: tuple[RefusedRecord, ...] = Field((), description="what could not be judged")
    notes: tuple[str, ...] = Field((), description="what to know of it")


class Sample(Config):
    """A clip to listen to."""

    system: str = Field(description="whose")
    id: str = Field(description="of the clip")
    rank: str = Field(description="best, median or worst")
    text: str = Field(description="what was asked for")
    ranked_by: str = Field(description="the figure by which it was ranked; empty: by its name")
    score: float | None = Field(description="that figure")
    sound: str = Field(description="Opus: a file beside the page, or its SHA-256 where it is inside")
    facts: dict[str, str] = Field(description="what was heard in it")


class Report(Config):
    """All of it."""

    title: str = Field(description="of the page")
    systems: tuple[SystemRecord, ...] = Field(description="what was judged, in the order of the tables")
    reference: SystemRecord | None = Field(description="the true music that distances are taken from")
    figures: tuple[Figure, ...] = Field(description="one per metric, embedder and system")
    tests: tuple[Test, ...] = Field(description="systems against each other")
    gaps: tuple[Gap, ...] = Field((), description="control figures per set of prompts, where there are several")
    set_differences: tuple[SetDifference, ...] = Field((), description="systems against each other on each set")
    samples: tuple[Sample, ...] = Field(description="what can be heard")
    rule: str = Field(description="how the samples were chosen")
    outliers: dict[str, tuple[tuple[str, float], ...]] = Field(description="per system: clips furthest from true music")
    memorization: tuple[dict[str, Any], ...] = Field(description="as `cadenza evaluate memorization` found")
    codec: tuple[dict[str, Any], ...] = Field(description="as `cadenza evaluate codec` found")
    pipeline: dict[str, Any] = Field(description="what was done to the sound before it was heard")
    versions: dict[str, str] = Field(description="of what computed it")
    hardware: dict[str, Any] = Field(description="on which")
    notes: tuple[str, ...] = Field(description="warnings that concern all figures")
    config: ReportConfig = Field(description="what was asked of the report")

    def rows(self, metrics: Iterable[str]) -> list[tuple[str, str]]:
        """Metric and network of each row of a table; without those that only true music has."""
        judged = {system.name for system in self.systems if system.kind not in ("truth", "ceiling")}
        found = [figure for figure in self.figures if figure.system in judged]
        heard_by = {name: dict.fromkeys(f.heard_by for f in found if f.metric == name) for name in metrics}
        return [(name, network) for name, networks in heard_by.items() for network in networks]

    def figure(self, metric: str, system: str, heard_by: str | None = None) -> Figure | None:
        """One figure, of the first network unless one is named; None if it was not measured."""
        of_system = (one for one in self.figures if (one.metric, one.system) == (metric, system))
        return next((one for one in of_system if heard_by in (None, one.heard_by)), None)


def shown(value: float, digits: int) -> str:
    """With `digits` behind the point, or, below 0, with so many that mean something; never a negative zero."""
    text = f"{value:.{digits}f}" if digits >= 0 else f"{value:#.{-digits}g}".rstrip(".")
    return text.removeprefix("-") if not text.strip("-0.") else text


def finite(value: float | None) -> float | None:
    """JSON knows no infinity and no NaN."""
    return None if value is None or not math.isfinite(value) else float(value)


def finite_values(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: finite(value) for name, value in values.items()}
