"""The example folders: each can be applied, says in a sentence whom each segment means, and has its import map."""

from __future__ import annotations

from pathlib import Path

import pytest

from bespeak.conditions import format_condition, parse
from bespeak.engine import definitions_in
from bespeak.engine.site import build
from bespeak.settings import load_settings
from bespeak.sources import shipped_maps

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SITES = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())


def test_there_is_an_example_on_each_of_five_data_sets():
    assert SITES == ["cdnow", "complete_journey", "eshop_clothing", "msweb", "yoochoose_100k"]
    assert set(SITES) <= set(shipped_maps())
    readme = (EXAMPLES / "README.md").read_text()
    assert [site for site in SITES if f"| `{site}` |" not in readme] == []


@pytest.mark.parametrize("site", SITES)
def test_an_example_can_be_applied_and_says_whom_it_means(site):
    definitions = definitions_in(EXAMPLES / site)
    assert len(build(definitions).segments) >= 12
    load_settings(EXAMPLES / site / "bespeak.toml", {})
    for one in definitions:
        assert one.body["description"].strip().endswith("."), one.id
        if one.kind == "segments":
            assert parse(format_condition(parse(one.body["condition"]))) == parse(one.body["condition"])


def test_the_examples_use_the_width_of_the_language():
    definitions = [one for site in SITES for one in definitions_in(EXAMPLES / site)]
    conditions = [str(one.body["condition"]) for one in definitions if one.kind == "segments"]
    words = ["count(", "sum(", "avg(", "min(", "max(", "distinct(", "first(", "last(", "most_frequent(", "performed("]
    words += [
        "today",
        "yesterday",
        "this week",
        "last week",
        "this month",
        "last month",
        "this quarter",
        "last quarter",
    ]
    words += ["this year", "since date", "from date", "this session", "last 5 minutes", "last 30 days", "in_segment("]
    words += ["traits.", "sessions.", "between", " in [", "not in [", "contains", "contains any", "starts with"]
    words += ["ends with", "matches", "exactly", "is missing", " or ", "not ("]
    words += ["sequence(", "without", "half-life", "bucket(", "computed.", ".cell", "scores.", ".band"]
    words += ["then", " for ", "has been", "local.hour"]
    assert [word for word in words if not any(word in one for one in conditions)] == []
