"""What a run says, on a terminal and elsewhere."""

import io
import json
import math
import os
from pathlib import Path

import pytest

from cadenza.errors import UserError
from cadenza.train.log import RunLog, read_rows


def test_lines_are_plain_and_the_file_is_json(tmp_path: Path):
    stream = io.StringIO()
    log = RunLog(tmp_path, 100, 0, tensorboard=False, stream=stream)
    log.metrics("train", 10, {"loss": 1 / 3, "gradient_norm/lm": 2.0})
    log.advance(11)
    log.close()
    (row,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert (row["step"], row["kind"], row["loss"], row["gradient_norm/lm"]) == (10, "train", 0.333333333, 2.0)
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("train 10/100  loss 0.3333  left ")


def test_codebooks_share_a_row(tmp_path: Path):
    stream = io.StringIO()
    log = RunLog(tmp_path, 100, 0, tensorboard=False, stream=stream)
    log.metrics("valid", 10, {"ce": 3.0, "ce_q0": 2.0, "ce_q1": 4.0, "usage_q0": 0.5, "ppl_q0": 7.0, "usage_q1": 0.25})
    log.close()
    assert stream.getvalue() == "valid 10/100  ce 3  ce_q 2 4  usage_q 0.5 0.25  ppl_q 7\n"


def test_a_resumed_run_drops_lines_that_it_will_make_again(tmp_path: Path):
    log = RunLog(tmp_path, 100, 0, tensorboard=False, stream=io.StringIO())
    for step in (10, 20, 30):
        log.metrics("train", step, {"loss": 1.0})
    log.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 40, "kin')  # killed while writing
    log = RunLog(tmp_path, 100, 20, tensorboard=False, stream=io.StringIO())
    log.metrics("train", 30, {"loss": 2.0})
    log.close()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(10, 1.0), (20, 1.0), (30, 2.0)]


def test_what_is_not_finite_is_null(tmp_path: Path):
    log = RunLog(tmp_path, 100, 0, tensorboard=False, stream=io.StringIO())
    log.metrics("train", 10, {"loss": 1.0, "gradient_norm/lm": math.inf, "ce": math.nan})
    log.close()
    text = (tmp_path / "log.jsonl").read_text()
    assert "Infinity" not in text
    assert "NaN" not in text
    (row,) = read_rows(tmp_path / "log.jsonl")
    assert (row["loss"], row["gradient_norm/lm"], row["ce"]) == (1.0, None, None)


def test_a_line_of_something_else_is_named(tmp_path: Path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "kind": "train"}\n\0\0\0\n')
    with pytest.raises(UserError, match=r"log\.jsonl line 2 is no line of a log"):
        RunLog(tmp_path, 100, 1, tensorboard=False, stream=io.StringIO())


def test_nobody_needs_to_listen(tmp_path: Path):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", closefd=False) as stream:
        log = RunLog(tmp_path, 100, 0, tensorboard=False, stream=stream)
        log.metrics("train", 10, {"loss": 1.0})
        log.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)  # where what is left over goes
    assert len(read_rows(tmp_path / "log.jsonl")) == 1


def test_a_terminal_gets_a_bar(tmp_path: Path):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    log = RunLog(tmp_path, 100, 0, tensorboard=False, stream=stream)
    log.advance(50)
    log.metrics("train", 50, {"loss": 1.0})
    log.close()
    assert "50/100" in stream.getvalue()


def test_tensorboard_events_are_written(tmp_path: Path):
    log = RunLog(tmp_path, 100, 0, tensorboard=True, stream=io.StringIO())
    log.metrics("valid", 10, {"loss": 1.0})
    log.close()
    assert list((tmp_path / "tensorboard").glob("events*"))
