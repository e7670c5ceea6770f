"""Who entered and left segments is told with what did it: once, and in the order in which it came true."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bespeak.clock import HOUR, MINUTE, SECOND
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Cause, read_changes
from bespeak.errors import StoreError
from bespeak.testing.by_hand import START, ByHand, said
from bespeak.testing.world_changes import changes_are_live

pytestmark = pytest.mark.anyio

KEEN = 'count("Product Viewed", last 1 minute) >= 2'
NEW = 'not performed("Order Completed")'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def told(shop: ByHand) -> list[str]:
    """Say what changed in a few words."""
    return [said(one) for one in await shop.changes()]


async def test_an_event_says_who_entered_and_left_with_its_name_and_place_in_the_log() -> None:
    shop = await ByHand().open(keen=KEEN, new=NEW)
    first = await shop.send("ann", "Product Viewed")
    shop.clock.advance(SECOND)
    second = await shop.send("ann", "Product Viewed")
    third = await shop.send("ann", "Order Completed", "the order")
    changes = await shop.changes()
    assert [said(one) for one in changes] == [
        "a:ann enters new v1 at 0, event",
        "a:ann enters keen v1 at 1, event",
        "a:ann leaves new v1 at 1, event",
    ]
    assert [one.cause.offset for one in changes] == [first, second, third]
    assert changes[2].cause == Cause("event", third, "Order Completed", "the order")
    assert "2" in changes[1].why
    changes_are_live(shop.engine)
    await shop.engine.close()


async def test_time_alone_says_so_with_its_true_instant_whoever_came_to_it_first() -> None:
    shop = await ByHand().open(keen=KEEN)
    for who in ("ann", "bob", "cleo"):
        await shop.send(who, "Product Viewed")
        await shop.send(who, "Product Viewed", f"{who} again")
    shop.clock.advance(5 * MINUTE)
    await shop.send("ann", "Something")
    request = DecideRequest(anonymous_id="bob", slots=(SlotRequest(id="home", n=1),))
    shop.engine.decide(request, key=shop.key)
    await shop.let_pass(0)
    changes = (await shop.changes())[3:]
    assert {said(one) for one in changes} == {f"a:{who} leaves keen v1 at 60, time" for who in ("ann", "bob", "cleo")}
    assert {one.cause for one in changes} == {Cause("time")}
    changes_are_live(shop.engine)
    await shop.engine.close()


async def test_a_late_event_changes_as_of_now_and_names_itself() -> None:
    shop = await ByHand().open(often='count("Product Viewed", last 1 hour) >= 2')
    await shop.send("ann", "Product Viewed")
    late = await shop.send("ann", "Product Viewed", "late", at=START - 10 * MINUTE)
    (change,) = await shop.changes()
    assert said(change) == "a:ann enters often v1 at 0, event"
    assert change.cause == Cause("event", late, "Product Viewed", "late")
    await shop.let_pass(HOUR)
    assert (await told(shop))[1] == "a:ann leaves often v1 at 3000, time"
    await shop.engine.close()


async def test_a_definition_says_who_it_moves_when_it_is_new_changed_and_deleted() -> None:
    shop = await ByHand().open()
    for place, who in enumerate(("ann", "bob", "cleo")):
        for view in range(place + 1):
            await shop.send(who, "Product Viewed", f"{who} {view}")
    offsets: list[int] = []
    for least in (">= 2", ">= 3", "<= 1"):
        shop.clock.advance(SECOND)
        await shop.define(views=f'count("Product Viewed") {least}')
        offsets.append(shop.store.last_offset())
    shop.clock.advance(SECOND)
    await shop.engine.delete("segments", "views")
    offsets.append(shop.store.last_offset())
    changes = await shop.changes()
    assert sorted(said(one) for one in changes) == sorted(
        [
            "a:bob enters views v1 at 1, definition",
            "a:cleo enters views v1 at 1, definition",
            "a:bob leaves views v2 at 2, definition",
            "a:cleo leaves views v3 at 3, definition",
            "a:ann enters views v3 at 3, definition",
            "a:ann leaves views v3 at 4, definition",
        ]
    )
    assert [one.cause.offset for one in changes] == sorted(one.cause.offset for one in changes)
    assert {one.cause.offset for one in changes} == set(offsets)
    changes_are_live(shop.engine)
    await shop.engine.close()


async def test_a_join_ends_the_memberships_of_the_device_and_begins_those_of_the_person() -> None:
    shop = await ByHand().open(seen='count("Product Viewed") >= 1', often='count("Product Viewed") >= 3')
    for view in range(2):
        await shop.send("phone", "Product Viewed", f"phone {view}")
    await shop.send("user-1", "Product Viewed")
    shop.clock.advance(SECOND)
    joined = await shop.signs_in("phone", "user-1")
    changes = await shop.changes()
    assert [said(one) for one in changes] == [
        "a:phone enters seen v1 at 0, event",
        "u:user-1 enters seen v1 at 0, event",
        "a:phone leaves seen v1 at 1, join",
        "u:user-1 enters often v1 at 1, join",
    ]
    assert {(one.cause.offset, one.cause.message_id) for one in changes[2:]} == {(joined, "phone-is-user-1")}
    changes_are_live(shop.engine)
    assert shop.engine.segment_sizes() == {"seen": 1, "often": 1}
    for any_id in ("user-1", "phone", "u:user-1"):
        page = await read_changes(shop.engine, profile=any_id)
        assert list(page.changes) == changes, "one person, under whatever id"
    await shop.engine.close()


async def test_enters_and_leaves_at_the_same_instant_are_all_kept() -> None:
    shop = await ByHand().open(odd='count("Product Viewed") = 1 or count("Product Viewed") = 3')
    for view in range(4):
        await shop.send("ann", "Product Viewed", f"ann {view}")
    changes = await shop.changes()
    assert [one.entered for one in changes] == [True, False, True, False]
    assert {one.at for one in changes} == {START}
    changes_are_live(shop.engine)
    await shop.engine.close()


@pytest.mark.parametrize("trouble", ["lost", "unheard"])
async def test_what_a_failed_commit_takes_back_is_not_told_and_what_it_kept_is_told_once(trouble: Any) -> None:
    shop = await ByHand().open(keen=KEEN)
    await shop.send("ann", "Product Viewed")
    shop.store.trouble = trouble
    body = json.dumps({"batch": [{"type": "track", "event": "Product Viewed", "anonymousId": "ann", "messageId": "x"}]})
    with pytest.raises(StoreError, match=trouble):
        await shop.engine.track(shop.engine.parse(body.encode(), key=shop.key), shop.key)
    shop.store.trouble = "none"
    kept = ["a:ann enters keen v1 at 0, event"] if trouble == "unheard" else []
    assert await told(shop) == kept
    await shop.engine.track(shop.engine.parse(body.encode(), key=shop.key), shop.key)
    assert await told(shop) == ["a:ann enters keen v1 at 0, event"]
    changes_are_live(shop.engine)
    await shop.engine.close()


async def test_flips_wait_while_the_disk_fails_and_are_told_once_when_it_is_well() -> None:
    shop = await ByHand().open(keen=KEEN)
    for view in range(2):
        await shop.send("ann", "Product Viewed", f"ann {view}")
    shop.store.trouble = "lost"
    shop.clock.advance(2 * MINUTE)
    for _ in range(5):
        await shop.engine.tick()
        await asyncio.sleep(0.02)
    shop.store.trouble = "none"
    assert await told(shop) == ["a:ann enters keen v1 at 0, event"]
    await shop.send("bob", "Product Viewed")
    await shop.let_pass(0)
    assert (await told(shop))[1:] == ["a:ann leaves keen v1 at 60, time"]
    changes_are_live(shop.engine)
    await shop.engine.close()
