"""Reading definitions strictly: the message names file, field, what was found and what would do."""

from __future__ import annotations

import datetime
from typing import Literal

import msgspec
import pytest

from bespeak.clock import DAY, parse_time
from bespeak.conditions import Compare, Condition, Path
from bespeak.definitions import check_id, read
from bespeak.errors import ConditionError, DefinitionError


class Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    colour: Literal["red", "blue"] = "red"


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    leaves: tuple[Leaf, ...] = ()
    named: dict[str, Leaf] = {}
    when: Condition | None = None
    since: int | None = None
    version: int = 1


def tree(raw: object, **given) -> Tree:
    return read(raw, Tree, what="tree", source="trees/oak.yaml", conditions_in=("when",), times_in=("since",), **given)


def test_a_whole_definition_is_read():
    found = tree(
        {
            "id": "oak",
            "leaves": [{"size": 1}],
            "named": {"top": {"size": 2, "colour": "blue"}},
            "when": "traits.age > 3",
        },
        extra={"version": 7},
    )
    assert found == Tree(
        id="oak", leaves=(Leaf(1),), named={"top": Leaf(2, "blue")}, when=Compare(Path("traits.age"), ">", 3), version=7
    )


@pytest.mark.parametrize(
    "raw, message, path",
    [
        ([1], "expected tree as a mapping of fields, found [1]", None),
        ({}, "id: is missing; every tree has it", "id"),
        ({"id": 3}, "id: expected text, found 3", "id"),
        ({"id": "a", "leafs": []}, "leafs: unknown field; did you mean 'leaves'? the fields here are id, ", "leafs"),
        ({"id": "a", "leaves": {}}, "leaves: expected a list, found {}", "leaves"),
        (
            {"id": "a", "leaves": [{"size": 1}, {"size": "x"}]},
            "leaves[1].size: expected a whole number, found 'x'",
            None,
        ),
        (
            {"id": "a", "leaves": [{"size": 1, "color": 2}]},
            "leaves[0].color: unknown field; did you mean 'colour'? ",
            None,
        ),
        (
            {"id": "a", "leaves": [{"size": 1, "colour": "x"}]},
            "leaves[0].colour: expected one of blue, red, found 'x'",
            None,
        ),
        (
            {"id": "a", "named": {"u": {"size": 1}, "v": {}}},
            "named.v.size: is missing; every tree has it",
            "named.v.size",
        ),
        (
            {"id": "a", "named": {"u": {"size": 1}, "v": {"size": []}}},
            "named.v.size: expected a whole number, found []",
            None,
        ),
        ({"id": "a", "since": "soon"}, "since: expected a time, found 'soon'; write ISO 8601, such as ", "since"),
        ({"id": "a", "when": 5}, "when: expected a condition, found 5; write text, such as: ", "when"),
    ],
)
def test_what_does_not_fit_is_named_by_file_field_and_value(raw, message, path):
    with pytest.raises(DefinitionError) as caught:
        tree(raw)
    assert str(caught.value).startswith(f"trees/oak.yaml: {message}")
    if path is not None:
        assert [problem.path for problem in caught.value.problems] == [path]


def test_a_condition_that_cannot_be_read_points_at_its_place():
    with pytest.raises(ConditionError, match=r"trees/oak.yaml: when: .*column"):
        tree({"id": "a", "when": "traits.age >"})


def test_a_field_that_only_the_store_counts_cannot_be_given():
    with pytest.raises(DefinitionError, match="version: expected no such field, found 2"):
        tree({"id": "a", "version": 2}, extra={"version": 1})


@pytest.mark.parametrize(
    "written",
    [
        "2026-01-31T00:00:00Z",
        "2026-01-31",
        datetime.date(2026, 1, 31),
        datetime.datetime(2026, 1, 31),  # noqa: DTZ001  # what YAML makes of a time without a zone
        datetime.datetime(2026, 1, 31, tzinfo=datetime.UTC),
    ],
)
def test_a_time_may_be_what_yaml_makes_of_it(written):
    assert tree({"id": "a", "since": written}).since == parse_time("2026-01-31T00:00:00Z")
    assert tree({"id": "a", "since": written}).since % DAY == 0


def test_a_long_value_is_shown_short():
    with pytest.raises(DefinitionError) as caught:
        tree({"id": ["x" * 1_000]})
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("good", ["a", "hero-2", "A.b_c:d", "9", "x" * 100])
def test_an_id_of_letters_digits_and_marks_is_taken(good):
    check_id(good, "thing")


@pytest.mark.parametrize("bad", ["", "-a", "a b", "a/b", "../a", "é", "x" * 101, "a\n"])
def test_an_id_that_could_not_stand_in_a_path_is_refused(bad):
    with pytest.raises(ValueError, match="thing id must have 1 to 100 letters"):
        check_id(bad, "thing")
