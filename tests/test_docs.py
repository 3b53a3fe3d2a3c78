"""Everything published is executed: code blocks, examples, the README's commands and its map of files.

A tiny model stands in for the one inside (`cadenza.load()`) and for any other by name, so that this takes seconds: it
listens to words, melodies and styles; a tiny Jukebox stands in for any other. Blocks of one page share one process, as
a reader would type them.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import cadenza
from filemap import ROOT, replace

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

STAND_IN = """
import pathlib, sys
import cadenza.loading
from cadenza.testing import noise, tiny_jukebox, tiny_musicgen
from cadenza.pipelines.musicgen import MusicGen
MODEL = pathlib.Path("tiny-model")
if not MODEL.exists():
    tiny_musicgen(melody=True, style=True, plan=True).save_pretrained(MODEL)
cadenza.loading.find_model = lambda name=None: MODEL
def find_jukebox(name=None):
    folder = pathlib.Path("tiny-jukebox")
    if not folder.exists():
        tiny_jukebox().save_pretrained(folder)
    return folder
cadenza.loading.find_jukebox = cadenza.loading.embedded_jukebox = find_jukebox
"""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def execute(code: str, folder: Path) -> str:
    """Run code with the stand-in model, in a process without the tests' type checks (they cost ten times the work)."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STAND_IN + code],
        cwd=folder,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_blocks(page, tmp_path):
    execute("\n".join(blocks(page, "python")), tmp_path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples(example, tmp_path):
    assert execute(f"import runpy\nrunpy.run_path({str(example)!r}, run_name='__main__')", tmp_path)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "bash")], ids=lambda page: page.name)
def test_shell_blocks(page, tmp_path):
    """Commands of cadenza run as written; those of make name targets that exist."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = [line for block in blocks(page, "bash") for line in block.splitlines() if line and line[0] != "#"]
    runs = []
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "make":
            assert arguments[0] in targets, command
        elif Path(program).name == "cadenza":
            runs.append(arguments)
        else:
            pytest.fail(f"a command that is not checked: {command}")
    if runs:
        execute(
            f"from cadenza.cli import run\nfor arguments in {runs!r}:\n    assert run(arguments) == 0, arguments",
            tmp_path,
        )


def test_the_map_of_files_is_true():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == replace(readme), "the map of files in README.md is out of date: make map"


def test_links_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_versions_agree():
    assert f"version: {cadenza.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {cadenza.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_make_lists_its_targets():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert {"play", "setup", "check", "test", "test-all", "bench"} <= listed
