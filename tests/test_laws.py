"""The laws run on as many examples as they claim, and the table of them is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
TABLE = (ROOT / "CONTRIBUTING.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", TABLE)))
MAY_SAY_A_NUMBER = {"tests/conftest.py", "tests/test_laws.py", "src/bespeak/testing/checks/stores.py"}
LEAST = 500


def decorators(path: Path, name: str) -> list[str]:
    tree = ast.parse(path.read_text())
    (found,) = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    return [ast.unparse(each) for each in found.decorator_list]


def test_the_table_names_laws() -> None:
    assert len(NAMED) >= 20


@pytest.mark.parametrize("file, name", NAMED)
def test_a_law_of_the_table_is_a_test_on_generated_examples(file: str, name: str) -> None:
    assert any(each.startswith("given(") for each in decorators(ROOT / file, name))


def test_no_law_says_by_itself_on_how_many_examples_it_runs() -> None:
    """A number beside a law would stand with `--all`, too."""
    files = [path for folder in ("tests", "docs", "src") for path in (ROOT / folder).rglob("*.py")]
    numbered = {str(path.relative_to(ROOT)) for path in files if "max_examples" in path.read_text()}
    assert numbered <= MAY_SAY_A_NUMBER


def test_with_all_every_law_runs_on_five_hundred_examples(pytestconfig: pytest.Config) -> None:
    profiles = [settings.get_profile(name).max_examples for name in ("bespeak", "few", "fewest")]
    assert profiles == ([LEAST] * 3 if pytestconfig.getoption("--all") else [100, 50, 15])
    assert settings().max_examples == profiles[0]
