"""The chain that rebuilds the model inside: every stage finds what it takes, and every setting is a recipe's."""

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

import embedded
from cadenza.errors import UserError
from cadenza.train.run import read_recipe
from embedded import Chain, Start
from embedded_targets import CPU, GPU, Phase, Target, small
from filemap import ROOT
from pieces import join
from stages import Stage

TARGETS = {"cpu": CPU, "gpu": GPU, "small": small(CPU), "small gpu": small(GPU)}


def _weights(folder: Path, *parts: str, **said: object) -> Start:
    for part in parts:
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text("{}")
    if said:
        (folder / "stage.json").write_text(json.dumps(said))
    return Start.read(str(folder))


def _names(stages: list[Stage]) -> list[str]:
    return [stage.name for stage in stages]


@pytest.fixture(params=TARGETS.values(), ids=TARGETS)
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.param
    return found


def test_every_stage_takes_what_an_earlier_one_makes(target: Target) -> None:
    known: dict[str, set[str]] = {}
    outputs: dict[str, str] = {}
    for stage in Chain(target).stages():
        known[stage.name] = {stage.name, *stage.after}.union(*(known[name] for name in stage.after))
        outputs[stage.name] = Path(stage.makes).parts[0]
        taken = {name for word in stage.command for name in re.findall(r"\{out\}/([\w.-]+)", word)}
        own = {"listen", "judge.yaml", "facts.json"}  # a working folder; files that are written for the stage
        assert taken - own <= {outputs[name] for name in known[stage.name]}
    assert "candidate" in known


def test_every_setting_is_a_field_of_its_recipe(target: Target) -> None:
    for stage in Chain(target).stages():
        words = [*stage.command, *stage.extra]
        if "train" not in words:
            continue
        recipe = words[words.index("train") + 1].replace("{recipes}", str(ROOT / "recipes"))
        settings = [after for word, after in pairwise(words) if word == "--set"]
        config = read_recipe(recipe, settings)
        assert stage.makes.endswith(f"step_{config.steps:08d}")
        assert config.device == target.machine["device"]


def test_only_the_decoder_learns_after_the_codes_are_modelled() -> None:
    for phase in (*CPU.decoder, *GPU.decoder):
        config = read_recipe(ROOT / "recipes" / phase.recipe)
        assert getattr(config.objective, "decoder_only", None) is True
    stages = _names(Chain(CPU).stages())
    assert stages.index("tokens") < stages.index("lm-words") < stages.index("codec-sharpen")


def test_from_a_whole_model_neither_codec_nor_first_words_are_learnt_again(tmp_path: Path) -> None:
    start = _weights(tmp_path, "codec", "lm", "conditioning/reader")
    stages = Chain(GPU, start).stages()
    assert _names(stages) == [
        "corpus", "heldout", "tokens", "lm-words", "lm-whole", "codec-sharpen", "candidate", "judge", "listen",
    ]  # fmt: skip
    words = {stage.name: stage.command for stage in stages}
    assert f'objective.start_from="{tmp_path}"' in words["lm-words"]
    assert f'objective.start_from="{tmp_path}/codec"' in words["codec-sharpen"]
    assert words["tokens"][-5] == f"{tmp_path}/codec"
    assert 'objective.start_from="{out}/lm-words/snapshots/best/model"' in words["lm-whole"]


def test_exported_weights_know_what_is_left(tmp_path: Path) -> None:
    phases = (Phase("one", "r", {"steps": 10}, fresh=True), Phase("two", "r", {"steps": 20}))
    assert Start(tmp_path).left(phases) == phases[1:]
    assert [(p.name, p.steps) for p in Start(tmp_path, "one", 4).left(phases)] == [("one", 6), ("two", 20)]
    assert [(p.name, p.steps) for p in Start(tmp_path, "two", 15).left(phases)] == [("two", 5)]
    assert Start(tmp_path, "two", 20).left(phases) == ()


def test_weights_of_a_decoder_have_the_language_model_behind_them(tmp_path: Path) -> None:
    start = _weights(tmp_path, "codec", "lm", stage="codec-sharpen", step=400)
    chain = Chain(CPU, start)
    assert chain.lm_phases == ()
    assert [(phase.name, phase.steps) for phase in chain.decoder_phases] == [("codec-sharpen", 600)]
    ship = next(stage for stage in chain.stages() if stage.name == "candidate")
    assert ship.command[1] == str(tmp_path)


def test_weights_of_a_codec_alone(tmp_path: Path) -> None:
    start = _weights(tmp_path, "codec", stage="codec-together", step=300)
    chain = Chain(CPU, start)
    assert [(phase.name, phase.steps) for phase in chain.codec_phases] == [("codec-together", 4000)]
    assert chain.lm_phases == CPU.lm
    with pytest.raises(UserError, match="holds no codec: name 'shipped'"):
        Start.read(str(tmp_path / "lm"))


def test_the_shipped_model_is_a_start() -> None:
    assert Start.read("shipped").has("lm")


def test_it_is_judged_beside_the_shipped_one(tmp_path: Path) -> None:
    judge = next(stage for stage in Chain(TARGETS["small gpu"]).stages() if stage.name == "judge")
    assert judge.prepare is not None
    judge.prepare(tmp_path)
    config = yaml.safe_load((tmp_path / "judge.yaml").read_text())
    assert [system["model"] for system in config["systems"]] == ["candidate", "embedded"]
    assert config["sampling"]["device"] == "cuda"
    assert config["max_prompts"] == 2


def test_the_list_begins_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embedded.main(["--list", "--out", str(tmp_path / "run"), "--until", "reader"])
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[:-1]] == [
        ["left", name] for name in ("corpus", "heldout", "captions", "reader")
    ]
    assert not (tmp_path / "run").exists()
    with pytest.raises(SystemExit, match="error: no stage 'song'"):
        embedded.main(["--from", "song"])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="nothing renders here")
def test_the_whole_chain_small(tmp_path: Path) -> None:
    """Music, reader, codec, codes, model; its weights brought away in pieces, and gone on from."""
    run, back = ["--small", "--out", str(tmp_path / "run")], tmp_path / "back"
    embedded.main([*run, "--until", "lm-words", "--export", str(tmp_path / "pieces"), "--mib", "16"])
    assert all(path.stat().st_size <= 16 * 2**20 for path in (tmp_path / "pieces").iterdir())
    join(tmp_path / "pieces", back)
    assert json.loads((back / "stage.json").read_text()) == {"stage": "lm-words", "step": 2}
    again = ["--small", "--out", str(tmp_path / "again"), "--start-from", str(back)]
    embedded.main([*again, "--until", "candidate"])
    assert (tmp_path / "again" / "candidate" / "README.md").is_file()
