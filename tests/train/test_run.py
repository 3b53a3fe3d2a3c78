"""Recipes, overrides and the command."""

import json
from pathlib import Path

import pytest

from cadenza.cli import run
from cadenza.errors import UserError
from cadenza.train.config import TrainConfig
from cadenza.train.run import build, override, read_recipe, recipe_name
from cadenza.train.schedule import ConstantSchedule
from train.tiny import codec_run, lm_run, write_audio

# Beside the recipes lies what ships their results.
RECIPES = [
    path
    for path in sorted((Path(__file__).parents[2] / "recipes").glob("*.py"))
    if "\ndef config()" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_gives_a_configuration_that_survives_json(path: Path):
    config = read_recipe(path)
    assert TrainConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json")))) == config


def test_the_published_recipes_are_found():
    assert {"embedded_codec", "embedded_lm", "ncnu_musicgen_1", "ncnu_musicgen_2"} <= {path.stem for path in RECIPES}


def test_a_recipe_that_is_no_python_is_one_line(tmp_path: Path):
    path = tmp_path / "broken.py"
    path.write_text("def config(: pass")
    with pytest.raises(UserError, match=r"broken.py is not Python \(line 1: .*\): put it right"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import nowhere", r"fails with ModuleNotFoundError: No module named 'nowhere' \(line 1\): put it right"),
        ("def config():\n    return 1 / 0", r"fails with ZeroDivisionError: division by zero \(line 2\)"),
        (
            "from cadenza.train.config import TrainConfig\ndef config():\n    return TrainConfig(data='d', steps=0)",
            r"recipe.py: objective: Field required \(got {",
        ),
    ],
)
def test_a_recipe_that_fails_is_one_line(body: str, message: str, tmp_path: Path):
    path = tmp_path / "recipe.py"
    path.write_text(body)
    with pytest.raises(UserError, match=message) as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)


def test_overrides_replace_fields_by_dotted_name(tmp_path: Path):
    config = override(codec_run(tmp_path), ["steps=7", "objective.codec.latent_dim=4", "objective.discriminator=null"])
    assert (config.steps, config.objective.codec.latent_dim, config.objective.discriminator) == (7, 4, None)
    assert override(codec_run(tmp_path), ["objective.learning_rate=2e-3"]).objective.learning_rate == 2e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz=7", "cannot set 'stepz=7'"),
        ("steps", "cannot set"),
        ("steps=-1", "steps: .*greater than 0"),
        ("a.b=1", "cannot"),
        ("steps=[1", "is no value of YAML"),
    ],
)
def test_wrong_overrides_are_explained(text: str, message: str, tmp_path: Path):
    with pytest.raises(UserError, match=message):
        override(codec_run(tmp_path), [text])


def test_a_file_may_hold_several_recipes(tmp_path: Path):
    path = tmp_path / "two.py"
    path.write_text(
        "from cadenza.train.config import TrainConfig\n"
        "from cadenza.train.objectives.codec import CodecObjectiveConfig\n"
        "def small(n=3): return TrainConfig(data='d', objective=CodecObjectiveConfig(), steps=n, batch_size=1)\n"
        "def large(): return small(5)\n"
    )
    assert [read_recipe(f"{path}:{name}").steps for name in ("small", "large")] == [3, 5]
    assert [recipe_name(text) for text in (f"{path}:large", str(path))] == ["two_large", "two"]
    with pytest.raises(UserError, match=r"two.py is not a recipe: it must define config\(\)"):
        read_recipe(path)


def test_what_is_no_recipe_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no recipe"):
        read_recipe(tmp_path / "absent.py")
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="is not a recipe"):
        read_recipe(tmp_path / "empty.py")


def test_the_command_trains_resumes_and_reports_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = codec_run(write_audio(tmp_path / "audio")).model_dump_json()
    recipe = tmp_path / "recipe.py"
    lines = [
        "from cadenza.train.config import TrainConfig",
        "def config():",
        f"    return TrainConfig.model_validate_json({config!r})",
    ]
    recipe.write_text("\n".join(lines))
    out = str(tmp_path / "run")
    assert run(["train", str(recipe), "--out", out, "--set", "steps=3"]) == 0
    assert run(["train", str(recipe), "--out", out, "--set", "steps=4"]) == 2
    assert "resume it" in capsys.readouterr().err
    assert run(["train", str(recipe), "--out", out, "--set", "steps=4", "--resume"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == [2, 3, 4]
    changed = ["train", str(recipe), "--out", out, "--resume", "--set", "seed=3", "--set", "objective.weights.mel=1.0"]
    assert run(changed) == 2
    assert "seed was 0 when this run began and is 3 (and 1 more): put it back" in capsys.readouterr().err
    assert run([*changed, "--set", "steps=5", "--allow-changes"]) == 0


def test_codes_of_another_codec_are_refused(tmp_path: Path):
    config = lm_run(tmp_path)
    build(config, tmp_path / "run")
    index = tmp_path / "tokens" / "index.json"
    index.write_text(index.read_text().replace('"hash": "', '"hash": "0'))
    with pytest.raises(UserError, match="codes of another codec"):
        build(config, tmp_path / "run")


def test_data_without_a_training_split_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no entries of split 'train'"):
        build(codec_run(write_audio(tmp_path / "audio", count=1)), tmp_path / "run")


def test_a_codec_is_not_trained_in_half_precision_with_few_exponents(tmp_path: Path):
    with pytest.raises(UserError, match="precision=fp16 loses small gradients of a codec: use bf16 or fp32"):
        build(codec_run(write_audio(tmp_path / "audio"), precision="fp16"), tmp_path / "run")


def test_the_log_names_the_rate_that_an_update_had(tmp_path: Path):
    config = lm_run(tmp_path, steps=2, log_every=1, validate_every=0, schedule=ConstantSchedule(warmup_steps=4))
    trainer = build(config, tmp_path / "run")
    trainer.run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    rates = [row["learning_rate/lm"] for row in rows]
    assert rates == pytest.approx([1e-2 / 4, 1e-2 / 2])
    assert trainer.objective.phases(1)[0].optimizer.param_groups[0]["lr"] == pytest.approx(rates[1])
