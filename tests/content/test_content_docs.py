"""The page about content says what the code does: every tag, filter, field and limit."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from bespeak.content import FILTERS, TAGS, Block, limits

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "content.md").read_text()
ROWS = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("word", [*FILTERS, *TAGS])
def test_a_tag_or_filter_has_its_row(word):
    assert f"`{word}`" in ROWS


def test_a_field_of_a_block_has_its_row():
    fields = {field.encode_name for field in msgspec.structs.fields(Block)} - {"version"}
    assert {name for name in fields if f"| `{name}` |" not in ROWS} == set()


@pytest.mark.parametrize("name", [name for name in vars(limits) if name.startswith("MAX_") and name != "MAX_DEPTH"])
def test_a_limit_is_told_with_its_value(name):
    shown = re.findall(r"^\| .*? \| ([\d,]+)", PAGE.partition("## Limits")[2], re.MULTILINE)
    assert f"{getattr(limits, name):,}" in shown
