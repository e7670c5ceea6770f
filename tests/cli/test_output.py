"""Tables, text and the bar."""

from __future__ import annotations

import io

import pytest

from bespeak.cli.output import as_text, table
from bespeak.cli.progress import Bar, bar_text


def test_a_table_without_rows_is_its_heads() -> None:
    assert table(("id", "size"), []) == "id  size"


def test_cells_are_said_shortly() -> None:
    drawn = table(("a", "b", "c"), [(None, 1234567, 0.123456789), (True, 2, 123456.7)])
    assert drawn.splitlines()[1].split() == ["-", "1,234,567", "0.1235"]
    assert drawn.splitlines()[2].split() == ["True", "2", "123,457"]


def test_text_leaves_out_what_is_empty_and_keeps_what_is_zero() -> None:
    assert as_text({"a": None, "b": {}, "c": [], "d": 0, "e": False, "f": "ü"}) == "d: 0\ne: false\nf: ü"


@pytest.mark.parametrize(
    "done,total,seconds,words",
    [
        (0, 0, 0.0, ["100 %"]),
        (0, 100, 0.0, ["  0 %", "0 of 100"]),
        (50, 100, 10.0, ["50 %", "5/s", "10 s left"]),
        (1, 1_000, 1.0, ["16 min 39 s left"]),
        (1, 10_000, 1.0, ["2 h 46 min left"]),
        (100, 100, 3.0, ["100 %", "33/s"]),
    ],
)
def test_a_bar_says_how_far_how_fast_and_how_long(done: int, total: int, seconds: float, words: list[str]) -> None:
    line = bar_text("importing", done, total, "records", seconds=seconds)
    assert [word for word in words if word not in line] == []
    assert ("left" in line) == (0 < done < total)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_a_stage_and_a_file_no_control_characters() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        bar = Bar(stream)
        for stage in ("reading", "importing"):
            for done in range(0, 101, 10):
                bar.update(stage, done, 100, "records")
        bar.finish()
    assert terminal.getvalue().count("\n") == 2
    assert terminal.getvalue().count("100 %") == 2
    assert "\r" not in file.getvalue()
