"""The words of the command line."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bespeak import demo
from bespeak.cli import main, serving, words
from bespeak.cli.words import GROUPS, VERBS, build_parser, every_verb
from bespeak.demo import SEED
from bespeak.privacy import SCOPES

SRC = Path(__file__).resolve().parents[2] / "src"
EXAMPLES = [(f"bespeak {verb.name}", verb) for verb in VERBS] + [
    (f"bespeak {group.name} {verb.name}", verb) for group in GROUPS for verb in group.verbs
]


@pytest.mark.parametrize("typed", every_verb())
def test_every_verb_says_what_it_does_with_an_example(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*typed.split(), "--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert f"example:\n  {'echo' if typed == 'decide' else f'bespeak {typed}'}" in said
    assert "--json" in said


@pytest.mark.parametrize("typed,verb", EXAMPLES, ids=[typed for typed, _ in EXAMPLES])
def test_every_example_can_be_parsed_and_names_a_function_that_is_there(typed: str, verb: object) -> None:
    command = re.search(rf"{typed}.*", verb.example)  # type: ignore[attr-defined]
    assert command
    parsed = build_parser().parse_args(shlex.split(command[0])[1:])
    module, _, function = parsed.run.partition(":")
    assert callable(getattr(__import__(f"bespeak.cli.{module}", fromlist=[function]), function))


@pytest.mark.parametrize(
    "wrong", [[], ["dance"], ["keys"], ["keys", "create"], ["recommend"], ["serve", "--port", "x"]]
)
def test_wrong_words_are_two_and_a_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(wrong)
    assert left.value.code == 2
    assert "usage: bespeak" in capsys.readouterr().err


def test_the_help_names_every_scope() -> None:
    assert words.SCOPES.split(", ") == list(SCOPES)


def test_the_demo_shows_the_town_that_its_own_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--help"])
    assert f"which town ({SEED})" in capsys.readouterr().out
    seeds: list[int] = []

    async def run(**given: Any) -> int:
        seeds.append(given["seed"])
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "run", run)
        patch.setattr(serving, "log_to", print)
        assert [main(["demo"]), main(["demo", "--seed", "0"])] == [0, 0]
    assert seeds == [SEED, 0]


@pytest.mark.parametrize("program", ["import bespeak", "from bespeak.cli.words import build_parser; build_parser()"])
def test_what_is_heavy_is_imported_only_by_the_verb_that_needs_it(program: str) -> None:
    heavy = "{'numpy', 'scipy', 'liquid', 'starlette', 'fastapi', 'uvicorn', 'cryptography'}"
    shown = subprocess.run(
        [sys.executable, "-c", f"{program}; import sys; print(sorted({heavy} & set(sys.modules)))"],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SRC)},
        timeout=60,
    )
    assert shown.stdout.strip() == "[]"
