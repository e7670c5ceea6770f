"""The path of a page, step by step: what rules insist on holds, content always says something, and why."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from bespeak import content, experiments, rules
from bespeak.catalog import Catalog, Item
from bespeak.clock import SECOND
from bespeak.decide import DecideSettings, Offer, Page, SlotRequest, Snapshot, decide
from bespeak.profiles import EMPTY, Profile, ProfileSettings, Recent, Trait, View
from bespeak.recommend import Interaction, Interactions, RecommendSettings, SeqKNN, Trending

AT = 1_780_000_000 * SECOND


def offer(**more: Any) -> Offer:
    settings = RecommendSettings()
    seqknn, trending = SeqKNN(settings), Trending(settings)
    for _ in range(5):
        for recommender in (seqknn, trending):
            recommender.learn(Interactions.of([Interaction("i1", "Product Viewed", AT - 9 * SECOND, ())]))
            recommender.learn(Interactions.of([Interaction("i2", "Product Viewed", AT - 8 * SECOND, ("i1",))]))
    items = [
        Item(id=f"i{n}", categories=("odd" if n % 2 else "even",), tags=(f"t{n % 4}",), price=float(n), created=AT - n)
        for n in range(400)
    ]
    base = Offer(
        catalog=Catalog(items),
        recommenders=(seqknn, trending),
        rules=(),
        experiments=(),
        blocks=(),
        recommend=settings,
        decide=DecideSettings(),
    )
    return msgspec.structs.replace(base, **more)


def snapshot(*viewed: str, personalized: bool = True, **traits: Any) -> Snapshot:
    profile = Profile(
        id="a:a",
        recent=[Recent(AT - SECOND, f"m{place}", "Product Viewed", item) for place, item in enumerate(viewed)],
        traits={name: Trait(value, AT, "m") for name, value in traits.items()},
    )
    view = View(profile if personalized else EMPTY, AT, ProfileSettings())
    return Snapshot(view, {"device": "a"}, personalized, "" if personalized else "nobody is known yet")


def answer(who: Snapshot, what: Offer, *slots: SlotRequest, spent: float = 0.0) -> Page:
    return decide(slots, who, what, at=AT, rng=Random(0), spent=lambda: spent, explain=True)


def shown(page: Page, slot: str = "home") -> list[str]:
    return [item.item for item in page.slots[slot].answer.items]


def test_what_was_looked_at_last_leads() -> None:
    page = answer(snapshot("i7", "i8", "i9", "i1"), offer(), SlotRequest(id="home", n=3))
    first = page.slots["home"].answer.items[0]
    assert (first.item, first.source, first.why[0].item) == ("i2", "seqknn", "i1")


def test_the_item_of_the_page_counts_as_looked_at_and_is_left_out() -> None:
    page = answer(snapshot(), offer(), SlotRequest(id="home", n=3, item="i1"))
    assert shown(page)[0] == "i2"
    assert "i1" not in shown(page)


def test_a_strict_filter_leaves_the_best_of_what_it_keeps() -> None:
    keep = rules.load(
        {"id": "cheap", "kind": "filter", "slots": ["home"], "action": "keep", "items": "item.price < 3"}, source="t"
    )
    page = answer(snapshot("i300"), offer(rules=(keep,)), SlotRequest(id="home", n=5))
    assert set(shown(page)) == {"i0", "i1", "i2"}


def test_a_category_and_what_is_excluded_hold() -> None:
    page = answer(snapshot("i1"), offer(), SlotRequest(id="home", n=200, category="odd", exclude=("i3",)))
    assert len(shown(page)) == 199
    assert "i3" not in shown(page)
    assert all(int(item[1:]) % 2 for item in shown(page))


def test_a_pin_stands_at_its_place_and_names_its_rule() -> None:
    pin = rules.load({"id": "star", "kind": "pin", "slots": ["home"], "place": 2, "item": "i399"}, source="t")
    items = answer(snapshot("i1"), offer(rules=(pin,)), SlotRequest(id="home", n=4)).slots["home"].answer.items
    assert items[1].item == "i399"
    assert (items[1].source, items[1].pinned) == ("rule:star", 1)


def test_a_boost_lifts_what_it_names() -> None:
    boost = rules.load(
        {"id": "push", "kind": "boost", "slots": ["home"], "items": 'item.tags in ["t3"]', "add": 100}, source="t"
    )
    page = answer(snapshot("i1"), offer(rules=(boost,)), SlotRequest(id="home", n=5))
    assert all(int(item[1:]) % 4 == 3 for item in shown(page))
    assert all(item.rules == ("push",) for item in page.slots["home"].answer.items)


def test_a_variant_changes_the_recommender_and_is_named() -> None:
    test = experiments.load(
        {
            "id": "mix",
            "status": "running",
            "variants": [
                {"key": "trending", "weight": 1, "settings": {"seqknn_weight": 0.0}},
                {"key": "control", "weight": 0},
            ],
        },
        source="t",
    )
    page = answer(snapshot("i1"), offer(experiments=(test,)), SlotRequest(id="home", n=2))
    assert all(item.source != "seqknn" for item in page.slots["home"].answer.items)


BLOCKS = (
    {
        "id": "hello",
        "slot": "hero",
        "priority": 5,
        "condition": "traits.name exists",
        "template": "<p>Hello {{ name }}</p>",
        "variables": {"name": {"path": "traits.name", "fallback": "you"}},
        "fallback": "<p>Hello</p>",
    },
    {"id": "all", "slot": "hero", "always": True, "template": "<p>Welcome</p>", "fallback": "<p>Welcome</p>"},
)


@pytest.fixture(scope="module")
def blocks() -> tuple[content.Block, ...]:
    return tuple(content.load(raw, source="t") for raw in BLOCKS)


def test_content_is_for_whom_it_says_and_escapes_what_people_wrote(blocks: tuple[content.Block, ...]) -> None:
    what = offer(blocks=blocks)
    known = answer(snapshot(name="<b>Ann"), what, SlotRequest(id="hero")).slots["hero"].answer
    assert known.content is not None
    assert known.content.html == "<p>Hello &lt;b&gt;Ann</p>"
    assert known.items == ()
    unknown = answer(snapshot(personalized=False), what, SlotRequest(id="hero")).slots["hero"].answer
    assert unknown.content is not None
    assert (unknown.content.block, unknown.content.html) == ("all", "<p>Welcome</p>")


def test_without_time_a_slot_keeps_its_content(blocks: tuple[content.Block, ...]) -> None:
    page = answer(snapshot("i1"), offer(blocks=blocks), SlotRequest(id="hero"), SlotRequest(id="home", n=5), spent=1.0)
    assert page.late == ("hero", "home")
    assert page.slots["hero"].answer.content is not None
    assert page.slots["home"].answer.items == ()


def test_an_empty_catalog_is_an_answer() -> None:
    page = answer(snapshot("i1"), offer(catalog=Catalog()), SlotRequest(id="home", n=5))
    assert shown(page) == []
    assert "nothing in the catalog" in page.slots["home"].answer.reason


def test_somebody_unknown_gets_what_is_trending() -> None:
    page = answer(snapshot(personalized=False), offer(), SlotRequest(id="home", n=2))
    assert set(shown(page)) == {"i1", "i2"}
    assert page.assignments == ()
    assert page.slots["home"].answer.reason.startswith("nobody is known yet")
