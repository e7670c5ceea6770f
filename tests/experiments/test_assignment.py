"""Assignment: who takes part, in which variant, with which probability, and the reason either way."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from bespeak.errors import ConditionError, DefinitionError
from bespeak.experiments import (
    Assigned,
    Experiment,
    NotAssigned,
    Variant,
    assign,
    assign_one,
    bucket,
    hash_v1,
    hash_v2,
    load,
    merge_settings,
)

IDS = [f"device-{number}" for number in range(10_000)]


class Person:
    """A visitor of whom these paths are known."""

    def __init__(self, **known: object) -> None:
        self.known = {name.replace("__", "."): value for name, value in known.items()}

    def get(self, path: str, /) -> object:
        return self.known.get(path)

    def state(self, key: str, /) -> None:
        return None


NOBODY = Person()


def experiment(**changes) -> Experiment:
    start = {"id": "ranking", "status": "running", "variants": (Variant(key="control"), Variant(key="fresh"))}
    return Experiment(**(start | changes))


def variants_of(test: Experiment, ids: list[str] = IDS) -> dict[str, str]:
    given = {i: assign_one(test, {"device": i}, NOBODY, 0) for i in ids}
    return {i: a.variant for i, a in given.items() if isinstance(a, Assigned)}


def test_a_device_gets_the_variant_of_the_range_that_holds_its_hash():
    # hash_v2("seed", "a") = .0505 and hash_v2("seed", "b") = .2696 are GrowthBook's published cases.
    shares = (Variant(key="x", weight=0.1), Variant(key="y", weight=0.9))
    test = experiment(seed="seed", variants=shares)
    assert [assign_one(test, {"device": i}, NOBODY, 0).variant for i in ("a", "b")] == ["x", "y"]


def test_the_seed_is_the_id_unless_another_is_given():
    assert bucket(experiment(), "a") == hash_v2("ranking", "a")
    assert bucket(experiment(seed="other"), "a") == hash_v2("other", "a")
    assert bucket(experiment(hash_version=1), "a") == hash_v1("ranking", "a")


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.2, 0.8), (0.05, 0.95)])
@pytest.mark.parametrize("key", ["ranking", "hero-2", "x"])
def test_variants_get_the_shares_that_were_asked_for(weights, key):
    test = experiment(id=key, variants=tuple(Variant(key=f"v{i}", weight=w) for i, w in enumerate(weights)))
    counts = Counter(variants_of(test).values())
    seen = [counts[f"v{i}"] for i in range(len(weights))]
    assert sum(seen) == len(IDS)
    assert chisquare(seen, [w * len(IDS) for w in weights]).pvalue > 1e-4


def test_the_share_of_those_who_take_part_is_the_coverage():
    taking_part = len(variants_of(experiment(coverage=0.3)))
    assert chisquare([taking_part, len(IDS) - taking_part], [0.3 * len(IDS), 0.7 * len(IDS)]).pvalue > 1e-4


def test_two_experiments_divide_the_same_devices_independently():
    one, two = variants_of(experiment(id="one")), variants_of(experiment(id="two"))
    cells = Counter((one[i], two[i]) for i in IDS)
    assert len(cells) == 4
    assert chisquare(list(cells.values())).pvalue > 1e-4


@given(st.floats(0, 1), st.floats(0, 1))
def test_raising_the_coverage_keeps_everyone_who_is_in_and_their_variant(one, other):
    low, high = sorted((one, other))
    before, after = (variants_of(experiment(coverage=c), IDS[:200]) for c in (low, high))
    assert before.items() <= after.items()


def test_a_variant_stays_whatever_else_is_known_of_the_visitor_and_whenever_it_is_asked():
    test = experiment()
    first = assign_one(test, {"device": "d1"}, NOBODY, 0)
    later = assign_one(test, {"device": "d1", "user": "u1"}, Person(traits__vip=True), 10**15)
    assert first == later


def test_propensity_is_weight_times_coverage():
    test = experiment(coverage=0.5, variants=(Variant(key="a", weight=0.2), Variant(key="b", weight=0.8)))
    found = {
        a.variant: a.propensity
        for i in IDS[:100]
        if isinstance(a := assign_one(test, {"device": i}, NOBODY, 0), Assigned)
    }
    assert found == pytest.approx({"a": 0.1, "b": 0.4})


def test_the_reason_names_the_hash_and_the_range():
    answer = assign_one(experiment(seed="seed"), {"device": "b"}, NOBODY, 0)
    assert answer.reason == "hash 0.2696 of the device is in 0 to 0.5"


@pytest.mark.parametrize(
    "changes, unit, cause, words",
    [
        ({"status": "draft"}, {"device": "d"}, "not_running", "status is draft"),
        ({"status": "stopped"}, {"device": "d"}, "not_running", "status is stopped"),
        ({}, {}, "no_unit", "names no device"),
        ({}, {"user": "u1"}, "no_unit", "names no device"),
        ({"unit": "user"}, {"device": "d"}, "no_unit", "names no user"),
        ({}, {"device": "null"}, "no_unit", "names no device"),
        ({}, {"device": "0000-0000"}, "no_unit", "names no device"),
        ({"coverage": 0.0}, {"device": "d"}, "not_covered", "outside the coverage of 0"),
    ],
)
def test_who_is_not_assigned_is_told_why(changes, unit, cause, words):
    answer = assign_one(experiment(**changes), unit, NOBODY, 0)
    assert isinstance(answer, NotAssigned)
    assert answer.cause == cause
    assert words in answer.reason


def test_only_those_for_whom_the_condition_holds_take_part():
    raw = {
        "id": "x",
        "status": "running",
        "condition": 'traits.country = "DE"',
        "variants": [{"key": "a"}, {"key": "b"}],
    }
    test = load(raw, source="x.yaml")
    assert isinstance(assign_one(test, {"device": "d"}, Person(traits__country="DE"), 0), Assigned)
    answer = assign_one(test, {"device": "d"}, Person(traits__country="FR"), 0)
    assert (answer.cause, answer.reason) == ("not_eligible", "the condition does not hold")


def test_an_experiment_by_user_follows_the_user_across_devices():
    test = experiment(unit="user")
    answers = [assign_one(test, {"device": d, "user": "u7"}, NOBODY, 0) for d in ("d1", "d2", "d3")]
    assert answers[0] == answers[1] == answers[2]


def test_assign_answers_for_each_experiment_in_order():
    tests = [experiment(id="one"), experiment(id="two", status="draft")]
    assert [(type(a), a.experiment) for a in assign(tests, {"device": "d"}, NOBODY, 0)] == [
        (Assigned, "one"),
        (NotAssigned, "two"),
    ]


def test_of_two_experiments_that_set_the_same_the_first_by_id_wins_and_the_other_is_named():
    made = [
        Assigned(experiment=key, variant="v", settings=values, reason="", propensity=0.5)
        for key, values in [("c", {"mmr": 0.1, "n": 3.0}), ("a", {"mmr": 0.9}), ("b", {"mmr": 0.9, "fresh": True})]
    ]
    merged = merge_settings([*made, NotAssigned(experiment="0", cause="no_unit", reason="")])
    assert merged.settings == {"mmr": 0.9, "fresh": True, "n": 3.0}
    assert merged.conflicts == {"mmr": ("c",)}, "b sets the same value: no conflict"


def test_an_experiment_reads_from_yaml_and_writes_back_the_same():
    raw = {
        "id": "ranking",
        "seed": "s",
        "status": "running",
        "unit": "user",
        "coverage": 0.5,
        "variants": [
            {"key": "control", "weight": 0.5, "settings": {"mmr": 0.8, "boost": True, "name": "x"}},
            {"key": "fresh", "weight": 0.5},
        ],
    }
    test = load(raw, source="ranking.yaml", version=3)
    assert test.version == 3
    assert test.variants[0].settings == {"mmr": 0.8, "boost": True, "name": "x"}
    again = {k: v for k, v in msgspec.to_builtins(test).items() if k != "version"}
    assert load(again, source="ranking.yaml", version=3) == test


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"variants": [{"key": "a"}]}, "x.yaml: experiment 'x': variants must be 2 to 20, got 1"),
        ({"variants": [{"key": "a"}, {"key": "a"}]}, "variant keys must differ, got a, a"),
        ({"variants": [{"key": "a", "weight": 0.5}, {"key": "b"}]}, "for every variant and add up to 1"),
        ({"variants": [{"key": "a", "weight": 0.5}, {"key": "b", "weight": 0.6}]}, "add up to 1 .* got 0.5, 0.6"),
        (
            {"variants": [{"key": "a", "weight": 2}, {"key": "b"}]},
            "variants\\[0\\]: weight of variant 'a' must be 0 to 1",
        ),
        ({"coverage": 1.2}, "coverage must be 0 to 1, got 1.2"),
        ({"coverage": "all"}, "coverage: expected a number, found 'all'"),
        ({"unit": "session"}, "unit: expected one of device, user, found 'session'"),
        ({"hash_version": 3}, "hash_version: expected one of 1, 2, found '3'"),
        ({"coverrage": 1}, "coverrage: unknown field; did you mean 'coverage'"),
        ({"id": "has space"}, "experiment id must have 1 to 100 letters, .* got 'has space'"),
        ({"version": 2}, "version: expected no such field, found 2; .* leave it out"),
        ({"seed": ""}, "seed must have 1 to 200 characters, got 0"),
    ],
)
def test_a_wrong_experiment_is_refused_with_file_field_and_value(changes, words):
    raw = {"id": "x", "variants": [{"key": "a"}, {"key": "b"}]} | changes
    with pytest.raises(DefinitionError, match=words) as caught:
        load(raw, source="x.yaml")
    assert str(caught.value).startswith("x.yaml: ")
    assert caught.value.problems


def test_a_wrong_condition_is_refused_when_the_experiment_is_read():
    with pytest.raises(ConditionError, match=r"x\.yaml: condition: "):
        load({"id": "x", "variants": [{"key": "a"}, {"key": "b"}], "condition": "traits.country ="}, source="x.yaml")
