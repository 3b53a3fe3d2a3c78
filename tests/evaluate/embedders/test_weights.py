"""Where weights are looked for, how they are fetched, and what is said where they cannot be had."""

import http.client
import io
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cadenza.errors import CheckpointError, UserError
from cadenza.evaluate.embedders.weights import Published, Repository, read_state, state_hash

HERE = Published("tiny", "tiny.pth", "https://weights.invalid/tiny.pth", 1, "MIT", "a paper")


class Answer(io.BytesIO):
    def __init__(self, content: bytes, announced: int) -> None:
        super().__init__(content)
        self.headers = {"Content-Length": str(announced)}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def answer_with(monkeypatch: pytest.MonkeyPatch, content: bytes, announced: int | None = None) -> list[str]:
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> Answer:
        assert timeout > 0
        asked.append(url)
        return Answer(content, len(content) if announced is None else announced)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_a_file_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, seen = answer_with(monkeypatch, b"x" * 3_000_000), []
    assert not HERE.is_there
    found = HERE.find(on_progress=lambda done, total: seen.append((done, total)))
    assert found == tmp_path / "cache" / "embedders" / "tiny.pth"
    assert found.read_bytes() == b"x" * 3_000_000
    assert seen[-1] == (3_000_000, 3_000_000)
    assert len(seen) == 3
    assert HERE.find() == found
    assert asked == ["https://weights.invalid/tiny.pth"]


def test_a_file_at_hand_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, b"")
    (tmp_path / "own.pth").write_bytes(b"1")
    assert HERE.find(tmp_path / "own.pth") == tmp_path / "own.pth"
    assert not asked


@pytest.mark.parametrize("announced", [8_000_000, 0])
def test_half_a_file_is_none(announced: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a page in place of the file: what is in the cache is never fetched again."""
    answer_with(monkeypatch, b"half", announced=announced)
    with pytest.raises(UserError, match=r"tiny \(1 MB\) cannot be fetched \(.*only 4 of [89]00000"):
        HERE.find()
    assert not HERE.is_there
    assert not list(HERE.place.parent.iterdir())


def test_a_connection_that_breaks_off_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Answer):
        def read(self, size: int | None = -1) -> bytes:
            raise http.client.IncompleteRead(b"half", 4)

    monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: Broken(b"", 8))
    with pytest.raises(UserError, match=r"cannot be fetched \(IncompleteRead"):
        HERE.find()
    assert not HERE.is_there


def test_without_a_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, timeout: float) -> Any:
        raise urllib.error.URLError(OSError("no route to host"))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(UserError) as caught:
        HERE.find()
    message = str(caught.value)
    for part in ("(no route to host)", HERE.url, str(HERE.place), "tiny:PATH"):
        assert part in message
    assert "\n" not in message
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids it"):
        HERE.find()


def test_a_repository_is_looked_for_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def absent(repository: str, file: str) -> str:
        raise OSError(f"the Hub is out of reach\nfor {file}")

    def unreachable(url: str) -> None:
        asked.append(url)
        raise OSError("Name or service not known")

    asked: list[str] = []
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", asked.append)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", absent)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: None)
    model = Repository("tiny", "someone/tiny", ("config.json", "model.safetensors"), "MIT", "a paper")
    assert not model.is_there
    with pytest.raises(UserError, match=r"out of reach\): download config.json, model.safetensors from https://hugg"):
        model.find()
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    with pytest.raises(UserError, match=r"\(Name or service not known\): download config.json"):  # and not after 25 s
        model.find()
    assert asked == ["https://huggingface.co/someone/tiny/resolve/main/config.json"] * 2
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: str(tmp_path / file))
    assert model.is_there
    assert model.find() == tmp_path
    with pytest.raises(UserError, match=r"no weights of tiny at nowhere: give a folder with config.json"):
        model.find("nowhere")


def test_states_of_every_form_are_read_alike(tmp_path: Path) -> None:
    state = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1])}
    torch.save(state, tmp_path / "new.pth")
    torch.save({"model": state, "epoch": 3}, tmp_path / "nested.pth")
    torch.save({name: value.half() for name, value in state.items() if name == "a"}, tmp_path / "half.pth")
    save_file(state, tmp_path / "s.safetensors")
    for file in ("new.pth", "nested.pth", "s.safetensors"):
        found = read_state(tmp_path / file)
        assert torch.equal(found["a"], state["a"])
        assert torch.equal(found["b"], state["b"])
    assert read_state(tmp_path / "half.pth")["a"].dtype == torch.float32


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"a": Published}, tmp_path / "hostile.pth")
    torch.save({"a": torch.ones(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    old = (tmp_path / "old.pth").read_bytes()
    random = np.random.default_rng(0)
    for number in range(40):  # the reader's own errors are of many classes: IndexError, struct.error, AssertionError
        noise = random.bytes(number)
        (tmp_path / f"noise{number}.pth").write_bytes(noise)
        (tmp_path / f"cut{number}.pth").write_bytes(old[: len(old) * number // 40])
    noisy = [(file.name, "damaged") for file in tmp_path.glob("[nc][ou][it]*[0-9].pth")]
    assert len(noisy) == 80
    for file, words in (
        ("text.pth", "damaged"), ("list.pth", "no named tensors"), ("hostile.pth", "damaged"), *noisy
    ):  # fmt: skip
        with pytest.raises(CheckpointError, match=words) as caught:
            read_state(tmp_path / file)
        assert "\n" not in str(caught.value)


def test_a_hash_of_tensors_sees_names_shapes_and_values() -> None:
    a = torch.arange(6.0)
    known = {state_hash(state) for state in (
        {"a": a}, {"b": a}, {"a": a.view(2, 3)}, {"a": a + 1}, {"a": a.double()}, {"a": a, "b": a}, {}
    )}  # fmt: skip
    assert len(known) == 7
    assert state_hash({"a": a, "b": a + 1}) == state_hash({"b": a + 1, "a": a})
    assert state_hash({"a": torch.tensor(1.0)}) != state_hash({"a": torch.tensor([1.0])})
