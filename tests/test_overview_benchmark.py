"""The report in docs/ is one that today's code reads, and its picture has a row for each figure that it promises."""

import importlib.util
from pathlib import Path

from cadenza.checkpoint import weights_hash
from cadenza.evaluate.embedders.listener import Listener
from cadenza.evaluate.report.figures import Report
from cadenza.loading import ASSETS
from filemap import ROOT

SPEC = importlib.util.spec_from_file_location("overview", ROOT / "benchmarks" / "overview.py")
assert SPEC is not None and SPEC.loader is not None
overview = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(overview)

REPORT = Report.model_validate_json((ROOT / "docs" / "evaluation" / "report.json").read_bytes())


def test_the_picture_has_every_row(tmp_path: Path) -> None:
    titles = overview.draw(REPORT, REPORT.systems[0].name, tmp_path / "overview.png")
    assert titles == ["Text alignment", "Instruments", "Genre", "Tempo or its octave", "Key, MIREX", "Mode"]
    assert (tmp_path / "overview.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_judges_the_model_that_is_shipped_by_the_ear_that_is_shipped() -> None:
    assert REPORT.systems[0].made_with["weights"] == weights_hash(ASSETS / "embedded")
    heard = REPORT.figure("fad", REPORT.systems[0].name)
    assert heard is not None and heard.embedder is not None
    assert heard.embedder.weights == Listener.embedded().identity.weights
