"""The page about conditions: what it shows can be read, and what can be written is on it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import get_args

import pytest

from bespeak.conditions import format_condition, from_json, parse, tree
from bespeak.conditions.meaning.check import KEYWORDS
from bespeak.errors import ConditionError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conditions.md"
TEXT = PAGE.read_text()
SHOWN = re.findall(r"^```condition\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", SHOWN)
def test_every_condition_on_the_page_can_be_read(text):
    assert parse(format_condition(parse(text))) == parse(text)


def test_the_json_on_the_page_is_the_text_beside_it():
    (shown,) = re.findall(r'^```json title="condition"\n(.*?)^```$', TEXT, re.MULTILINE | re.DOTALL)
    assert format_condition(from_json(shown)) == 'count("Product Viewed", last 10 minutes) >= 3'


@pytest.mark.parametrize("shown", re.findall(r"^```text\n(condition, .*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
def test_the_errors_on_the_page_are_those_that_are_raised(shown):
    with pytest.raises(ConditionError) as caught:
        parse(shown.splitlines()[1].strip())
    assert str(caught.value) == shown.rstrip("\n")


def test_the_python_on_the_page_gives_what_it_shows():
    shown = "\n".join(re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
    case = doctest.DocTestParser().get_doctest(shown, {}, "conditions.md", str(PAGE), 0)
    result = doctest.DocTestRunner().run(case)
    assert (result.failed, result.attempted > 5) == (0, True)


def test_every_keyword_operator_kind_and_bound_is_on_the_page():
    words = {*KEYWORDS, *get_args(tree.Operator), *get_args(tree.Kind)}
    assert [word for word in words if not re.search(rf"(?<![\w=<>!]){re.escape(word)}(?![\w=])", TEXT)] == []
    for bound in (tree.MAX_DEPTH, tree.MAX_NODES, tree.MAX_VALUES, tree.MAX_TEXT, tree.MAX_WITHIN // 86_400_000_000):
        assert f"{bound:,}" in TEXT
