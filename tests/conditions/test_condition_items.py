"""Conditions on person and item: what is settled once, what is left, and which rows it holds for."""

from __future__ import annotations

import numpy as np
import pytest

from bespeak.clock import parse_time
from bespeak.conditions import Exists, Path, bind, format_condition, mask, parse
from bespeak.conditions.asking.items import BINDERS_MAX
from bespeak.errors import ConditionError


class German:
    def get(self, path):
        return {"traits.country": "DE", "segments.loyal": True}.get(path)

    def state(self, key):
        return None


def left(text):
    bound = bind(parse(text), German(), 0)
    return bound if isinstance(bound, bool) else format_condition(bound)


@pytest.mark.parametrize(
    "text, expected",
    [
        ('traits.country = "DE"', True),
        ('not traits.country = "DE"', False),
        ("item.price < 20", "item.price < 20"),
        ('traits.country = "DE" and item.price < 20', "item.price < 20"),
        ('traits.country = "FR" and item.price < 20', False),
        ('traits.country = "DE" or item.price < 20', True),
        ('traits.country = "FR" or item.price < 20', "item.price < 20"),
        ('(traits.country = "FR" and item.price < 20) or not (item.hidden = true and in_segment("loyal"))',
         "not (item.hidden = true)"),
        ('item.stock > 0 and (traits.country = "DE" or item.price < 20)', "item.stock > 0"),
        ('item.stock > 0 and (traits.country = "FR" and item.price < 20)', False),
        ('item.stock > 0 or (traits.country = "DE" or item.price < 20)', True),
        ('item.stock > 0 or (traits.country = "FR" and item.price < 20)', "item.stock > 0"),
        ('item.stock > 0 and item.price < 20 and count("E", last 1 day) = 0', "item.stock > 0 and item.price < 20"),
        ('not (item.price < 20 or performed("E"))', "not (item.price < 20)"),
        ("true", True),
        ("false", False),
    ],
)  # fmt: skip
def test_what_concerns_the_person_is_settled_and_the_rest_is_left(text, expected):
    assert left(text) == expected


def test_another_prefix_leaves_other_paths():
    bound = bind(parse("candidate.price < 20 and item.price < 20"), German(), 0, prefix="candidate.")
    assert bound is False
    bound = bind(parse("candidate.price < 20 and item.price is missing"), German(), 0, prefix="candidate.")
    assert format_condition(bound) == "candidate.price < 20"


def test_more_conditions_than_are_kept_prepared_still_bind():
    for number in range(BINDERS_MAX + 10):
        bound = bind(parse(f"item.price < {number} and true"), German(), 0)
        assert format_condition(bound) == f"item.price < {number}"


def objects(*values):
    column = np.empty(len(values), dtype=object)
    for number, value in enumerate(values):
        column[number] = value
    return column


COLUMNS = {
    "item.price": np.array([10.0, np.nan, 30.0, 2.0**60]),
    "item.brand": objects("Acme", "", None, "Other"),
    "item.tags": objects(("sale", "new"), (), None, ["sale"]),
    "item.hidden": np.array([True, False, False, True]),
    "item.rank": np.array([1, 2, 3, 4]),
    "item.name": np.array(["a", "b", "c", "a"]),
}


@pytest.mark.parametrize(
    "text, rows",
    [
        ("item.price < 20", [0]),
        ("item.price != 10", [1, 2, 3]),
        ("item.price exists", [0, 2, 3]),
        ("item.price is missing", [1]),
        ('item.price in [10, 30, true, "x"]', [0, 2]),
        ("item.price not in [10, 30]", [1, 3]),
        ('item.price = "10"', []),
        ("item.price = true", []),
        (f"item.price = {2**60 + 1}", []),
        (f"item.price < {2**60 + 1}", [0, 2, 3]),
        (f"item.price in [{2**60 + 1}]", []),
        (f"item.price != {2**60 + 1}", [0, 1, 2, 3]),
        ('item.brand = "Acme"', [0]),
        ("item.brand exists", [0, 1, 3]),
        ('item.brand > "B"', [3]),
        ('item.tags = "sale"', [0, 3]),
        ('item.tags != "sale"', [1, 2]),
        ('item.tags in ["new"] and item.hidden = true', [0]),
        ("item.tags exists", [0, 3]),
        ("item.hidden = false", [1, 2]),
        ("item.hidden in [true, 0]", [0, 3]),
        ("item.hidden = 1", []),
        ("item.hidden exists", [0, 1, 2, 3]),
        ("item.rank >= 3", [2, 3]),
        ('item.name in ["a"]', [0, 3]),
        ("item.nothing is missing", [0, 1, 2, 3]),
        ("item.nothing != 1", [0, 1, 2, 3]),
        ("item.nothing = 1", []),
        ("true", [0, 1, 2, 3]),
        ("false or item.rank = 1", [0]),
    ],
)
def test_a_mask_marks_the_rows_that_hold(text, rows):
    flags = mask(parse(text), COLUMNS, 4)
    assert flags.dtype == np.bool_
    assert np.flatnonzero(flags).tolist() == rows


@pytest.mark.parametrize(
    "text, rows",
    [
        ("item.created within last 30 days", [1, 2]),
        ('item.created > date "now-1d"', [2, 3]),
        ('item.created < date "2026-01-01"', [0]),
        ('item.created on date "2026-01-15"', [1]),
        ('not item.created on date "2026-01-15"', [0, 2, 3]),
        ('item.created between date "2026-01-01" and date "now"', [1, 2]),
        ("item.properties.launch within last 30 days", [1]),
        ("item.price < traits.budget", [0, 3]),
        ("traits.budget >= item.price", [0, 3]),
        ("item.price between 5 and traits.budget", [3]),
        ("traits.budget between item.price and item.stock", [0]),
        ("item.brand = traits.brands", [0, 1]),
        ("item.brand != traits.brands", [2, 3]),
        ("item.price > item.stock", [3]),
        ("item.price < traits.nothing", []),
        ("item.price != traits.nothing", [0, 1, 2, 3]),
        ('any of item.properties.offers where (it.until > date "now" and it.country = "AT")', [2]),
    ],
)
def test_dates_and_what_the_person_holds_are_filled_in(text, rows):
    now = parse_time("2026-02-01T12:00:00Z")
    columns = {
        "item.created": np.array(
            [parse_time(at) for at in ("2025-12-31", "2026-01-15", "2026-02-01T00:00:00Z", "2026-03-01")], np.float64
        ),
        "item.price": np.array([1.0, np.nan, 30.0, 8.0]),
        "item.stock": np.array([20.0, 5.0, 40.0, 2.0]),
        "item.brand": objects("Acme", "ACM\u00c9", None, "Other"),
        "item.properties.launch": objects(None, "2026-01-20", 5, "2026-03-01"),
        "item.properties.offers": objects(
            None,
            [{"until": "2026-03-01", "country": "DE"}, {"until": "2026-01-01", "country": "AT"}],
            [{"until": "2026-03-01", "country": "at"}],
            {},
        ),
    }

    class Person:
        def get(self, path):
            return {"traits.budget": 10, "traits.brands": ["acme", 5]}.get(path)

        def state(self, key):
            return None

        def fading(self, path):
            return None

    left = bind(parse(text), Person(), now)
    found = np.full(4, left) if isinstance(left, bool) else mask(left, columns, 4)
    assert np.flatnonzero(found).tolist() == rows


def test_columns_know_no_time():
    with pytest.raises(TypeError, match="settle dates with `bind`"):
        mask(parse("item.properties.launch within last 30 days"), {}, 4)


def test_a_mask_of_no_rows_is_empty():
    assert mask(parse('item.brand = "x" and item.price > 1'), {"item.price": np.empty(0)}, 0).tolist() == []


def test_columns_hold_no_events():
    with pytest.raises(TypeError, match="settle aggregates with `bind`"):
        mask(parse('performed("E")'), COLUMNS, 4)


def test_a_condition_without_a_meaning_is_not_bound():
    with pytest.raises(ConditionError):
        bind(Exists(Path("")), German(), 0)
