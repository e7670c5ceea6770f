"""Laws of the forms of conditions: text and JSON read back into the same tree, whatever the tree."""

from __future__ import annotations

from typing import get_args

import msgspec
from hypothesis import given, settings

from bespeak.conditions import check, format_condition, from_json, load, parse, to_json
from bespeak.conditions.meaning.check import walk
from bespeak.conditions.tree import Condition, Kind, Operator
from bespeak.testing.condition_trees import conditions


@given(conditions)
def test_text_reads_back_into_the_same_tree(condition):
    normal = check(condition)
    again = parse(format_condition(condition))
    assert repr(again) == repr(normal)  # repr, since 1 == 1.0 == True
    assert repr(check(normal)) == repr(normal)


@given(conditions)
def test_json_reads_back_into_the_same_tree(condition):
    normal = check(condition)
    assert repr(from_json(to_json(condition))) == repr(normal)
    assert repr(load(msgspec.json.decode(to_json(condition)))) == repr(normal)


def test_every_node_operator_and_kind_is_made_up():
    seen = set()

    @given(conditions)
    @settings.get_profile("many")
    def look(condition):
        for one in walk(condition):
            seen.update({type(one), getattr(one, "op", None), getattr(getattr(one, "operand", None), "kind", None)})

    look()
    assert {*get_args(Condition), *get_args(Operator), *get_args(Kind)} <= seen
