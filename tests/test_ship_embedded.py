"""What replaces the shipped model was judged, itself and no other, and found better."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from cadenza.codec.encodec import EnCodec, EnCodecConfig
from cadenza.codec.spectral import SpectralConfig
from cadenza.evaluate.report.config import read_report_config
from cadenza.evaluate.report.figures import Range, Report, SystemRecord, Test
from filemap import ROOT


@pytest.fixture(scope="module")
def ship() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ship_embedded", ROOT / "recipes" / "ship_embedded.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _system(name: str, weights: str) -> SystemRecord:
    return SystemRecord(
        name=name, kind="model", source=name, clips=2, pieces=2, seconds=20, sample_rates=(32000,),
        clip_ids=("1", "2"), ids="0", made_with={"weights": weights},
    )  # fmt: skip


def _report(path: Path, *verdicts: str) -> Path:
    tests = [
        Test(
            metric=f"m{number}", title=f"figure {number}", first="candidate", second="shipped",
            difference=Range(value=0.1, low=0.0, high=0.2), p_value=0.01, p_holm=0.02, count=2, verdict=verdict,
        )
        for number, verdict in enumerate(verdicts)
    ]  # fmt: skip
    empty = dict.fromkeys(("figures", "samples", "memorization", "codec", "notes"), ())
    report = Report.model_construct(
        title="t", systems=(_system("candidate", "new"), _system("shipped", "old")), reference=None, tests=tuple(tests),
        rule="", outliers={}, pipeline={}, versions={}, hardware={}, config=Report.model_fields["config"].annotation(),
        **empty,
    )  # fmt: skip
    path.write_text(report.model_dump_json(), encoding="utf-8")
    return path


def test_a_better_one_is_let_in_with_its_figures(ship: ModuleType, tmp_path: Path) -> None:
    told = ship.judged(_report(tmp_path / "r.json", "candidate is better", "cannot be told apart"), "new")
    assert "Ahead of the model before it in: figure 0; behind in: -." in told


@pytest.mark.parametrize(
    "verdicts",
    [("cannot be told apart",), ("shipped is better",), ("candidate is better", "shipped is better"), ()],
    ids=["alike", "worse", "as much lost as won", "no tests"],
)
def test_no_other_is(ship: ModuleType, tmp_path: Path, verdicts: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="does not find it better"):
        ship.judged(_report(tmp_path / "r.json", *verdicts), "new")


def test_a_report_on_other_weights_says_nothing(ship: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="judged other weights"):
        ship.judged(_report(tmp_path / "r.json", "candidate is better"), "newer")


def test_nothing_replaces_it_unjudged(ship: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["ship_embedded.py", "somewhere"])
    with pytest.raises(SystemExit, match="give --out or --report"):
        ship.main()


def test_a_decoder_may_change_the_codes_may_not(ship: ModuleType, tmp_path: Path) -> None:
    half = SpectralConfig(
        hop_length=40, dim=16, num_layers=1, fast_dim=8, fast_layers=1, num_mels=8, num_tones=16, tone_window=256
    )
    codec = EnCodec(EnCodecConfig(sample_rate=8000, codebook_size=8, latent_dim=8, encoder=half, decoder=half))
    with torch.no_grad():
        before = next(codec.encoder.parameters()).flatten()[:1].zero_()
        codec.save_pretrained(tmp_path / "before")
        before.copy_(-before)  # averaging makes 0 of -0, which is no other code
        next(codec.decoder.parameters()).add_(1.0)
        codec.save_pretrained(tmp_path / "decoder")
        next(codec.encoder.parameters()).add_(1.0)
        codec.save_pretrained(tmp_path / "codes")
    ship.same_codes(tmp_path / "decoder", tmp_path / "before")
    with pytest.raises(SystemExit, match="has other codes than"):
        ship.same_codes(tmp_path / "codes", tmp_path / "before")


def test_the_recipe_of_judging_names_the_candidate_that_shipping_writes() -> None:
    config = read_report_config(ROOT / "recipes" / "judge_embedded.yaml")
    assert [system.model for system in config.systems] == ["../runs/candidate", "embedded"]
