"""The order of a person's recent events, whatever order they came in and whoever sent them."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from bespeak.clock import DAY, SECOND
from bespeak.conditions import Feeds
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, fold, merge

START = 1_780_000_000 * SECOND
FOLDING = Folding(Feeds(()), {}.get, ProfileSettings())


def event(offset: int, message_id: str, *items: str, source: str = "site") -> Event:
    return Event(
        type="track",
        name="Product Viewed",
        message_id=message_id,
        time=START + offset * SECOND,
        received=START + DAY,
        anonymous_id="a",
        source=source,
        properties={"products": [{"product_id": item} for item in items]},
    )


def recent(*events: Event) -> list[object]:
    profile = Profile(id="a:a")
    for each in events:
        fold(profile, each, FOLDING)
    return msgspec.to_builtins(profile.recent)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_items_of_an_event_stand_in_one_order_however_late_it_arrives(order: tuple[int, ...]) -> None:
    sent = [event(0, "m0", "z", "a", "k"), event(1, "m1", "q"), event(2, "m2", "y", "b")]
    found = recent(*(sent[place] for place in order))
    assert [row[3] for row in found] == ["a", "k", "z", "q", "b", "y"]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_two_senders_may_use_one_message_id_and_only_one_of_them_speak_of_an_item(order: tuple[int, ...]) -> None:
    sent = [event(0, "m"), event(0, "m", "lamp", source="app"), event(0, "m", "desk", source="till")]
    found = recent(*(sent[place] for place in order))
    assert [row[3] for row in found] == [None, "desk", "lamp"]


def test_they_have_an_order_also_when_two_people_become_one() -> None:
    one, other = Profile(id="a:a"), Profile(id="a:b")
    fold(one, event(0, "m", "lamp"), FOLDING)
    fold(other, event(0, "m", source="app"), FOLDING)
    merge(one, other, ProfileSettings())
    assert [row.item for row in one.recent] == [None, "lamp"]
