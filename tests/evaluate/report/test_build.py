"""The whole report: all that it takes to judge a figure is in it, the same every time, safe and self-contained."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cadenza.errors import UserError
from cadenza.evaluate.clips import Refused
from cadenza.evaluate.measurements import Measurements
from cadenza.evaluate.report.build import Built, System, build, groups_of, read_finding, unequal
from cadenza.evaluate.report.config import ReportConfig, SystemConfig
from cadenza.evaluate.report.figures import Range, Report, shown
from cadenza.evaluate.report.files import table, write_report
from cadenza.evaluate.report.metrics import METRICS
from measured_sets import measured_set, tone

EVIL = '<script>alert("x")</script> & co'


def make(sounds: Path) -> Built:
    good = measured_set("good", 9, seed=1)
    clips = (replace(good.clips[0], asked=replace(good.clips[0].asked, text=EVIL)), *good.clips[1:])
    good = replace(good, clips=clips, refused=(Refused(EVIL, "silent"),))
    bad = measured_set("bad", 9, place=1.0, fit=0.2, seed=2)
    systems = [
        System(good, "model", "embedded", {name: sounds / f"{name}.wav" for name in good.ids}),
        System(bad, "audio", "folder"),
        System(measured_set("true music", 9, seed=3), "truth", "embedded"),
        System(measured_set("through the codec", 9, place=0.1, seed=4), "ceiling", "codec", ceiling_of=("good",)),
    ]
    config = ReportConfig(
        title="T & U", systems=(SystemConfig(name="good", model="m"), SystemConfig(name="bad", audio="a")), samples=1,
        reference="true", paired=True,
    )  # fmt: skip
    findings = {"codec": [{"file": "codec.json", "si_sdr_db": 7.5}]}
    return build(systems, measured_set("half a", 30), config, findings=findings, notes=["mind the gap"])


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(9):
        tone(220.0 + 50 * number, 1.0).write(folder / f"{number:03d}.wav")
    return folder


@pytest.fixture(scope="module")
def built(sounds: Path) -> Built:
    return make(sounds)


@pytest.fixture(scope="module")
def folder(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(built, folder)
    return folder


def test_every_figure_carries_what_it_takes(built: Built) -> None:
    for figure in built.report.figures:
        assert figure.result.value is not None and figure.count > 0 and figure.of
        if figure.metric in ("fad", "kad", "mad", "kl", "kl_genre", "text_alignment", "song_distance", "diversity"):
            assert figure.embedder is not None and len(figure.embedder.weights) == 64
        assert figure.result.low is not None and figure.result.high is not None
    assert built.report.figure("fad", "good", "mel").details["fad_infinity"] is not None  # type: ignore[union-attr]


def test_ceiling_and_floor_stand_beside_the_model(built: Built) -> None:
    report = built.report
    figure, ceiling = report.figure("text_alignment", "good"), report.figure("text_alignment", "through the codec")
    assert figure is not None and ceiling is not None and figure.floor is not None
    assert figure.ceiling == ceiling.result
    other = report.figure("text_alignment", "bad")
    assert other is not None and other.ceiling is None and other.floor is not None


def test_systems_are_ranked_as_they_were_made(built: Built) -> None:
    report = built.report
    for name in ("fad", "kad", "text_alignment", "tempo", "kl"):
        good, bad = report.figure(name, "good"), report.figure(name, "bad")
        assert good is not None and bad is not None
        assert ((good.result.value or 0) < (bad.result.value or 0)) == (good.better == "lower"), name
    assert {test.verdict for test in report.tests if test.metric == "fad"} == {"good is better"}


def test_systems_say_what_they_are(built: Built) -> None:
    good, _, truth, ceiling = built.report.systems
    assert (good.kind, good.clips, good.pieces, good.seconds, good.sample_rates) == ("model", 9, 9, 90.0, (32000,))
    assert good.made_with == {"seeds": "0 to 8, in items.csv"} and good.refused[0].reason == "silent"
    assert ceiling.ceiling_of == ("good",) and truth.ids != good.ids
    assert built.report.reference is not None and built.report.reference.clips == 30
    assert built.report.versions["cadenza"] and built.report.hardware["cores"]
    assert built.report.config.title == "T & U"


def test_the_same_again_byte_for_byte(sounds: Path, folder: Path, tmp_path: Path) -> None:
    write_report(make(sounds), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["index.html", "items.csv", "report.json", "summary.md"]
    assert all((tmp_path / name).read_bytes() == (folder / name).read_bytes() for name in names)


def test_json_is_the_report(built: Built, folder: Path) -> None:
    text = (folder / "report.json").read_text()
    assert Report.model_validate_json(text) == built.report
    assert "NaN" not in text and "Infinity" not in text


def test_summary_is_a_table(folder: Path) -> None:
    lines = (folder / "summary.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert rows[0] == "| figure | good | bad | true music | through the codec |"
    fad = next(line for line in rows if line.startswith("| Fréchet distance (FAD) ↓ (mel) |"))
    assert fad.count(" | ") == 4 and "∞" in fad and "; 9 |" in fad and "- mind the gap" in lines
    assert any("good is better" in line for line in rows)


def test_table_has_a_row_per_clip(folder: Path) -> None:
    rows = list(csv.DictReader((folder / "items.csv").read_text().splitlines()))
    assert len(rows) == 4 * 9
    assert rows[0]["text"] == EVIL and rows[0]["system"] == "good" and float(rows[0]["text_alignment (mel)"]) > 0.99
    assert table([{"a": 1, "b": None}, {"c": "x,y"}]) == 'a,b,c\n1,,\n,,"x,y"\n'


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.targets: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.tags.append(tag)
        self.sources += [value for name in ("src", "href") if (value := known.get(name))]
        self.names += [value for name in ("id",) if (value := known.get(name))]
        if tag not in ("meta", "link", "img", "line", "circle", "path"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "index.html").read_text()


def test_page_is_whole_and_needs_nothing(html: str) -> None:
    page = _Page()
    page.feed(html)
    assert not page.open and "script" not in page.tags and page.tags.count("h1") == 1
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert all(source[1:] in page.names for source in page.sources if source.startswith("#"))
    assert page.tags.count("audio") == page.tags.count("img") == 3  # best, median, worst of the one with sounds
    assert "url(" not in html and "@import" not in html


def test_page_says_everything(html: str) -> None:
    for words in (
        "T &amp; U", "mind the gap", "FAD-infinity", "nobody picked", "MusicGen small (300M)", "codec.json", "7.5",
        "silent", "good is better", "ab" * 32, "prefers-color-scheme: dark", "@media print", '<html lang="en">',
    ):  # fmt: skip
        assert words in html, words
    assert "<script" not in html and "&lt;script&gt;" in html


def test_pictures_show_figures_chance_and_clips(html: str, built: Built) -> None:
    pictures = html[html.index('<section id="pictures">') : html.index('<section id="systems">')]
    count = len(built.report.rows(METRICS))
    assert pictures.count("<svg") == pictures.count("<title>") == pictures.count("<desc>") >= count
    assert "good, other captions: " in pictures and pictures.count('class="median"') == 2 * 4
    assert "at infinity" in pictures


def test_rows_of_true_music_alone_are_left_out(built: Built) -> None:
    report = built.report
    figure = report.figures[0].model_copy(update={"metric": "chroma", "system": "true music"})
    more = report.model_copy(update={"figures": (*report.figures, figure)})
    assert more.rows(["chroma", "fad"]) == [("fad", "mel")] and groups_of(more) == groups_of(report)


def test_published_figures_can_be_left_out_and_are_never_mixed_in(html: str) -> None:
    figures = html[html.index('<section id="figures">') : html.index('<section id="pictures">')]
    assert "MusicGen" not in figures and "4.88" not in figures


def test_sounds_in_a_folder(built: Built, tmp_path: Path) -> None:
    config = built.report.config.model_copy(update={"sound": "folder"})
    write_report(replace(built, report=built.report.model_copy(update={"config": config})), tmp_path)
    named = re.findall(r'<audio[^>]* src="([^"]+)"', (tmp_path / "index.html").read_text())
    assert named == ["samples/01-best.opus", "samples/02-median.opus", "samples/03-worst.opus"]
    assert all((tmp_path / name).read_bytes().startswith(b"OggS") for name in named)


def test_clips_are_chosen_by_the_rule(built: Built) -> None:
    report = built.report
    ranks = [sample.rank for sample in report.samples]
    assert ranks == ["best", "median", "worst"]
    scores = [sample.score for sample in report.samples if sample.score is not None]
    assert scores == sorted(scores, reverse=True) and report.samples[0].ranked_by == "text alignment"
    assert "the 1 best" in report.rule


def test_groups_keep_their_order(built: Built) -> None:
    groups = groups_of(built.report)
    assert list(groups)[:2] == ["Near true music", "As the words say"] and groups["Near true music"][0] == "fad"


def test_mixed_rates_and_lengths_are_told() -> None:
    one = measured_set("one", 6)
    clips = [
        replace(clip, heard=replace(clip.heard, sample_rate=44100, duration_seconds=30.0)) for clip in one.clips[:2]
    ]
    mixed: Measurements = replace(one, clips=(*clips, *one.clips[2:]))
    config = ReportConfig(systems=(SystemConfig(name="one", audio="a"),), samples=0, reference=None)
    (record,) = build([System(mixed, "audio", "a")], None, config).report.systems
    assert record.sample_rates == (32000, 44100)
    assert any("sample rates differ: 32000, 44100 Hz" in n for n in record.notes)
    assert any("lengths differ: 10.0 to 30.0 s" in note for note in record.notes)


def test_sets_of_different_sizes_are_told(built: Built) -> None:
    assert unequal(built.report.figures) == []
    figure = built.report.figure("fad", "good")
    assert figure is not None
    more = figure.model_copy(update={"details": {**figure.details, "windows": 100.0}})
    assert "72 to 100 windows" in unequal([*built.report.figures, more])[0]


def test_findings_are_read_whole_or_from_the_last_line(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"x": 1}, indent=1))
    (tmp_path / "b.txt").write_text('some lines\n{"x": 1}\n')
    assert read_finding(tmp_path / "a.json") == {"file": "a.json", "x": 1}
    assert read_finding(tmp_path / "b.txt") == {"file": "b.txt", "x": 1}
    (tmp_path / "c.txt").write_text("no json")
    for name, message in (("c.txt", "no JSON object"), ("none", "cannot be read")):
        with pytest.raises(UserError, match=message):
            read_finding(tmp_path / name)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.31449, 2, "0.31"), (-0.0001, 2, "0.00"), (-0.5, 1, "-0.5"), (0.00123456, -3, "0.00123"), (123.0, -3, "123"),
     (4.0, -3, "4.00"), (0.0, -3, "0.00")],
)  # fmt: skip
def test_numbers_for_people(value: float, digits: int, text: str) -> None:
    assert shown(value, digits) == text


def test_ranges_for_people() -> None:
    assert Range(value=0.5, low=0.4, high=0.61).text(1) == "0.5 (0.4 to 0.6)"
    assert (Range(value=0.5).text(1), Range().text()) == ("0.5", "–")
