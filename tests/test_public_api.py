"""The public names are exactly these: adding or removing one is a decision."""

import inspect

import pytest

import cadenza
from cadenza.errors import CadenzaError, UserError

PUBLIC = [
    "Audio",
    "CadenzaError",
    "CheckpointError",
    "GenerationConfig",
    "Jukebox",
    "Melody",
    "MusicGen",
    "Plan",
    "Style",
    "UserError",
    "__version__",
    "load",
    "load_diffusion",
]


def test_names():
    assert sorted(cadenza.__all__) == PUBLIC == dir(cadenza)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_resolves(name):
    value = getattr(cadenza, name)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__doc__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="'cadenza' has no attribute 'utils'"):
        _ = cadenza.utils


def test_errors_are_what_people_catch():
    assert issubclass(UserError, ValueError)
    assert issubclass(cadenza.CheckpointError, UserError)
    assert issubclass(UserError, CadenzaError)


def test_signatures():
    """Arguments that programs of others name."""

    def names(function: object) -> list[str]:
        return [name for name in inspect.signature(function).parameters if name != "self"]  # type: ignore[arg-type]

    assert names(cadenza.load) == ["name", "device", "precision"]
    shared = [
        "prompt",
        "melody",
        "style",
        "plan",
        "conditions",
        "adapters",
        "config",
        "top_k",
        "top_p",
        "temperature",
        "guidance",
        "greedy",
        "progress",
        "should_stop",
    ]
    assert names(cadenza.MusicGen.generate) == ["text", "duration", "seed", *shared]
    assert names(cadenza.MusicGen.stream) == ["text", "duration", "seed", *shared]
    assert names(cadenza.Audio.read) == ["path", "start_seconds", "duration_seconds"]
    assert names(cadenza.Audio.write) == ["path", "loudness_lufs"]


def test_defaults_are_musicgens():
    config = cadenza.GenerationConfig()
    assert (config.top_k, config.top_p, config.temperature, config.guidance) == (250, 0.0, 1.0, 3.0)
