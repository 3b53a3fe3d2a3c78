"""References in an audiocraft configuration: followed when asked for, never executed."""

from typing import Any

import pytest

from cadenza.convert.settings import Settings
from cadenza.errors import CheckpointError

TEXT = """
sample_rate: 32000
channels: 1
user: ${oc.env:USER}
dora:
  dir: /checkpoint/${oc.env:USER}/x
encodec:
  sample_rate: ${sample_rate}
  channels: ${channels}
  hop: ${seanet.ratios[0]}
seanet:
  channels: ${encodec.channels}
  ratios: [8, 5, 4, 4]
  lr: 1e-05
  flag: false
  nothing: null
  decoder:
    width: ${..channels}
    twice: ${.width}
transformer_lm: ${lm.small}
lm:
  small: {dim: 8, card: "${lm.size}"}
  size: 2048
name: model-${lm.size}-${channels}
scale: small
chosen: ${lm.${scale}.dim}
escaped: \\${not.a.reference}
unset: ???
loop: ${pool}
pool: ${loop}
lost: ${no.such.key}
run: ${python:__import__('os').getcwd()}
"""


@pytest.fixture
def settings() -> Settings:
    return Settings.parse(TEXT, "file.bin")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("encodec", {"sample_rate": 32000, "channels": 1, "hop": 8}),
        ("seanet.channels", 1),
        ("seanet.lr", 1e-5),
        ("seanet.flag", False),
        ("seanet.nothing", None),
        ("seanet.decoder", {"width": 1, "twice": 1}),
        ("seanet.ratios", [8, 5, 4, 4]),
        ("seanet.ratios.1", 5),
        ("transformer_lm.card", 2048),
        ("transformer_lm", {"dim": 8, "card": 2048}),
        ("name", "model-2048-1"),
        ("chosen", 8),
        ("escaped", "${not.a.reference}"),
        ("dora", {"dir": "/checkpoint/${oc.env:USER}/x"}),
    ],
)
def test_references_are_followed(settings: Settings, path: str, value: Any) -> None:
    assert settings[path] == value
    assert type(settings[path]) is type(value)


def test_what_is_not_asked_for_may_be_unresolvable(settings: Settings) -> None:
    assert settings["seanet.decoder.twice"] == 1
    assert settings.get("nowhere", 5) == 5
    assert settings.get("channels.deeper") is None
    assert "lm.size" in settings
    assert "unset" not in settings


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("user", "user depends on .*oc.env:USER.*not looked up"),
        ("dora.dir", "dora.dir depends on .*oc.env:USER"),
        ("run", "run depends on .*python:"),
        ("loop", "refers to itself"),
        ("lost", "refers to no.such.key, which is not there"),
        ("unset", "no unset"),
        ("absent.key", "no absent.key"),
    ],
)
def test_the_rest_is_one_clear_line(
    settings: Settings, path: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER", "secret")
    with pytest.raises(CheckpointError, match=message) as caught:
        settings[path]
    assert "file.bin" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['true']",
        "a: &x [1, 1]\nb: [*x, *x]",
        "- a list",
        "{",
        "a: " + "[" * 5000,
        "a" * 3_000_000,
        None,
        {"a": 1},
    ],
)
def test_other_yaml_is_refused(text: Any) -> None:
    with pytest.raises(CheckpointError, match=r"file\.bin: its xp\.cfg"):
        Settings.parse(text, "file.bin")
