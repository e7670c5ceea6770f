"""The laws of the fold: order does not matter within the allowed delay, and two halves of one person are the whole."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.catalog import Item
from bespeak.clock import DAY, HOUR, MINUTE, SECOND
from bespeak.conditions import Feeds, compile_condition, parse
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, faded, fold, merge

START = 1_780_000_000 * SECOND
ITEMS = {f"i{n}": Item(id=f"i{n}", categories=(f"c{n % 3}",), tags=(f"t{n % 2}",), price=float(n)) for n in range(6)}
AGGREGATES = tuple(
    aggregate
    for text in (
        'count("Product Viewed", last 2 hours) >= 2',
        'count("Product Viewed" where properties.price > 2) >= 1',
        'sum(properties.price of "Product Added", last 5 hours) > 3',
        'last(properties.price of "Product Viewed") = 3',
    )
    for aggregate in compile_condition(parse(text)).depends.aggregates
)
FOLDING = Folding(Feeds(AGGREGATES), ITEMS.get, ProfileSettings())


def events(offsets: list[int]) -> list[Event]:
    rng = Random(len(offsets))
    names = ["Product Viewed", "Product Added", "Order Completed", "Page Viewed"]
    found: list[Event] = []
    for place, offset in enumerate(offsets):
        name = rng.choice(names)
        number = rng.randrange(6)
        found.append(
            Event(
                type="track",
                name=name,
                message_id=f"m{place:03d}",
                time=START + offset * MINUTE,
                received=START + 2 * DAY,
                anonymous_id="a",
                properties={"product_id": f"i{number}", "price": number},
                context={"traits": {"seen": number}},
            )
        )
    return found


def folded(sequence: list[Event]) -> Profile:
    profile = Profile(id="a:a")
    for event in sequence:
        fold(profile, event, FOLDING)
    return profile


def comparable(profile: Profile) -> object:
    """Everything a profile says, with faded sums brought to one instant and rounded beyond float noise."""
    plain = msgspec.to_builtins(profile, builtin_types=(bytes,))
    at = START + 2 * DAY
    halflife = FOLDING.settings.interest_halflife
    interests = {key: round(faded(value, at, halflife), 9) for key, value in profile.interests.items()}
    return {**plain, "interests": dict(sorted(interests.items()))}


minutes = st.lists(st.integers(0, 23 * 60), min_size=1, max_size=25)


@given(minutes, st.randoms(use_true_random=False))
def test_any_order_of_arrival_within_the_allowed_delay_gives_the_same_profile(offsets: list[int], rng: Random) -> None:
    in_order = sorted(events(offsets), key=lambda event: (event.time, event.message_id))
    shuffled = in_order[:]
    rng.shuffle(shuffled)
    assert comparable(folded(shuffled)) == comparable(folded(in_order))


@given(minutes, st.randoms(use_true_random=False))
def test_merging_two_halves_gives_the_whole(offsets: list[int], rng: Random) -> None:
    whole = events(offsets)
    left = [event for event in whole if rng.random() < 0.5]
    right = [event for event in whole if event not in left]
    one, other = folded(left), folded(right)
    merge(one, other, FOLDING.settings)
    one.aliases = []
    other_way = folded(right)
    merge(other_way, folded(left), FOLDING.settings)
    other_way.aliases = []
    assert comparable(one) == comparable(folded(whole))
    assert comparable(other_way) == comparable(one)


@settings.get_profile("few")
@given(minutes)
def test_a_profile_survives_its_bytes(offsets: list[int]) -> None:
    profile = folded(events(offsets))
    data = msgspec.msgpack.encode(profile)
    assert msgspec.msgpack.decode(data, type=Profile) == profile


def test_sessions_are_runs_without_a_pause_of_half_an_hour() -> None:
    profile = folded(events([0, 10, 39, 70, 99, 200]))
    assert profile.sessions == 3  # 0-39 | 70-99 (31 minutes after 39) | 200
    assert profile.session is not None
    assert profile.session.started == profile.session.ended == START + 200 * MINUTE


def test_a_late_event_bridges_two_sessions() -> None:
    first, second, bridge = events([0, 40, 20])
    profile = folded([first, second])
    assert profile.sessions == 2
    fold(profile, bridge, FOLDING)
    assert profile.sessions == 1
    assert profile.session is not None
    assert profile.session.started == START


def test_an_event_beyond_the_allowed_delay_counts_for_ever_only() -> None:
    newest, late = events([25 * 60, 0])
    late = msgspec.structs.replace(late, name="Product Viewed", properties={"product_id": "i5", "price": 5})
    newest = msgspec.structs.replace(newest, name="Page Viewed")
    profile = folded([newest, late])
    assert profile.late == 1
    assert profile.counts["Product Viewed"] == 1
    assert [row.name for row in profile.recent] == ["Page Viewed"]
    assert profile.interests == {}
    ever = Feeds(compile_condition(parse('count("Product Viewed" where properties.price > 2) >= 1')).depends.aggregates)
    window = Feeds(compile_condition(parse('count("Product Viewed", last 2 hours) >= 2')).depends.aggregates)
    assert ever.keys[0] in profile.aggregates
    assert window.keys[0] not in profile.aggregates


def test_the_newer_message_sets_the_trait_whatever_arrives_first() -> None:
    def identify(place: int, minute: int, plan: str) -> Event:
        return Event(
            type="identify",
            name="Identified",
            message_id=f"m{place}",
            time=START + minute * MINUTE,
            received=START,
            user_id="u",
            properties={"plan": plan},
        )

    profile = folded([identify(1, 10, "new"), identify(2, 5, "old")])
    assert profile.traits["plan"].value == "new"


def test_an_interest_halves_in_its_halflife() -> None:
    view = msgspec.structs.replace(events([0])[0], name="Product Viewed", properties={"product_id": "i0"})
    profile = folded([view])
    value = profile.interests["category:c0"]
    halflife = FOLDING.settings.interest_halflife
    assert faded(value, view.time, halflife) == 1.0
    assert faded(value, view.time + halflife, halflife) == pytest.approx(0.5)
    assert faded(value, view.time + 2 * halflife, halflife) == pytest.approx(0.25)


def test_bounds_hold() -> None:
    small = Folding(Feeds(()), ITEMS.get, ProfileSettings(traits_max=2, recent_max=10, items_max=10, interests_max=10))
    profile = Profile(id="a:a")
    for place in range(60):
        event = Event(
            type="track",
            name="Order Completed",
            message_id=f"m{place:03d}",
            time=START + place * HOUR,
            received=START,
            anonymous_id="a",
            properties={"product_id": f"x{place}", "category": f"k{place}"},
            context={"traits": {f"t{place}": 1}},
        )
        fold(profile, event, small)
    assert len(profile.traits) == 2
    assert len(profile.recent) == 10
    assert len(profile.bought) == 10
    assert "x59" in profile.bought
    assert len(profile.interests) <= 10
    assert "category:k59" in profile.interests


def test_a_denial_holds_however_late_it_arrives_and_is_never_crowded_out() -> None:
    def said(place: int, minute: int, choices: dict[str, bool]) -> Event:
        return Event(
            type="track",
            name="Page Viewed",
            message_id=f"m{place}",
            time=START + minute * MINUTE,
            received=START + 9 * DAY,
            anonymous_id="a",
            context={"consent": {"categoryPreferences": choices}},
        )

    profile = folded([said(1, 3 * 24 * 60, {}), said(2, 0, {"personalization": False})])
    assert profile.late == 1
    assert profile.consent["personalization"].granted is False
    crowd = [said(n, n, {f"junk-{n}-{one}": True for one in range(40)}) for n in range(1, 5)]
    profile = folded([*crowd, said(9, 60, {"personalization": False})])
    assert len(profile.consent) <= 100
    assert profile.consent["personalization"].granted is False


def test_event_names_are_counted_up_to_a_bound() -> None:
    small = Folding(Feeds(()), ITEMS.get, ProfileSettings(names_max=10))
    profile = Profile(id="a:a")
    for place, event in enumerate(events(list(range(40)))):
        fold(profile, msgspec.structs.replace(event, name=f"Name {place}"), small)
    assert len(profile.counts) == len(profile.last) == 10
