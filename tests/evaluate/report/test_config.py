"""The configuration of a report: read, checked, and errors that name field, value and remedy."""

from pathlib import Path

import pytest

from cadenza.errors import UserError
from cadenza.evaluate.report.config import (
    ReportConfig,
    SamplingConfig,
    SystemConfig,
    check_report_config,
    read_report_config,
)


def test_without_a_file_the_embedded_model_is_judged() -> None:
    config = read_report_config(None)
    assert [system.model for system in config.systems] == ["embedded"]
    assert (config.prompts, config.reference, config.embedders) == ("embedded", "embedded", ("mel",))


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "title: T\nsystems:\n  - {name: x, audio: clips}\n"),
     ("a.json", '{"title": "T", "systems": [{"name": "x", "audio": "clips"}]}')],
)  # fmt: skip
def test_yaml_and_json_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_report_config(tmp_path / name) == ReportConfig(
        title="T", systems=(SystemConfig(name="x", audio="clips"),)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour: red", "colour: there is no such field; use one of ceiling_clips"),
        ("seed: red", "seed = 'red': .*integer"),
        ("systems: [{name: x}]", "systems.0: give one of model, audio and measured, not none"),
        ("systems: [{name: x, model: m, audio: a}]", "not model and audio"),
        ("systems: [{name: x, modell: m}]", "systems.0.modell: there is no such field; use one of audio, codec"),
        ("systems: [{name: x, model: m}, {name: x, model: n}]", "two systems are called 'x'"),
        ("sampling: {seeds: [1, 1]}", "must differ"),
        ("sampling: {duration: 3}", "sampling.duration: there is no such field; use one of device, duration_seconds"),
        ("prompts: null", "a model needs prompts"),
        ("loudness_lufs: 3", "loudness_lufs = 3: "),
        ("- a list", "holds a list"),
        ("a: [", "is not readable YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "report.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        read_report_config(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: cannot be read"):
        read_report_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("kind", [ReportConfig, SystemConfig, SamplingConfig])
def test_every_field_is_described(kind: type[ReportConfig]) -> None:
    assert all(field.description for field in kind.model_fields.values())


def test_a_systems_own_sampling_takes_over_the_rest() -> None:
    value = {"systems": [{"name": "a", "model": "m", "sampling": {"guidance": 1}}, {"name": "b", "model": "m"}],
             "sampling": {"duration_seconds": 3, "guidance": 4}}  # fmt: skip
    found = check_report_config(value, "x")
    own = found.systems[0].sampling
    assert own is not None and (own.guidance, own.duration_seconds) == (1, 3) and found.systems[1].sampling is None
    assert check_report_config(found.model_dump(mode="json"), "x") == found  # as a report that goes on is compared


@pytest.mark.parametrize(
    ("system", "message"),
    [({"audio": "a"}, "only a model is sampled"), ({"model": "m", "sampling": {"guidence": 1}}, "use one of device")],
)
def test_sampling_that_cannot_be(system: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_report_config({"systems": [{"name": "a", "sampling": {"guidance": 1}} | system]}, "x")
