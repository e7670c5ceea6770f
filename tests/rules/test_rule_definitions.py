"""Rules as they are written: what is read, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from bespeak.clock import parse_time
from bespeak.errors import ConditionError, DefinitionError
from bespeak.rules import Boost, Filter, Pin, load

FILTER = {"id": "f", "kind": "filter", "action": "keep", "items": "item.price <= 100"}
BOOST = {"id": "b", "kind": "boost", "items": 'item.tags = "sale"', "add": 0.5}
PIN = {"id": "p", "kind": "pin", "place": 1, "item": "shoe-1"}


def read(raw: dict[str, object]):
    return load(raw, source="rules/shop.yaml")


@pytest.mark.parametrize("raw, kind", [(FILTER, Filter), (BOOST, Boost), (PIN, Pin)])
def test_the_kind_says_which_rule_it_is(raw, kind):
    assert isinstance(read(raw), kind)


@pytest.mark.parametrize("raw", [FILTER, BOOST, PIN, PIN | {"from": "2026-01-01", "until": "2026-02-01T00:00:00Z"}])
def test_a_rule_writes_back_as_it_was_read(raw):
    rule = read(raw)
    again = {
        name: value for name, value in msgspec.to_builtins(rule).items() if name not in {"version", "from", "until"}
    }
    times = {name: raw[name] for name in ("from", "until") if name in raw}
    assert read(again | times) == rule


def test_a_rule_works_from_its_start_to_before_its_end_in_its_slots():
    rule = read(PIN | {"slots": ["home"], "from": "2026-01-01", "until": "2026-02-01"})
    start, end = parse_time("2026-01-01"), parse_time("2026-02-01")
    assert [rule.works("home", at) for at in (start - 1, start, end - 1, end)] == [False, True, True, False]
    assert not rule.works("cart", start)


def test_a_rule_without_slots_and_times_works_everywhere_and_always():
    assert all(read(PIN).works(slot, at) for slot in ("home", "cart") for at in (0, 2**60))
    assert not read(PIN | {"enabled": False}).works("home", 0)


@pytest.mark.parametrize(
    "raw, words",
    [
        (FILTER | {"kind": "filterr"}, "kind: expected one of filter, boost, pin, found 'filterr'"),
        ({"id": "x"}, "kind: is missing; every rule has it and is one of filter, boost, pin"),
        (FILTER | {"action": "hide"}, "action: expected one of drop, keep, found 'hide'"),
        (FILTER | {"add": 1}, "add: unknown field; .*the fields here are id, .*, action, items"),
        (BOOST | {"prioritty": 1}, "prioritty: unknown field; did you mean 'priority'"),
        (BOOST | {"factor": 2}, "a boost has either add or factor, got both"),
        (BOOST | {"add": None}, "a boost has either add or factor, got neither"),
        (BOOST | {"add": 101}, "add must be -100 to 100 standard deviations, got 101"),
        (BOOST | {"add": float("nan")}, "add must be -100 to 100 standard deviations, got nan"),
        (BOOST | {"add": None, "factor": -1}, "factor must be 0 to 100, got -1"),
        (PIN | {"place": 0}, "place must be 1 to 200, got 0"),
        (PIN | {"place": "first"}, "place: expected a whole number, found 'first'"),
        (PIN | {"items": "item.price > 1"}, "a pin has either item or items, got both"),
        (PIN | {"item": None}, "a pin has either item or items, got neither"),
        (PIN | {"slots": "home"}, "slots: expected a list, found 'home'"),
        (PIN | {"slots": [""]}, "slots are at most 100 names of 1 to 100 characters"),
        (PIN | {"from": "tomorrow"}, "from: expected a time, found 'tomorrow'; write ISO 8601"),
        (PIN | {"from": "2026-02-01", "until": "2026-01-01"}, "from must be before until, got 2026-02-01"),
        (
            PIN | {"when": "item.price > 1"},
            "when: reads item.price, and `when` is about the visitor; write it under items",
        ),
        (BOOST | {"items": "traits.vip = true"}, "items: reads nothing of an item; begin a path with item."),
        (BOOST | {"id": "a/b"}, "rule id must have 1 to 100 letters"),
    ],
)
def test_a_wrong_rule_is_refused_with_file_field_and_value(raw, words):
    with pytest.raises(DefinitionError, match=words) as caught:
        read(raw)
    assert str(caught.value).startswith("rules/shop.yaml: ")


@pytest.mark.parametrize("field", ["when", "items"])
def test_a_wrong_condition_is_refused_when_the_rule_is_read(field):
    with pytest.raises(ConditionError, match=rf"rules/shop\.yaml: {field}: "):
        read(BOOST | {field: "item.price >"})
