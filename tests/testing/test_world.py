"""The town: the same seed is the same town, tastes show in what people do, and faults are what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.clock import DAY, MINUTE, format_time, parse_time
from bespeak.errors import InvalidInput
from bespeak.testing.world import KINDS, OPENED, Ask, Faults, Memory, Message, World, play, visit


@pytest.fixture(scope="module")
def town() -> World:
    return World(11, people=300, items=240)


@pytest.fixture(scope="module")
def month(town: World) -> list[Message]:
    return list(town.history(OPENED, days=30))


def _product(message: Message) -> str:
    properties = message["properties"]
    assert isinstance(properties, dict)
    return str(properties["product_id"])


@settings.get_profile("fewest")
@given(seed=st.integers(0, 2**40))
def test_the_same_seed_is_the_same_town(seed: int) -> None:
    one, two = World(seed, people=12, items=24), World(seed, people=12, items=24)
    assert one.items == two.items
    assert one.people == two.people
    assert list(one.history(OPENED, days=20)) == list(two.history(OPENED, days=20))


def test_another_seed_is_another_town() -> None:
    assert World(1, people=5, items=24).items != World(2, people=5, items=24).items
    assert World(1, people=5, items=24).people != World(2, people=5, items=24).people


def test_a_person_does_the_same_whoever_else_lives_in_the_town() -> None:
    small, large = World(3, people=4, items=60), World(3, people=40, items=60)
    for person in small.people:
        assert list(small.visits(person, OPENED, days=30)) == list(large.visits(person, OPENED, days=30))


@settings.get_profile("fewest")
@given(seed=st.integers(0, 10_000), size=st.integers(12, 120))
def test_goods_have_their_own_ids_and_titles_and_fill_every_category(seed: int, size: int) -> None:
    items = World(seed, people=1, items=size).items
    assert len({item.id for item in items}) == len({item.title for item in items}) == size
    assert {item.categories[-1] for item in items} == {kind.key for kind in KINDS}
    assert all(len(item.categories) == 2 and item.price is not None and item.price >= 4 for item in items)


def test_a_discount_is_what_the_two_prices_say(town: World) -> None:
    reduced = [item for item in town.items if "sale" in item.tags]
    assert reduced
    for item in reduced:
        full = item.properties["full_price"]
        assert item.price is not None
        assert item.price < full
        assert abs(item.price - full * (100 - item.properties["discount"]) / 100) <= 0.5


def test_taste_is_between_nothing_and_one_and_the_best_item_has_one(town: World) -> None:
    for person in town.people[:50]:
        taste = town.taste(person)
        assert taste.shape == (240,)
        assert taste.max() == 1.0
        assert taste.min() > 0


def test_people_view_what_they_like_far_more_than_chance(town: World, month: list[Message]) -> None:
    owner = {device.anonymous_id: person for person in town.people for device in person.devices}
    viewed = [message for message in month if message.get("event") == "Product Viewed"]
    liked = [town.taste(owner[str(message["anonymousId"])])[town.row(_product(message))] for message in viewed]
    everyone = np.mean([town.taste(person).mean() for person in town.people])
    assert np.mean(liked) > 4 * everyone


def test_popularity_is_skewed_as_in_a_real_shop(month: list[Message]) -> None:
    views = Counter(_product(message) for message in month if message.get("event") == "Product Viewed")
    top = sum(count for _, count in views.most_common(24))
    assert top > 0.3 * sum(views.values())


def test_history_is_in_the_order_of_time_and_its_ids_are_unique(month: list[Message]) -> None:
    times = [parse_time(str(message["timestamp"])) for message in month]
    assert times == sorted(times)
    assert times[0] >= OPENED
    assert len({message["messageId"] for message in month}) == len(month)


def test_every_message_is_a_call_of_segments_spec(month: list[Message]) -> None:
    for message in month:
        assert message["anonymousId"]
        assert len(str(message["messageId"])) <= 100
        match message["type"]:
            case "track":
                assert isinstance(message["event"], str)
            case "page":
                assert isinstance(message["name"], str)
            case kind:
                assert kind == "identify"
                assert message["userId"]


def test_an_order_never_costs_more_than_the_budget(town: World, month: list[Message]) -> None:
    owner = {device.anonymous_id: person for person in town.people for device in person.devices}
    orders = [message for message in month if message.get("event") == "Order Completed"]
    assert orders
    for order in orders:
        properties = order["properties"]
        assert isinstance(properties, dict)
        assert properties["revenue"] == sum(line["price"] for line in properties["products"])
        assert properties["revenue"] <= owner[str(order["anonymousId"])].budget


def test_people_know_themselves_only_after_they_identified(month: list[Message]) -> None:
    known: dict[str, str] = {}
    for message in month:
        device = str(message["anonymousId"])
        if message["type"] == "identify":
            known[device] = str(message["userId"])
        assert message.get("userId") == known.get(device)
    assert known


def test_about_eight_percent_deny_personalization_and_say_so() -> None:
    people = World(5, people=2000, items=12).people
    denied = sum(person.consent == "denied" for person in people)
    assert 0.05 < denied / len(people) < 0.11
    two = sum(len(person.devices) == 2 for person in people)
    assert 0.2 < two / len(people) < 0.3


def test_the_banner_is_answered_once_a_device(town: World, month: list[Message]) -> None:
    answers = Counter(
        message["anonymousId"] for message in month if message.get("event") == "Segment Consent Preference Updated"
    )
    assert set(answers.values()) == {1}
    unasked = {d.anonymous_id for person in town.people if person.consent == "unasked" for d in person.devices}
    assert not unasked & set(answers)


def test_what_a_slot_shows_changes_what_people_do(town: World) -> None:
    person = max(town.people, key=lambda one: one.visits_per_day)
    best = [town.items[row].id for row in np.argsort(-town.taste(person))[:8]]
    worst = [town.items[row].id for row in np.argsort(town.taste(person))[:8]]

    def clicks(shown: Sequence[str]) -> int:
        made = 0
        for start in range(20):
            messages = town.visits(person, OPENED + start * 30 * DAY, days=30, shown=lambda _: shown)
            made += sum(message.get("event") == "Product Clicked" for message in messages)
        return made

    assert clicks(best) > 3 * clicks(worst)


def test_a_click_is_on_something_that_was_shown(town: World) -> None:
    shown: list[tuple[Ask, Sequence[str]]] = []

    def window(ask: Ask) -> Sequence[str]:
        shown.append((ask, town.popular(20)[len(shown) % 12 :][:8]))
        return shown[-1][1]

    clicks = 0
    for person in town.people[:60]:
        for message in town.visits(person, OPENED, days=30, shown=window):
            if message.get("event") == "Product Clicked":
                ask, items = shown[-1]
                properties = message["properties"]
                assert isinstance(properties, dict)
                assert message["anonymousId"] == ask.device.anonymous_id
                assert properties["list_id"] == ask.slot
                assert items[properties["position"] - 1] == properties["product_id"]
                clicks += 1
    assert clicks > 20


def test_a_slot_that_shows_nothing_is_never_clicked(town: World) -> None:
    messages = [message for person in town.people[:40] for message in town.visits(person, OPENED, days=30, shown=_none)]
    assert messages
    assert not any(message.get("event") == "Product Clicked" for message in messages)


def _none(_: Ask) -> Sequence[str]:
    return ()


def test_a_visit_keeps_what_the_device_remembers(town: World) -> None:
    person = next(one for one in town.people if one.login == "at_visit" and one.consent == "granted")
    memory = Memory()
    first = list(play(visit(town, person, person.devices[0], memory, OPENED, Random(1)), town.without_engine))
    assert memory == Memory(asked=True, known=True)
    second = list(play(visit(town, person, person.devices[0], memory, OPENED + DAY, Random(2)), town.without_engine))
    assert any(did.message["type"] == "identify" for did in first)
    assert not any(did.message["type"] == "identify" for did in second)
    assert all(did.message["userId"] == person.user_id for did in second)


def test_without_faults_everything_arrives_as_it_was_sent(town: World, month: list[Message]) -> None:
    arrived = list(town.deliveries(OPENED, days=30, faults=Faults()))
    assert [delivery.message for delivery in arrived] == month
    assert all(
        format_time(delivery.at) == str(message["timestamp"]) for delivery, message in zip(arrived, month, strict=True)
    )


def test_faults_have_their_shares_and_come_in_the_order_of_arrival(town: World, month: list[Message]) -> None:
    faults = Faults(dropped=0.1, doubled=0.2, late=0.3, malformed=0.05, delay=10 * MINUTE)
    arrived = list(town.deliveries(OPENED, days=30, faults=faults))
    kinds = Counter(delivery.fault for delivery in arrived)
    sent = len(month)
    kept = kinds["none"] + kinds["late"]
    assert abs(kept / sent - 0.9) < 0.03
    assert abs(kinds["doubled"] / kept - 0.2) < 0.03
    assert abs(kinds["late"] / kept - 0.3) < 0.03
    assert abs(kinds["malformed"] / kept - 0.05) < 0.02
    assert [delivery.at for delivery in arrived] == sorted(delivery.at for delivery in arrived)


def test_every_message_that_was_not_dropped_arrives_undamaged(town: World, month: list[Message]) -> None:
    faults = Faults(doubled=0.3, late=0.5, malformed=0.3)
    arrived = list(town.deliveries(OPENED, days=30, faults=faults))
    whole = [delivery.message for delivery in arrived if delivery.fault in {"none", "late"}]
    assert sorted(whole, key=_message_id) == sorted(month, key=_message_id)
    sent = {_message_id(message): message for message in month}
    doubled = [delivery.message for delivery in arrived if delivery.fault == "doubled"]
    assert all(sent[_message_id(message)] == message for message in doubled)


def _message_id(message: object) -> str:
    assert isinstance(message, dict)
    return str(message["messageId"])


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_of_faults_outside_0_and_1_is_refused(share: float) -> None:
    with pytest.raises(InvalidInput, match="late is a share of 0 to 1"):
        Faults(late=share)


@pytest.mark.parametrize("people,items", [(0, 12), (1, 11)])
def test_a_world_that_is_too_small_is_refused(people: int, items: int) -> None:
    with pytest.raises(InvalidInput, match="at least 1 person and 12 items"):
        World(1, people=people, items=items)
