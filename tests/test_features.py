"""The tables of features are true: every call runs, every named test is there, and nothing that exists lacks a line.

Lines are read from README.md and docs/features.md; tests are found in their files without importing them. Tiny models
stand in for every model by name: they listen to words, melodies and styles, or to CLAP; or are a Jukebox.
"""

import ast
import functools
import importlib
import inspect
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

import cadenza
from cadenza.audio import Audio
from cadenza.cli import run
from cadenza.conditioning.clap import ClapConditioner, ClapConfig
from cadenza.conditioning.clap_encoder import ClapEncoder
from cadenza.conditioning.fuser import FuserConfig
from cadenza.conditioning.provider import ConditionerConfig, ConditioningConfig, ConditionProvider
from cadenza.convert.formats import FORMATS
from cadenza.convert.official import CODECS, JUKEBOXES, MODELS
from cadenza.lm.generate import GenerationConfig
from cadenza.lm.patterns import PatternConfig
from cadenza.pipelines.musicgen import MusicGen
from cadenza.testing import DIM, tiny_codec, tiny_jukebox, tiny_lm, tiny_musicgen
from filemap import ROOT
from tiny_clap import DIM as CLAP_DIM
from tiny_clap import write_tiny_clap

README, PAGE = ROOT / "README.md", ROOT / "docs" / "features.md"

ELSEWHERE = {  # calls that need files or machines which are not here -> the test that makes the call
    'load_codec("encodec_24khz-d7cc33bc.th")': "tests/convert/test_audiocraft_codec.py::"
    "test_the_original_files_of_encodec_need_no_configuration[1-24000-32]",
    'convert_laion_clap("music_audioset_epoch_15_esc_90.14.pt", "roberta-base", "clap_encoder")': "tests/convert/"
    "test_laion_clap.py::test_it_hears_what_transformers_hears",
    'cadenza.load(device="cuda")': "tests/pipelines/test_gpu.py::test_greedy_is_the_same_as_on_the_cpu",
}


LENGTHS = {  # lines of each section: who takes one away takes a promise back, and says so here
    "Models": 12,
    "Codecs": 6,
    "Conditions": 22,
    "Codebook patterns": 14,
    "Guidance": 5,
    "Generation": 17,
    "Stereo from mono": 2,
    "Files": 10,
    "Words before training": 5,
    "Own tracks": 8,
    "Judging": 15,
    "Decoding by diffusion": 9,
    "Jukebox": 25,
    "The studio": 11,
}

WHOLE = (  # tests over a list of what there is: each of their cases has a line
    "tests/convert/test_official.py::test_files_of_audiocraft",
    "tests/convert/test_official.py::test_files_of_transformers",
    "tests/convert/test_official.py::test_transformers_itself_has_these_tensors",
    "tests/convert/test_official.py::test_a_twin_plays",
    "tests/lm/test_every_pattern.py::test_greedy_choices_are_the_models_best",
    "tests/lm/test_parity.py::test_greedy_generation",
    "tests/parity/test_transformers.py::test_codecs_agree_and_go_back",
    "tests/parity/test_transformers.py::test_musicgen_agrees_and_goes_back",
    "tests/convert/test_audiocraft_codec.py::test_codes_are_those_of_the_reference",
)


class Line(NamedTuple):
    section: str
    what: str
    call: str
    held: tuple[str, ...]
    beside: tuple[str, ...]


def lines(page: Path) -> list[Line]:
    """Rows whose second cell is code and whose third names a test."""
    found, section = [], ""
    for row in page.read_text(encoding="utf-8").splitlines():
        section = row.removeprefix("## ") if row.startswith("## ") else section
        cells = [cell.strip() for cell in row.strip("|").split(" | ")] if row.startswith("| ") else []
        if len(cells) >= 3 and re.fullmatch(r"`[^`]+`", cells[1]) and "::" in cells[2]:
            held, *beside = (tuple(re.findall(r"`([^`]+)`", cell)) for cell in cells[2:])
            found.append(Line(section, cells[0], cells[1].strip("`"), held, *beside or [()]))
    return found


LINES = lines(PAGE)
SHORT = lines(README)
CALLS = list(dict.fromkeys(line.call for line in LINES + SHORT))
TESTS = sorted({test for line in LINES + SHORT for test in line.held + line.beside} | set(ELSEWHERE.values()))


# ---- every test is there ---------------------------------------------------------------------------------------------


class Unreadable(Exception):
    """Parameters that only running the file would tell."""


def _value(node: ast.expr, tree: ast.Module) -> Any:
    """What stands in a decorator: literals (of a dictionary the keys), and names that lead to such."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Dict(keys=items) | ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, tree) for item in items if item is not None]
        case ast.Call(func=ast.Attribute(attr="param"), keywords=[*_, ast.keyword(arg="id", value=name)]):
            return _value(name, tree)
        case ast.Name():
            for statement in tree.body:
                match statement:
                    case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == node.id:
                        return _value(value, tree)
                    case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if name == node.id:
                        return _value(value, tree)
                    case ast.ImportFrom(module=str(module), names=names) if node.id in {one.name for one in names}:
                        return list(getattr(importlib.import_module(module), node.id))
        case ast.Attribute(value=ast.Name(id=alias)):
            for statement in tree.body:
                match statement:
                    case ast.Import(names=[ast.alias(name=module, asname=name)]) if name == alias:
                        return list(getattr(importlib.import_module(module), node.attr))
    raise Unreadable(ast.unparse(node))


def _ids(values: ast.expr, call: ast.Call, tree: ast.Module) -> list[str]:
    for keyword in call.keywords:
        if keyword.arg == "ids":
            values = keyword.value
    return ["-".join(map(str, one)) if isinstance(one, list) else str(one) for one in _value(values, tree)]


def _named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == name


@functools.cache
def _parsed(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def cases(test: str) -> set[str] | None:
    """The names of a test's cases, as pytest calls them: "" if there is one only; None if there is no such test."""
    file, _, name = test.partition("::")
    if not (ROOT / file).is_file():
        return None
    tree = _parsed(file)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if not name.startswith("test_") or name not in functions:
        return None
    sets = []
    for argument in functions[name].args.args:
        fixture = functions.get(argument.arg)
        for call in fixture.decorator_list if fixture else ():
            if isinstance(call, ast.Call) and _named(call, "pytest.fixture"):
                sets += [_ids(one.value, call, tree) for one in call.keywords if one.arg == "params"]
    for call in reversed(functions[name].decorator_list):
        if isinstance(call, ast.Call) and _named(call, "pytest.mark.parametrize"):
            sets.append(_ids(call.args[1], call, tree))
    return {"-".join(choice) for choice in itertools.product(*sets)}


def exists(test: str) -> bool:
    """Whether a node id of pytest leads to a test, its parameters included."""
    name, bracket, parameters = test.partition("[")
    try:
        known = cases(name)
    except Unreadable:
        return not bracket
    return known is not None and (not bracket or parameters.removesuffix("]") in known)


def test_every_named_test_is_there() -> None:
    assert [test for test in TESTS if not exists(test)] == [], "lines that promise what nothing holds"


def test_a_test_that_is_not_there_is_missed() -> None:
    there = "tests/convert/test_official.py::test_a_twin_plays"
    assert exists(there)
    assert exists(f"{there}[musicgen-small]")
    assert not exists(f"{there}[musicgen-tiny]")
    assert not exists(f"{there}_badly")
    assert not exists("tests/convert/test_official.py::play")
    assert not exists("tests/convert/test_unofficial.py::test_a_twin_plays")
    assert exists("tests/lm/test_patterns.py::test_layouts_and_sequences_equal_the_references[flatten-8]")
    assert not exists("tests/lm/test_patterns.py::test_layouts_and_sequences_equal_the_references[flatten-9]")


# ---- every call runs -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the page's own block defines; models by name are tiny, and files go into an empty folder."""
    folder = tmp_path_factory.mktemp("features")
    tiny_musicgen(melody=True, style=True, plan=True).save_pretrained(folder / "whole")
    tiny_musicgen().save_pretrained(folder / "words")
    tiny_jukebox().save_pretrained(folder / "jukebox")

    def find(name: object = None, part: str = "") -> Path:
        return name if isinstance(name, Path) else folder / ("words" if "small" in str(name) else "whole")

    block = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cadenza.loading.find_model", find)
        patch.setattr("cadenza.loading.find_part", find)
        patch.setattr("cadenza.loading.find_jukebox", lambda name: folder / "jukebox")
        patch.setenv("CADENZA_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        defined: dict[str, Any] = {}
        exec(block[1], defined)
        defined["tune"].write("tune.wav")
        yield defined


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> MusicGen:
    words = ClapConfig(dim=CLAP_DIM, codebook_size=64)
    config = ConditioningConfig(dim=DIM, conditioners={"description": words}, fuser=FuserConfig.cross_text())
    provider = ConditionProvider(config)
    listener = provider.conditioner("description")
    assert isinstance(listener, ClapConditioner)
    listener.attach(ClapEncoder.from_pretrained(write_tiny_clap(tmp_path_factory.mktemp("clap"))))
    return MusicGen(tiny_codec(), tiny_lm(), provider)


@pytest.mark.parametrize("call", [call for call in CALLS if call not in ELSEWHERE])
def test_every_call_runs(call: str, names: dict[str, Any], request: pytest.FixtureRequest) -> None:
    if call.startswith("clap."):
        names["clap"] = request.getfixturevalue("clap")
    if call.startswith("cadenza "):
        assert run(shlex.split(call)[1:]) == 0
        return
    try:
        made = eval(call, names)
    except SyntaxError:
        exec(call, names)  # a statement
        return
    assert made is not None
    if isinstance(made, Audio):
        assert made.samples.std() > 0


def test_what_is_called_elsewhere_is_said() -> None:
    for call, test in ELSEWHERE.items():
        assert any(line.call == call and test in line.held + line.beside for line in LINES), call


# ---- nothing lacks a line --------------------------------------------------------------------------------------------


def mentioned(word: str, *, whats: bool = False) -> bool:
    places = [line.call for line in LINES] + [line.what for line in LINES if whats]
    return any(re.search(word, place) for place in places)


def test_every_published_model_has_a_line() -> None:
    for name in MODELS:
        own = name.removeprefix("facebook/")
        line = next(line for line in LINES if line.what.startswith(f"`{own}`"))
        assert line.call == f'cadenza.load("{name}")'
        assert all(test.endswith(f"[{own}]") for test in line.held), name
    for name in CODECS:
        assert any(line.call == f'load_codec("{name}")' for line in LINES), name
    for name in JUKEBOXES:
        assert any(line.call == f'cadenza.load("{name}")' for line in LINES), name


@pytest.mark.parametrize("kind", get_args(get_args(ConditionerConfig)[0]), ids=lambda kind: kind.__name__)
def test_every_kind_of_condition_has_a_line(kind: type) -> None:
    assert mentioned(rf"`{kind.__name__}`", whats=True)


@pytest.mark.parametrize("kind", get_args(get_args(PatternConfig)[0]), ids=lambda kind: kind.__name__)
def test_every_pattern_has_a_line(kind: type) -> None:
    own = [name for name, one in vars(kind).items() if isinstance(one, classmethod) and not name.startswith("_")]
    for maker in ["", *(f".{name}" for name in own)]:
        assert mentioned(rf"pattern={kind.__name__}{re.escape(maker)}\("), f"{kind.__name__}{maker}"


@pytest.mark.parametrize("field", GenerationConfig.model_fields)
def test_every_setting_has_a_line(field: str) -> None:
    assert mentioned(rf"\b{field}=")


def test_every_word_of_generate_and_every_way_to_play_has_a_line() -> None:
    parameters = inspect.signature(cadenza.MusicGen.generate).parameters
    for name in parameters.keys() - {"self", "text", "progress", "should_stop"}:
        assert mentioned(rf"\b{name}="), name
    for name in ("generate", "stream", "scheduler", "regenerate"):
        assert mentioned(rf"\bmusic\.{name}\("), name
    parameters = inspect.signature(cadenza.Jukebox.generate).parameters
    for name in parameters.keys() - {"self", "progress", "should_stop"}:
        assert mentioned(rf"\bjukebox\..*\b{name}="), name


def test_every_format_has_a_line() -> None:
    for form in set(FORMATS) - {"cadenza"}:
        assert mentioned(rf"--to {form}$"), form


def test_the_short_table_is_part_of_the_long_one() -> None:
    assert 8 <= len(SHORT) <= 16
    for line in SHORT:
        assert any(one.call == line.call and {*line.held} <= {*one.held} for one in LINES), line.call


def test_no_line_is_lost() -> None:
    assert Counter(line.section for line in LINES) == LENGTHS
    assert all(line.held for line in LINES + SHORT)


@pytest.mark.parametrize("test", WHOLE)
def test_every_case_of_the_great_tests_has_a_line(test: str) -> None:
    found = cases(test)
    assert found
    assert {f"{test}[{case}]" for case in found} <= set(TESTS)
