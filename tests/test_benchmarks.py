"""The benchmarks run, on tiny models, and what they compute from measurements is right."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from cadenza.lm.model import LMConfig

FOLDER = Path(__file__).parents[1] / "benchmarks"
CPU = torch.device("cpu")
EVERY = ("machine", "roofline", "shapes", "sides", "tables", "decode", "serving", "sweep")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Import one by name; all of them are forgotten again."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))

    def load(name: str) -> ModuleType:
        module = importlib.import_module(name)
        if hasattr(module, "read_bandwidth") and name != "machine":
            monkeypatch.setattr(module, "read_bandwidth", lambda device: 1e9)
        return module

    yield load
    for name in EVERY:
        sys.modules.pop(name, None)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_decode_puts_both_sides_and_the_limit_into_one_record(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = benchmark("decode")
    peak = {"load_seconds": 0.1, "peak_mb": 100.0, "device_peak_mb": None}
    monkeypatch.setattr(decode, "peak_of_child", lambda options, precision: peak)
    arguments = ["--shape", "tiny", "--precision", "int4,fp32", "--duration", "0.6", "--runs", "1"]
    decode.main([*arguments, "--transformers-duration", "0.3", "--models", str(tmp_path)])
    record = last_line(capsys)
    assert record["ratio_to_transformers_fp32"] == record["ours"]["int4"]["ratios"]["fp32"] > 0
    assert set(record["ours"]) == {"int4", "fp32"}
    assert record["transformers"]["fp32"]["seconds_of_audio_measured"] == pytest.approx(0.3)
    for side in (*record["ours"].values(), *record["transformers"].values()):
        parts = side["text_seconds"] + side["lm_seconds"] + side["codec_seconds"]
        assert parts < 1.002 * side["seconds"]  # the rest is what lies between them; four digits are kept
        assert side["lm_seconds"] == pytest.approx(33 / side["steps_per_second"], rel=2e-3)
        assert side["limit_steps_per_second"] == pytest.approx(1e9 / (side["step_mb"] * 1e6), rel=2e-3)
        assert min(side["text_seconds"], side["codec_seconds"]) > 0
    assert record["ours"]["int4"]["first_audio_seconds"] > 0


def test_peak_memory_is_that_of_a_process_of_its_own(benchmark: Any, tmp_path: Path) -> None:
    shapes = benchmark("shapes")
    shapes.model_directory("tiny", tmp_path)
    command = [sys.executable, str(FOLDER / "decode.py"), "--peak", "--shape", "tiny", "--precision", "fp32"]
    command += ["--duration", "0.2", "--models", str(tmp_path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    record = json.loads(done.stdout.splitlines()[-1])
    assert 100 < record["peak_mb"] < 2000  # torch alone needs more than the one, a tiny model less than the other
    assert record["device_peak_mb"] is None


@pytest.mark.parametrize(
    "arguments", [["--precision", "int3"], ["--duration", "0"], ["--runs", "0"], ["--shape", "huge"]], ids=" ".join
)
def test_what_cannot_be_measured_is_refused(benchmark: Any, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        benchmark("decode").main(arguments)


def test_the_roofline_counts_what_a_step_reads(benchmark: Any) -> None:
    """Published figures of the small shape: 360.7 M weights a step; 96 KiB of bf16 keys and values per position."""
    roofline = benchmark("roofline")
    small = LMConfig()
    assert roofline.weights_per_step(small) == 14 * 1024**2 * 24 + 4 * 2048 * 1024
    read = roofline.step_bytes(small, "bf16", steps=503, cross_length=12)
    assert read.weights == pytest.approx(0.721e9, rel=1e-3)
    assert read.cache == 2 * 96 * 1024 * (251 + 12)
    assert roofline.step_bytes(small, "bf16", 503, 12, songs=4).cache == 4 * read.cache
    assert roofline.step_bytes(small, "int4", 503, 12).weights == read.weights * 5 / 16
    assert roofline.step_bytes(small, "int8", 503, 12).weights == read.weights / 2


def test_a_shorter_run_is_scaled_per_step_and_per_frame(benchmark: Any) -> None:
    split = benchmark("sides").Split(total=10.0, text=1.0, lm=6.0, codec=2.0, steps=60)
    assert split.scaled(120, 3.0) == (type(split))(total=20.0, text=1.0, lm=12.0, codec=6.0, steps=120)
    assert split.steps_per_second == split.scaled(120, 3.0).steps_per_second == 10.0


def test_the_clock_takes_the_codec_out_of_the_model_only_where_one_waits_for_the_other(benchmark: Any) -> None:
    sides = benchmark("sides")

    class Codec:
        def decode_step(self) -> None: ...

    clock = sides.Clock(torch.nn.Identity(), Codec(), CPU)
    clock.begin(waits=False)
    clock.text_end, clock.lm_end, clock.lm_thread = 10.0, 20.0, 1
    clock.decodes = [(12.0, 13.0, 1), (14.0, 17.0, 2), (20.5, 22.0, 1)]  # between steps, beside them, behind them
    split = clock.end(steps=9)
    assert split.lm == 9.0
    assert split.codec == 5.5
    assert split.steps_per_second == 1.0


def test_steps_of_long_pieces_count_every_window(benchmark: Any) -> None:
    from cadenza.testing import tiny_musicgen

    music = tiny_musicgen(max_duration_seconds=1.0)  # a stride of 0.6 s
    sides = benchmark("sides")
    assert sides.num_steps(music, 1.0) == 50 + 3
    assert sides.num_steps(music, 1.6) == 50 + 3 + 30 + 3


def test_percentiles_are_values_that_were_measured(benchmark: Any) -> None:
    percentile = benchmark("machine").percentile
    assert percentile([3.0, 1.0, 2.0, 4.0], 50) == 2.0
    assert percentile([3.0, 1.0, 2.0, 4.0], 95) == 4.0
    assert percentile([5.0], 50) == 5.0


def test_bandwidth_and_memory_are_measured(benchmark: Any) -> None:
    machine = benchmark("machine")
    assert 1e8 < machine.read_bandwidth(CPU, gigabytes=0.01) < 1e13
    before = machine.host_peak_bytes()
    block = torch.ones(50_000_000)  # 200 MB
    assert machine.host_peak_bytes() >= before
    assert machine.host_peak_bytes() >= block.nbytes
    assert machine.device_peak_bytes(CPU) is None
    assert " " not in machine.slug(CPU)


def record_of(benchmark: Any, script: str) -> dict[str, Any]:
    facts = {"load": 0.1, "threads": 1, "date": "2026-11-21", "torch": "2.13.0"}
    model = {"shape": "tiny", "precision": "bf16", "duration": 1.0}
    return {"benchmark": script, "machine": facts, "bandwidth_gb_per_second": 10.0, **model}


def test_a_set_goes_on_where_it_stopped(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = benchmark("sweep")
    ran: list[str] = []

    def run(piece: Any, threads: int | None, seconds: float) -> dict[str, Any] | None:
        ran.append(piece.script)
        if piece.script == "serving" and len(ran) == 2:
            return None  # the first time it fails
        return {**record_of(benchmark, piece.script), "ours": {}, "transformers": {}, "levels": []}

    monkeypatch.setattr(sweep, "run", run)
    with pytest.raises(SystemExit, match="1"):
        sweep.main(["--tiny", "--results", str(tmp_path), "--resume"])
    assert last_line(capsys)["failed"] == 1
    sweep.main(["--tiny", "--results", str(tmp_path), "--resume"])
    assert ran == ["decode", "serving", "serving"]
    assert last_line(capsys)["left"] == []
    sweep.main(["--tiny", "--results", str(tmp_path), "--resume"])
    assert len(ran) == 3
    names = sorted(path.name.split("_")[0] for path in tmp_path.iterdir())
    assert names == ["decode", "serving"]
    sweep.main(["--tiny", "--results", str(tmp_path)])  # without --resume everything is measured anew
    assert len(ran) == 5
    sweep.main(["--tiny", "--results", str(tmp_path / "other"), "--minutes", "0.5"])  # no piece is that short
    assert len(ran) == 5


def test_the_tables_hold_a_cell_for_every_column(benchmark: Any) -> None:
    tables = benchmark("tables")
    side = dict.fromkeys(
        ("steps_per_second", "limit_steps_per_second", "share_of_limit", "seconds", "real_time", "text_seconds",
         "lm_seconds", "codec_seconds", "first_audio_seconds", "peak_mb", "weights_mb"), 1.0,
    )  # fmt: skip
    ours = {"int4": {**side, "device_peak_mb": None, "ratios": {"fp32": 3.0}}}
    theirs = {"fp32": {**side, "seconds_of_audio_measured": 0.5}}
    table = tables.decode_table([{**record_of(benchmark, "decode"), "ours": ours, "transformers": theirs}])
    times = dict.fromkeys(("first_p50", "first_p95", "done_p50", "done_p95"), 0.5)
    level = dict.fromkeys(("slots", "throughput", "limit", "each_real_time", "overhead_share"), 0.1)
    levels = [{**level, "device_peak_mb": 5.0, "at_once": times, "poisson": times}]
    serving = tables.serving_table([{**record_of(benchmark, "serving"), "levels": levels}])
    for text, rows in ((table, 4), (serving, 3)):
        lines = text.splitlines()
        assert len(lines) == rows
        assert len({line.count("|") for line in lines}) == 1
    assert "3.00 (fp32)" in table
    assert "scaled per step from 0.5 s" in table


def test_serving_hears_every_request_to_its_end(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--shape", "tiny", "--concurrency", "1,3", "--duration", "0.4", "--models", str(tmp_path)]
    benchmark("serving").main(arguments)
    record = last_line(capsys)
    assert [level["slots"] for level in record["levels"]] == [1, 3]
    for level in record["levels"]:
        for times in (level["at_once"], level["poisson"]):
            assert 0 < times["first_p50"] <= times["first_p95"] <= times["done_p95"]
        assert level["throughput"] == pytest.approx(level["slots"] * 0.4 / level["at_once"]["done_p95"], rel=0.5)
        assert level["overhead_share"] > 0
    assert record["best_throughput"] == max(level["throughput"] for level in record["levels"])


def test_the_overhead_is_what_lies_outside_of_engine_and_codec(benchmark: Any) -> None:
    watch = benchmark("serving").Watch()
    watch.calls = [
        ("open", 0.0, 1.0, 7),  # before the first step: not counted
        ("step", 1.0, 3.0, 7),
        ("decode_step", 3.25, 4.25, 7),  # 0.25 s before it, 0.75 s behind it
        ("decode_step", 3.0, 5.0, 8),  # of another thread
        ("step", 5.0, 7.0, 7),
    ]
    assert watch.overhead_share == 1.0 / 4.0
    assert watch.steps_per_second == 2 / 6


def test_a_listener_that_fails_is_not_forgotten(benchmark: Any) -> None:
    class Broken:
        def submit(self, text: str, duration: float, seed: int) -> Any:
            return iter(())  # ends without a chunk

    with pytest.raises(StopIteration):
        benchmark("serving").serve(Broken(), [0.0], 1.0)


def test_arrivals_by_chance_have_the_rate_asked_for(benchmark: Any) -> None:
    times = benchmark("serving").poisson(2001, per_second=4.0)
    assert times[0] == 0.0
    assert times == sorted(times)
    assert times[-1] / 2000 == pytest.approx(0.25, rel=0.1)  # the mean of 2000 has a deviation of 2 %


@pytest.mark.gpu
def test_the_set_runs_on_a_gpu(benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `make bench-gpu` is made of, on tiny models."""
    arguments = ["--shape", "tiny", "--device", "cuda", "--models", str(tmp_path)]
    benchmark("decode").main([*arguments, "--precision", "bf16,int8,int4", "--duration", "1", "--runs", "2"])
    record = last_line(capsys)
    assert all(side["device_peak_mb"] > 0 for side in record["ours"].values())
    assert set(record["transformers"]) == {"fp32", "bf16"}
    benchmark("serving").main([*arguments, "--concurrency", "1,4", "--duration", "1"])
    assert last_line(capsys)["best_throughput"] > 0
