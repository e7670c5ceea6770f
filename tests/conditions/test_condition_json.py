"""The JSON form: a tagged union, strict, bounded."""

from __future__ import annotations

import json

import msgspec
import pytest

from bespeak.conditions import And, Compare, Not, Path, from_json, load, parse, to_json
from bespeak.errors import ConditionError


def nested(levels):
    return '{"type":"not","condition":' * levels + '{"type":"and","all":[]}' + "}" * levels


def test_the_json_form_is_one_object_a_node():
    condition = parse('traits.vip = true and performed("E" where properties.a in ["x", 1], last 1 second)')
    assert json.loads(to_json(condition)) == {
        "type": "and",
        "all": [
            {"type": "compare", "operand": {"type": "path", "path": "traits.vip"}, "op": "=", "value": True},
            {
                "type": "performed",
                "event": "E",
                "where": {"type": "in", "operand": {"type": "path", "path": "properties.a"}, "values": ["x", 1]},
                "within": 1_000_000,
            },
        ],
    }


@pytest.mark.parametrize(
    "raw, message",
    [
        ('{"type": "nand", "all": []}', "condition, type: invalid value 'nand'"),
        ('{"type": "and", "all": [], "any": []}', "condition, top: object contains unknown field `any`"),
        ('{"type": "and", "all": [{"type": "exists"}]}', "condition, all[0]: object missing required field `operand`"),
        (
            '{"type":"not","condition":{"type":"compare","operand":{"type":"path","path":"a.x"},"op":"==","value":1}}',
            "condition, condition.op: invalid enum value '=='",
        ),
        ('{"type": "exists", "operand": {"type": "path", "path": ""}}', "condition, path: expected a dotted path"),
        ("[]", "expected `object`, got `array`"),
        ("{", "truncated"),
        ("", "truncated"),
        (
            '{"type": "compare", "operand": {"type": "path", "path": "a.x"}, "op": "=", "value": null}',
            "condition, value: expected a string, a number, true or false, found null; write `is missing` or `exists`",
        ),
    ],
)
def test_what_is_malformed_is_refused_with_its_place(raw, message):
    with pytest.raises(ConditionError) as caught:
        from_json(raw)
    assert message in str(caught.value)
    assert caught.value.problems
    try:
        value = json.loads(raw)
    except ValueError:
        return
    if isinstance(value, dict):
        with pytest.raises(ConditionError) as caught:
            load(value)
        assert message in str(caught.value)


@pytest.mark.parametrize("levels", [16, 1_000, 50_000])
def test_json_nested_too_deep_is_refused_without_descending(levels):
    with pytest.raises(ConditionError, match=r"at most 16 levels|bytes"):
        from_json(nested(levels))


def test_a_mapping_nested_too_deep_is_refused_without_descending():
    value = {"type": "and", "all": []}
    for _ in range(5_000):
        value = {"type": "not", "condition": value}
    with pytest.raises(ConditionError, match="at most 16 levels"):
        load(value)


def test_a_tree_built_too_deep_in_python_is_refused_without_descending():
    condition = And(())
    for _ in range(5_000):
        condition = Not(condition)
    with pytest.raises(ConditionError, match="at most 16 levels"):
        to_json(condition)
    while isinstance(condition, Not):  # taken apart by hand: C frees nested structs by recursion
        condition = condition.condition


def test_the_deepest_condition_is_read():
    assert from_json(nested(15)) == from_json(nested(15).encode()) == load(json.loads(nested(15)))


def test_brackets_inside_strings_are_not_depth():
    condition = Compare(Path("a.x"), "=", '[{"' * 200 + "\\")
    assert from_json(to_json(condition)) == condition


def test_numbers_keep_their_type_on_the_wire():
    for value in (1, 1.0, True, -(2**63), 0.1, 1e300):
        condition = Compare(Path("a.x"), "=", value)
        assert repr(from_json(to_json(condition))) == repr(condition)
        assert repr(load(msgspec.json.decode(to_json(condition)))) == repr(condition)
