"""The map of files in the README: the tree of the package, each file with the first line of its docstring.

`make map` writes it; `test_docs.py` fails when it is not true any more.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- map: written by `make map` -->\n", "<!-- end of the map -->\n"


def first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].partition(". ")[0].rstrip(".")


def draw() -> str:
    """The map, as the README holds it."""
    package = ROOT / "src" / "cadenza"
    lines = ["src/cadenza/"]
    for path in sorted(package.rglob("*.py"), key=_order(package)):
        parts = path.relative_to(package).parts
        indent = "  " * len(parts)
        if path.name == "__init__.py" and len(parts) > 1:
            folder = "  " * (len(parts) - 1) + path.parent.name + "/"
            lines.append(f"{folder:<26}{first_line(path)}")
        else:
            lines.append(f"{indent + path.name:<26}{first_line(path)}")
    for folder in ("recipes", "benchmarks", "examples"):
        files = sorted((ROOT / folder).glob("*.py"))
        if files:
            lines.append(f"{folder}/")
            lines += [f"  {path.name:<24}{first_line(path)}" for path in files]
    return "```\n" + "\n".join(lines) + "\n```\n"


def _order(package: Path):  # type: ignore[no-untyped-def]
    """Files of a folder before its subfolders, `__init__.py` first."""

    def key(path: Path) -> tuple[object, ...]:
        parts = path.relative_to(package).parts
        folders = tuple((1, part) for part in parts[:-1])
        return (*folders, (0, "" if path.name == "__init__.py" else path.name))

    return key


def replace(readme: str) -> str:
    """The README with the map as it should be."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{draw()}\n{END}{tail}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(replace(target.read_text(encoding="utf-8")), encoding="utf-8")
