"""Time rows: those of the reference, to the last bin."""

import json
from typing import Any

import pytest
import torch

from cadenza.errors import UserError
from cadenza.jukebox.timing import Timing, TimingConfig
from jukebox_priors import PARITY, WITH_LYRICS, oracle

MODELS = json.loads((PARITY / "jukebox_windows.json").read_text())["time_rows"]


def written_out(changes: list[list[int]], length: int) -> list[int]:
    """`[position, row]` wherever the row changes, as a row for each position."""
    rows: list[int] = []
    for (first, row), (last, _) in zip(changes, [*changes[1:], [length, 0]], strict=True):
        rows += [row] * (last - first)
    return rows


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["model"])
def test_rows_are_those_of_the_reference(model: dict[str, Any]) -> None:
    config = TimingConfig(
        num_bins=model["t_bins"], min_seconds=model["min_duration"], max_seconds=model["max_duration"]
    )
    timing = Timing(config, model["sr"], model["n_ctx"], dim=1)
    window = model["window_samples"]
    for record in model["records"]:
        total, offset = record["y_prefix"][:2]
        times = torch.tensor([[total, offset]])
        if "refused" in record:
            with pytest.raises(UserError, match="piece"):
                timing(times, window)
            continue
        timing.check(times, window)
        length, absolute, relative = timing.points(times, window)
        assert timing.total_length.rows(length).tolist() == [[record["total_length_row"]]]
        assert timing.absolute.rows(absolute)[0].tolist() == written_out(record["absolute_rows"], model["n_ctx"])
        assert timing.relative.rows(relative)[0].tolist() == written_out(record["relative_rows"], model["n_ctx"])


@pytest.mark.parametrize("name", WITH_LYRICS)
def test_rows_of_a_batch(name: str) -> None:
    prior, io, _, pieces = oracle(name)
    times = torch.tensor([[piece.total_length, piece.offset] for piece in pieces])
    assert prior.timing is not None
    points = prior.timing.points(times, prior.config.window_samples)
    for table, asked in zip(("total_length", "absolute", "relative"), points, strict=True):
        assert torch.equal(getattr(prior.timing, table).rows(asked), io[f"time_row.{table}"])


def test_errors_speak_in_seconds() -> None:
    timing = Timing(TimingConfig(), 44100, 8192, dim=1)
    with pytest.raises(UserError, match=r"a piece of 240\.00 s|knows pieces from 60 s and below 600 s"):
        timing(torch.tensor([[240, 0]]), 1_048_576)
    with pytest.raises(UserError, match=r"from 595\.00 s to 618\.78 s of a piece of 599\.00 s"):
        timing(torch.tensor([[599 * 44100, 595 * 44100]]), 1_048_576)
