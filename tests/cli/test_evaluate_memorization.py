"""`cadenza evaluate memorization`: the engine plays on, the last line is JSON, a run goes on, mistakes are one line."""

import json
from pathlib import Path

import pytest
import torch

from cadenza.cli.evaluate_memorization import player_of
from cadenza.codec.encodec import EnCodec
from cadenza.data.coding import TokenConfig
from cadenza.data.manifest import Entry
from cadenza.data.writing import write_tokens
from cadenza.evaluate import continuations
from cadenza.testing import tiny_musicgen
from data.recordings import save, tune


@pytest.fixture(scope="module")
def tokens(model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training tracks and one for validation, by the model's own codec."""
    folder = tmp_path_factory.mktemp("tokens")
    entries = []
    for i in range(4):
        path = save(tune(i, 1.0), folder / "audio" / f"{i}.wav")
        split = "valid" if i == 3 else "train"
        entries.append(Entry(path=str(path), duration=1.0, sample_rate=16000, id=str(i), split=split, captions=("a",)))
    codec = EnCodec.from_pretrained(Path(model) / "codec")
    write_tokens(codec, entries, folder / "tokens", TokenConfig())
    return folder / "tokens"


def test_figures_and_going_on(cadenza, model, tokens, monkeypatch):
    arguments = ("evaluate", "memorization", model, tokens, "--prompts", "3", "--seconds", "0.1", "--opening", "0,0.1")
    arguments += ("--batch", "2", "--held-out", "1", "--text", "given", "--device", "cpu")
    whole = cadenza(*arguments)
    assert whole.code == 0, whole.err
    *lines, last = whole.out.splitlines()
    facts = json.loads(last)
    assert facts["complete"]
    assert facts["same_codec"]
    assert [(cell["prompts_of"], cell["opening_seconds"], cell["text"], cell["count"]) for cell in facts["cells"]] == [
        ("train", 0.0, True, 3),
        ("train", 0.1, True, 3),
        ("held-out", 0.0, True, 1),
        ("held-out", 0.1, True, 1),
    ]
    assert lines[0].startswith("train, no opening, with text: of 3, exact ")
    alone = facts["from_the_prompt_alone"]
    assert lines[-1].startswith(f"from the prompt alone, 0.1 s: {alone['matching']} of 3 match a training piece")
    assert 0 <= alone["matching"] <= 3
    # Ctrl-C after one batch: figures of what there is, and the rest the next time.
    playing = continuations.Continuations.add

    def interrupted(*given):
        playing(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(continuations.Continuations, "add", interrupted)
    cut = cadenza(*arguments, "--out", "out", "--json")
    assert cut.code == 130
    assert not json.loads(cut.out)["complete"]
    assert [cell["count"] for cell in json.loads(cut.out)["cells"]] == [2]
    monkeypatch.setattr(continuations.Continuations, "add", playing)
    resumed = json.loads(cadenza(*arguments, "--out", "out", "--json").out)
    assert resumed == facts
    assert json.loads(Path("out/memorization.json").read_text()) == facts


def test_the_player_is_the_models_own_greedy_choice_and_hears_its_captions():
    music = tiny_musicgen()
    play = player_of(music, guidance=1.0, sample=False)
    openings = torch.randint(32, (2, 4, 6), generator=torch.Generator().manual_seed(0))
    together = play(openings, ["slow piano", "drums"], [0, 1], 5)
    assert together.shape == (2, 4, 5)
    assert torch.equal(together, play(openings, ["slow piano", "drums"], [5, 6], 5))  # greedy: no seed matters
    assert torch.equal(together[1:], play(openings[1:], ["drums"], [1], 5))
    drawn = player_of(music, guidance=3.0, sample=True)
    one, other = (drawn(openings[:1], ["drums"], [seed], 5) for seed in (1, 2))
    assert not torch.equal(one, other)
    assert torch.equal(one, drawn(openings[:1], ["drums"], [1], 5))
    assert play(openings[..., :0], ["drums", None], [0, 1], 5).shape == (2, 4, 5)


def test_bad_input(cadenza, model, tokens):
    for arguments, words in (
        ((model, "missing"), "no token cache"),
        ((model, tokens, "--prompts", "0"), "choose 1 to"),
        ((model, tokens, "--text", "some"), "given, none or both"),
        ((model, tokens, "--opening", "0,99"), "at most together"),
        ((model, tokens, "--opening", "0.9", "--seconds", "0.9"), "choose shorter openings"),
        ((model, tokens, "--opening", "0", "--text", "none"), "asks for nothing"),
        ((model, tokens, "--held-out", "-1"), "choose 0 or more"),
    ):
        result = cadenza("evaluate", "memorization", *arguments)
        assert result.code == 2, (arguments, result.err)
        assert words in result.err
