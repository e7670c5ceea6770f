"""Rules at work: filters, boosts and pins on candidates whose answer is worked out by hand, and their laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.catalog import Catalog, Item
from bespeak.rules import Masks, Rule, Ruled, apply, load, masks_of

PRICES = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
TAGS = (("sale",), (), ("sale", "new"), (), ("new",), ())


class Person:
    def __init__(self, **known: object) -> None:
        self.known = {name.replace("__", "."): value for name, value in known.items()}

    def get(self, path: str, /) -> object:
        return self.known.get(path)

    def state(self, key: str, /) -> None:
        return None


NOBODY = Person()


def shop() -> Catalog:
    goods = [Item(id=f"i{n}", price=p, tags=t) for n, (p, t) in enumerate(zip(PRICES, TAGS, strict=True))]
    return Catalog(goods)


def rule(kind: str, rule_id: str = "r", **fields: object) -> Rule:
    return load({"id": rule_id, "kind": kind, **fields}, source="r.yaml")


def keep(items: str, rule_id: str = "keep", **more: object) -> Rule:
    return rule("filter", rule_id, action="keep", items=items, **more)


def drop(items: str, rule_id: str = "drop", **more: object) -> Rule:
    return rule("filter", rule_id, action="drop", items=items, **more)


def run(rules: list[Rule], *, person: Person = NOBODY, rows=(0, 1, 2, 3, 4, 5), scores=None, at=0, **more) -> Ruled:
    candidates = np.array(rows, np.intp)
    given_scores = np.array(scores if scores is not None else [5.0, 4.0, 3.0, 2.0, 1.0, 0.0][: len(rows)])
    before = candidates.copy(), given_scores.copy()
    ruled = apply(rules, "home", person, more.pop("catalog", None) or shop(), candidates, given_scores, at, **more)
    assert np.array_equal(candidates, before[0]), "the arrays given are not changed"
    assert np.array_equal(given_scores, before[1])
    assert len(ruled.rows) == len(ruled.scores)
    return ruled


# ---- filters


def test_keep_lets_only_matching_items_through_and_drop_takes_them_out():
    assert run([keep("item.price <= 30")]).rows.tolist() == [0, 1, 2]
    assert run([drop("item.price <= 30")]).rows.tolist() == [3, 4, 5]
    assert run([keep("item.price <= 30"), drop('item.tags = "new"')]).rows.tolist() == [0, 1]


def test_scores_stay_with_their_rows():
    ruled = run([drop("item.price = 20")], rows=(5, 1, 0), scores=[7.0, 8.0, 9.0])
    assert (ruled.rows.tolist(), ruled.scores.tolist()) == ([5, 0], [7.0, 9.0])


def test_a_filter_says_which_rows_it_keeps_out():
    ruled = run([keep("item.price <= 30"), drop('item.tags = "sale"')])
    assert np.flatnonzero(ruled.applied["keep"]).tolist() == [3, 4, 5]
    assert np.flatnonzero(ruled.applied["drop"]).tolist() == [0, 2]
    assert ruled.rules_of(0) == ("drop",)
    assert ruled.rules_of(1) == ()


def test_a_condition_may_read_visitor_and_item_together():
    rules = [keep("item.price <= 30 or traits.vip = true")]
    assert run(rules).rows.tolist() == [0, 1, 2]
    assert run(rules, person=Person(traits__vip=True)).rows.tolist() == [0, 1, 2, 3, 4, 5]


def test_everything_filtered_out_is_an_empty_answer():
    ruled = run(
        [keep("item.price > 1000"), rule("boost", items="item.price > 0", add=1), rule("pin", "p", place=1, item="i0")]
    )
    assert ruled.rows.tolist() == []
    assert ruled.pinned == {}
    assert "may not be shown here" in ruled.skipped["p"]


# ---- boosts


def test_add_moves_by_standard_deviations():
    ruled = run([rule("boost", items='item.tags = "new"', add=2.5)])
    assert ruled.scores.tolist() == [5.0, 4.0, 5.5, 2.0, 3.5, 0.0]
    assert np.flatnonzero(ruled.applied["r"]).tolist() == [2, 4]


def test_factor_stretches_the_distance_from_the_lowest_candidate():
    ruled = run([rule("boost", items="item.price <= 20", factor=2)], scores=[1.0, 0.0, -1.0, -1.0, -2.0, -3.0])
    assert ruled.scores.tolist() == [5.0, 3.0, -1.0, -1.0, -2.0, -3.0], "-3 + 2 * (1 + 3) and -3 + 2 * (0 + 3)"


def test_factor_nought_puts_an_item_at_the_end_and_one_does_nothing():
    assert run([rule("boost", items="item.price = 10", factor=0)]).scores.tolist() == [0.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    assert run([rule("boost", items="item.price > 0", factor=1)]).scores.tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]


def test_the_lowest_candidate_is_the_lowest_that_the_filters_let_through():
    ruled = run([keep("item.price <= 20"), rule("boost", items="item.price = 10", factor=3)])
    assert ruled.scores.tolist() == [7.0, 4.0], "4 + 3 * (5 - 4)"


BOOSTS = st.lists(
    st.tuples(
        st.sampled_from(['item.tags = "sale"', 'item.tags = "new"', "item.price > 25"]), st.booleans(), st.floats(0, 5)
    ),
    max_size=5,
)


@given(BOOSTS, st.randoms(use_true_random=False))
def test_the_order_of_boosts_does_not_matter(parts, luck):
    rules = [
        rule("boost", f"b{i}", items=items, **({"add": value} if adds else {"factor": value}))
        for i, (items, adds, value) in enumerate(parts)
    ]
    shuffled = list(rules)
    luck.shuffle(shuffled)
    assert np.allclose(run(rules).scores, run(shuffled).scores)


# ---- pins


def test_a_pin_has_its_place_whatever_its_score():
    ruled = run([rule("pin", place=1, item="i5")])
    assert (ruled.pinned, ruled.pinned_by) == ({5: 0}, {5: "r"})
    assert ruled.scores.tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    assert np.flatnonzero(ruled.applied["r"]).tolist() == [5]


def test_of_several_that_match_the_best_score_is_pinned_after_boosts():
    pin = rule("pin", "p", place=2, items='item.tags = "new"')
    assert run([pin]).pinned == {2: 1}
    assert run([pin, rule("boost", items="item.price = 50", add=9)]).pinned == {4: 1}


def test_two_pins_by_condition_take_two_items():
    pins = [rule("pin", f"p{n}", place=n, items='item.tags = "new"') for n in (1, 2, 3)]
    ruled = run(pins)
    assert ruled.pinned == {2: 0, 4: 1}
    assert ruled.skipped == {"p3": "no item that may be shown here matches"}


@pytest.mark.parametrize("priorities, winner, loser", [((2, 1), "a", "b"), ((1, 2), "b", "a"), ((0, 0), "a", "b")])
def test_of_two_pins_for_one_place_the_higher_priority_wins_then_the_first_id(priorities, winner, loser):
    pins = [
        rule("pin", i, place=1, item=f"i{n}", priority=p) for n, (i, p) in enumerate(zip("ab", priorities, strict=True))
    ]
    for order in (pins, pins[::-1]):
        ruled = run(order)
        assert list(ruled.pinned_by.values()) == [winner]
        assert ruled.skipped == {loser: f"place 1 is taken by rule {winner}"}


def test_an_item_is_pinned_at_one_place_only():
    ruled = run([rule("pin", "a", place=1, item="i0"), rule("pin", "b", place=2, item="i0")])
    assert ruled.pinned == {0: 0}
    assert ruled.skipped == {"b": "item 'i0' is pinned at place 1 already"}


def test_a_pinned_item_that_is_no_candidate_comes_in_only_when_it_is_pinnable():
    pin = rule("pin", place=1, item="i5")
    outside = run([pin], rows=(0, 1))
    assert (outside.rows.tolist(), outside.pinned) == ([0, 1], {})
    inside = run([pin], rows=(0, 1), pinnable=np.array([4, 5]))
    assert (inside.rows.tolist(), inside.scores.tolist(), inside.pinned) == ([0, 1, 5], [5.0, 4.0, 4.0], {5: 0})
    assert run([pin, drop("item.price = 60")], rows=(0, 1), pinnable=np.array([4, 5])).pinned == {}


def test_a_pin_by_condition_prefers_candidates_and_then_takes_what_is_pinnable():
    pin = rule("pin", place=1, items='item.tags = "new"')
    assert run([pin], rows=(0, 4), pinnable=np.array([2, 4])).pinned == {4: 0}
    assert run([pin], rows=(0, 1), pinnable=np.array([2, 4])).pinned == {2: 0}
    assert run([pin], rows=(), scores=[], pinnable=np.array([2])).rows.tolist() == [2]


def test_an_item_that_nobody_knows_is_skipped_with_the_reason():
    assert run([rule("pin", place=1, item="i99")]).skipped == {"r": "item 'i99' is not in the catalog"}


# ---- which rules work


@pytest.mark.parametrize(
    "changes",
    [
        {"enabled": False},
        {"slots": ["cart"]},
        {"when": "traits.vip = true"},
        {"from": "2026-01-01"},
        {"until": "1970-01-01"},
    ],
)
def test_a_rule_that_does_not_work_is_as_if_it_were_not_there(changes):
    for made in (
        keep("item.price > 1000", **changes),
        rule("boost", items="item.price > 0", add=1, **changes),
        rule("pin", place=1, item="i5", **changes),
    ):
        ruled = run([made])
        nothing = run([])
        assert (ruled.rows.tolist(), ruled.scores.tolist()) == (nothing.rows.tolist(), nothing.scores.tolist())
        assert (ruled.pinned, ruled.applied, ruled.skipped) == ({}, {}, {})


def test_a_rule_for_some_visitors_works_for_them():
    made = keep("item.price <= 20", when="traits.vip = true")
    assert run([made], person=Person(traits__vip=True)).rows.tolist() == [0, 1]


CONDITIONS = st.sampled_from(
    ['item.tags = "sale"', 'not item.tags = "new"', "item.price > 25", "item.price between", "item.price <= 40"]
).filter(lambda text: "between" not in text)


@given(
    st.lists(st.tuples(CONDITIONS, st.sampled_from(["keep", "drop"])), max_size=3),
    st.lists(st.tuples(CONDITIONS, st.integers(1, 3), st.integers(-1, 1)), max_size=4),
    st.sets(st.integers(0, 5)),
)
def test_no_pin_brings_back_what_a_filter_keeps_out_and_places_and_items_are_taken_once(filters, pins, rows):
    rules = [rule("filter", f"f{i}", items=items, action=action) for i, (items, action) in enumerate(filters)]
    rules += [rule("pin", f"p{i}", items=items, place=p, priority=q) for i, (items, p, q) in enumerate(pins)]
    candidates = sorted(rows)
    ruled = run(rules, rows=candidates, scores=[float(r) for r in candidates], pinnable=np.arange(6))
    kept_out = {row for i in range(len(filters)) for row in np.flatnonzero(ruled.applied[f"f{i}"])}
    assert not kept_out & set(ruled.rows.tolist())
    assert not kept_out & set(ruled.pinned)
    assert set(ruled.pinned) <= set(ruled.rows.tolist())
    assert len(set(ruled.pinned.values())) == len(ruled.pinned)
    assert len(set(ruled.rows.tolist())) == len(ruled.rows)
    assert set(ruled.pinned_by.values()) | set(ruled.skipped) == {f"p{i}" for i in range(len(pins))}


# ---- masks


class Counting(Catalog):
    """A catalog that counts how often its columns are read."""

    reads = 0

    def __getattribute__(self, name):
        if name == "columns":
            Counting.reads += 1
        return super().__getattribute__(name)


def test_a_mask_is_worked_out_once_for_a_version_of_the_catalog():
    catalog = Counting([Item(id="a", price=1.0), Item(id="b", price=2.0)])
    rules = [keep("item.price <= 1")]
    Counting.reads = 0
    for _ in range(5):
        assert run(rules, rows=(0, 1), catalog=catalog).rows.tolist() == [0]
    assert Counting.reads == 1
    catalog.put([Item(id="b", price=0.5), Item(id="c", price=0.1)])
    assert run(rules, rows=(0, 1, 2), catalog=catalog).rows.tolist() == [0, 1, 2]
    assert Counting.reads == 2


def test_two_catalogs_of_the_same_version_do_not_share_masks():
    one, two = (Catalog([Item(id="a", price=price)]) for price in (1.0, 9.0))
    assert one.version == two.version
    rules = [keep("item.price <= 5")]
    assert [len(run(rules, rows=(0,), catalog=c).rows) for c in (one, two, one)] == [1, 0, 1]


def test_a_visitor_gets_the_mask_of_what_is_left_of_the_condition_for_them():
    catalog, masks = shop(), Masks()
    rules = [keep('item.price <= 20 or (traits.vip = true and item.tags = "new")')]
    for _ in range(3):
        assert run(rules, catalog=catalog, masks=masks).rows.tolist() == [0, 1]
        assert run(rules, catalog=catalog, masks=masks, person=Person(traits__vip=True)).rows.tolist() == [0, 1, 2, 4]
    assert len(masks) == 2


def test_flag_and_number_are_not_the_same_condition():
    catalog = Catalog([Item(id="a", properties={"new": True}), Item(id="b", properties={"new": 1})])
    masks = Masks()
    first = run([keep("item.properties.new = 1")], rows=(0, 1), catalog=catalog, masks=masks).rows.tolist()
    second = run([keep("item.properties.new = true")], rows=(0, 1), catalog=catalog, masks=masks).rows.tolist()
    assert (first, second) == ([1], [0])


def test_masks_stay_within_their_bound_and_the_least_recently_used_goes_first():
    catalog, masks = shop(), Masks(bytes_max=12)
    for price in (10, 20, 10, 30):
        run([keep(f"item.price <= {price}")], catalog=catalog, masks=masks)
        assert masks.bytes <= 12
    assert len(masks) == 2
    assert run([keep("item.price <= 20")], catalog=catalog, masks=masks).rows.tolist() == [0, 1]


def test_a_mask_cannot_be_changed_by_who_gets_it():
    catalog = shop()
    ruled = run([drop("item.price <= 20")], catalog=catalog)
    with pytest.raises(ValueError, match="read-only"):
        ruled.applied["drop"][0] = False
    assert len(masks_of(catalog)) == 1
