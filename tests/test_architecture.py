"""The house rules that a machine can check, besides ruff, mypy and import-linter."""

import ast
import re
from pathlib import Path

import pytest

from filemap import ROOT

PACKAGE = ROOT / "src" / "cadenza"
CODE = sorted(
    path for folder in ("src", "tests", "recipes", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
)
CEILING = 600  # lines


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", CODE, ids=name)
def test_one_idea_per_file(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= CEILING, "split it: one idea per file"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name)
def test_modules_say_what_they_are(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module begins with what flows in and what flows out"
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}, "name it after its idea"
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text), "do it, or leave it out"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name)
def test_arguments_are_named(path):
    """No `**kwargs` passed down: a reader must see what can be given."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.args.kwarg is not None and node.name != "__init__":
            assert node.args.kwarg.arg != "kwargs", f"{node.name} takes **kwargs"


def test_heavy_packages_are_extras():
    """The core is what a first sound needs; the list is part of the design."""
    import tomllib

    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[<>=!\[ ]", requirement)[0] for requirement in core}
    assert names == {
        "torch", "numpy", "safetensors", "pydantic", "typer", "rich", "soundfile", "soxr", "huggingface_hub",
        "tokenizers", "jaxtyping", "pyyaml",
    }  # fmt: skip


def test_the_tested_torch_is_in_the_range():
    assert "torch==2.13.0\n" in (ROOT / "constraints.txt").read_text()


def test_no_large_files_but_the_model():
    for path in ROOT.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        if hidden or not path.is_file() or path.is_relative_to(PACKAGE / "assets"):
            continue
        if path.relative_to(ROOT).parts[0] in ("runs", "build", "dist") or path.name == "first.wav":
            continue
        assert path.stat().st_size < 5_000_000, f"{name(path)} is too large for a repository"
    limits = {"embedded": 64e6, "evaluator": 8e6, "jukebox": 20e6}  # the model inside, what judges it, a small Jukebox
    for folder in (PACKAGE / "assets").iterdir():
        assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= limits[folder.name]
