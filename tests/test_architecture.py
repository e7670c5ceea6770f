"""The shape of the code, kept by tests: what the import contract cannot say."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "bespeak"
FILES = sorted(SRC.rglob("*.py"))
PACKAGES = sorted({path.relative_to(SRC).parts[0].removesuffix(".py") for path in FILES} - {"__init__", "__main__"})

# Packages in which a step is a function of its arguments: the time and the dice come from the caller.
PURE = {
    "errors", "ids", "events", "conditions", "catalog", "definitions", "profiles", "experiments", "content",
    "computed", "segments", "recommend", "rules", "decide",
}  # fmt: skip
READS_THE_WORLD = {
    ("time", "time"), ("time", "time_ns"), ("time", "monotonic"), ("datetime", "now"), ("datetime", "today"),
    ("datetime", "utcnow"), ("date", "today"), ("os", "getenv"), ("os", "urandom"), ("uuid", "uuid4"),
    ("random", "random"), ("random", "choice"), ("random", "shuffle"), ("random", "randint"), ("random", "gauss"),
    ("random", "seed"), ("secrets", "token_hex"), ("secrets", "token_bytes"), ("secrets", "token_urlsafe"),
}  # fmt: skip


PURE_FILES = [path for path in FILES if path.relative_to(SRC).parts[0].removesuffix(".py") in PURE]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def calls_in(tree: ast.AST) -> set[tuple[str, str]]:
    return {
        (node.func.value.id, node.func.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    }


@pytest.mark.parametrize("path", PURE_FILES, ids=name_of)
def test_a_pure_step_asks_nobody_for_the_time_or_for_luck(path: Path) -> None:
    asked = calls_in(ast.parse(path.read_text())) & READS_THE_WORLD
    assert not asked, f"{name_of(path)} calls {sorted(asked)}; take `at` or `rng` as an argument"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_holds_one_thing_that_can_be_read_in_one_sitting(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= 500, f"{name_of(path)} has {lines} lines; what are its two things?"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    long = {
        f"{node.name} at line {node.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    }
    assert not long, f"{name_of(path)}: over 60 lines: {sorted(long)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_named_for_what_they_hold(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "manager", "service", "common", "misc", "base"}


def test_every_package_is_on_the_map_and_has_its_section() -> None:
    told = (ROOT / "ARCHITECTURE.md").read_text()
    missing = [name for name in PACKAGES if not re.search(rf"^### .*`{name}`", told, re.MULTILINE)]
    assert not missing, f"ARCHITECTURE.md has no section for {missing}"


def test_architecture_tells_of_no_package_that_is_not_there() -> None:
    told = (ROOT / "ARCHITECTURE.md").read_text()
    headings = re.findall(r"^### (.*)$", told, re.MULTILINE)
    sections = {name for heading in headings for name in re.findall(r"`(\w+)`", heading)}
    assert sections <= set(PACKAGES)


def test_the_map_in_the_words_is_the_map_in_the_contract() -> None:
    told = (ROOT / "ARCHITECTURE.md").read_text()
    drawn = re.search(r"^    errors\b.*?(?=\n\n)", told, re.MULTILINE | re.DOTALL)
    assert drawn, "ARCHITECTURE.md draws the map, indented, from `errors` on"
    lines = [set(line[:44].split()) for line in drawn[0].splitlines()]
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = config["tool"]["importlinter"]["contracts"]
    layers = [set(re.findall(r"\w+", re.sub(r"\(\w+\)", "", layer))) for layer in reversed(contract["layers"])]
    assert lines == layers


HEAVY = {"numpy", "scipy", "sklearn", "lightgbm", "duckdb", "fastapi", "uvicorn", "pydantic", "liquid", "cryptography"}
HELP = """
import sys
from bespeak.cli import main
sys.argv = ["bespeak", "--help"]
try:
    sys.exit(main())
except SystemExit as end:
    assert not end.code
"""


@pytest.mark.parametrize("program", ["import bespeak", HELP], ids=["import bespeak", "bespeak --help"])
def test_what_must_be_quick_loads_nothing_heavy(program: str) -> None:
    told = f"{program}\nimport sys\nprint('LOADED', *sorted({{name.split('.')[0] for name in sys.modules}}))"
    ran = subprocess.run(
        [sys.executable, "-c", told],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(SRC.parent)},
    )
    loaded = set(ran.stdout.rsplit("LOADED", 1)[1].split())
    assert "bespeak" in loaded
    assert not loaded & HEAVY
