"""History is counted for new definitions beside the work: those before serve until it is, and nothing comes between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from bespeak.analytics import ArchiveSettings
from bespeak.clock import DAY, MINUTE, SECOND, ManualClock, format_time
from bespeak.engine import Applied, Definition, asking, backfill, counted, past, preparing, replay
from bespeak.engine.backfill import Backfill
from bespeak.engine.wishes import PREPARING
from bespeak.errors import BespeakError, Conflict, DefinitionError, NotFound, StoreError, Unavailable
from bespeak.privacy import Key
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings
from bespeak.testing.world_fragile import FragileMemory, FragileSqlite, MortalEngine

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
PEOPLE = 20
VIEWS = 3
SETTINGS = Settings(store=MemorySettings(), engine=EngineSettings(checkpoint_seconds=3600, models_seconds=3600))
OFTEN = 'count("Product Viewed") >= 3'
LATELY = 'count("Product Viewed", last 1 hour) >= 3'
DEAR = 'sum(properties.price of "Product Viewed", last 1 day) >= 6'
KNOWN = "known = true"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, names in {
        preparing: {"READ_AT_ONCE": 2, "READ_AT_ONCE_MAX": 5, "NEAR": 6, "FEW": 3, "BESIDE_MAX": 6},
        backfill: {"ROWS": 2},
        past: {"AT_ONCE": 7},
        counted: {"IN_RAM": 4, "PUT_ASIDE_AT_ONCE": 2},
        asking: {"ASKED_AT_ONCE": 3},
    }.items():
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)


def segment(name: str, condition: str) -> Definition:
    return Definition(kind="segments", id=name, body={"id": name, "condition": condition})


class Town:
    """An engine that somebody watches, and people who view things."""

    def __init__(self, store: FragileMemory | FragileSqlite | None = None, settings: Settings = SETTINGS) -> None:
        self.store = FragileMemory() if store is None else store
        self.settings = settings
        self.clock = ManualClock(START)
        self.sent = 0
        self.engine: MortalEngine
        self.key: Key
        self.stop_at: int | None = None

    async def opened(self) -> None:
        self.engine = MortalEngine.open(self.settings, clock=self.clock, rng=Random(1), store=self.store)
        self._watch(self.engine)
        await self.engine.start()

    def _watch(self, engine: MortalEngine) -> None:
        """Let history be counted no farther than to `stop_at`."""
        read_some = engine._read_some

        async def watched(backfill: Backfill) -> bool:
            while self.stop_at is not None and backfill.offset >= self.stop_at and engine._writer is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)
            return await read_some(backfill)

        engine._read_some = watched  # type: ignore[method-assign]

    async def peopled(self) -> None:
        await self.opened()
        self.key, _ = await self.engine.create_key("secret", "site")
        for _ in range(VIEWS):
            await self.view(*range(PEOPLE))

    async def view(self, *people: int) -> None:
        for person in people:
            await self.send({"type": "track", "event": "Product Viewed", "properties": {"price": 2}}, f"d{person}")

    async def send(self, message: dict[str, Any], device: str) -> None:
        self.sent += 1
        said = {"timestamp": format_time(self.clock.now()), "messageId": f"m{self.sent}", "anonymousId": device}
        body = json.dumps({"batch": [{**said, **message}]}).encode()
        (result,) = await self.engine.track(self.engine.parse(body, key=self.key), self.key)
        assert result.status == "ok"

    async def signs_in(self, device: int, user: str) -> None:
        await self.send({"type": "identify", "userId": user}, f"d{device}")

    def applying(self, *definitions: Definition) -> asyncio.Task[tuple[Applied, ...]]:
        return asyncio.create_task(self.engine.apply(definitions))

    async def counted_to(self, offset: int) -> None:
        """Let history be counted up to an offset, and no farther."""
        self.stop_at = offset
        while not any(one.done >= offset for one in self.engine.preparing()):  # noqa: ASYNC110  it is the turns
            await asyncio.sleep(0)

    async def at_rest(self) -> None:
        """Let everything that is to be in force come to be, and look whether all is as the log says."""
        self.stop_at = None
        assert not (await self.engine.prepared(60)).preparing
        await self.engine._all_asked()
        assert not self.store.documents(PREPARING)
        sizes, people = self.engine.segment_sizes(), [profile.segments for profile in self.engine.profiles()]
        assert sizes == {name: sum(name in held for held in people) for name in sizes}
        assert replay(self.settings, self.store, clock=self.clock).difference is None

    async def mended(self) -> None:
        """Wait until what failed is undone, which is done in the writer's own time."""
        while self.engine._writer is None or not self.engine._writer.ready or self.engine._undoing:  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def dies(self) -> None:
        await self.engine.die()
        await self.opened()


async def peopled() -> Town:
    town = Town()
    await town.peopled()
    return town


async def told(task: Awaitable[object]) -> BespeakError:
    """Return the error that somebody who waits is told."""
    with pytest.raises(BespeakError) as error:
        await asyncio.wait_for(task, 60)
    return error.value


async def test_a_first_version_has_no_members_until_history_is_counted_and_says_how_far_that_is() -> None:
    town = await peopled()
    applying = town.applying(segment("often", OFTEN))
    await town.counted_to(20)
    assert (town.engine.definitions("segments"), town.engine.segment_sizes()) == ((), {})
    wished = town.engine.wished("segments", "often")
    assert wished is not None
    assert (wished.version, wished.body["condition"]) == (1, OFTEN)
    (progress,) = town.engine.preparing()
    assert (progress.kind, progress.id, progress.version) == ("segments", "often", 1)
    assert 20 <= progress.done < progress.total == PEOPLE * VIEWS
    figures = town.engine.metrics.snapshot()
    assert figures["bespeak_definitions_preparing"] == 1
    assert figures["bespeak_definitions_preparing_records"] == progress.total - progress.done
    await town.view(1, 2, 30)
    town.stop_at = None
    (applied,) = await applying
    assert (applied.change, applied.version, applied.preparing) == ("created", 1, False)
    assert town.engine.segment_sizes() == {"often": PEOPLE}
    assert town.engine.preparing() == ()
    await town.at_rest()
    await town.engine.close()


async def test_the_version_before_serves_and_is_fed_until_the_new_one_is_counted() -> None:
    town = await peopled()
    await town.engine.apply([segment("it", OFTEN)])
    applying = town.applying(segment("it", 'count("Product Viewed", last 1 hour) >= 4'))
    await town.counted_to(20)
    await town.view(40, 40, 40, 3)
    assert town.engine.segment_sizes() == {"it": PEOPLE + 1}, "who comes in comes in under the version before"
    held = town.engine.find("d3")
    assert held is not None
    assert held.segments["it"].version == 1
    town.stop_at = None
    (applied,) = await applying
    assert (applied.change, applied.version) == ("updated", 2)
    assert town.engine.segment_sizes() == {"it": 1}
    town.clock.advance(2 * 60 * MINUTE)
    await town.engine.tick()
    assert town.engine.segment_sizes() == {"it": 0}
    await town.at_rest()
    await town.engine.close()


async def test_what_needs_no_history_is_in_force_at_once_and_what_does_waits_its_turn() -> None:
    town = await peopled()
    first = town.applying(segment("often", OFTEN))
    await town.counted_to(20)
    await town.engine.apply([segment("known", KNOWN)])
    assert town.engine.segment_sizes() == {"known": 0}
    second = town.applying(segment("dear", DEAR))
    while len(town.engine.preparing()) < 2:  # noqa: ASYNC110  it is the turns
        await asyncio.sleep(0)
    assert [(one.id, one.done > 0) for one in town.engine.preparing()] == [("dear", False), ("often", True)]
    town.stop_at = None
    await asyncio.gather(first, second)
    assert town.engine.segment_sizes() == {"dear": PEOPLE, "known": 0, "often": PEOPLE}
    await town.at_rest()
    await town.engine.close()


async def test_a_second_change_gives_the_first_up_and_the_others_of_its_call_go_on() -> None:
    town = await peopled()
    first = town.applying(segment("it", OFTEN), segment("other", LATELY))
    await town.counted_to(20)
    second = town.applying(segment("it", DEAR))
    while town.engine.wished("segments", "it") == segment("it", OFTEN):  # noqa: ASYNC110  it is the turns
        await asyncio.sleep(0)
    town.stop_at = None
    error = await told(first)
    assert isinstance(error, Conflict)
    assert "segments/it" in str(error)
    (applied,) = await second
    assert (applied.version, applied.change) == (1, "created")
    assert [one.body["condition"] for one in town.engine.definitions("segments")] == [DEAR, LATELY]
    await town.at_rest()
    await town.engine.close()


async def test_the_same_change_once_more_is_the_same_and_going_back_gives_it_up() -> None:
    town = await peopled()
    await town.engine.apply([segment("it", OFTEN)])
    first = town.applying(segment("it", DEAR))
    await town.counted_to(20)
    (again,) = await town.engine.apply([segment("it", DEAR)], wait=False)
    assert (again.version, again.change, again.preparing) == (2, "updated", True)
    assert len(town.engine.preparing()) == 1
    (back,) = await town.engine.apply([segment("it", OFTEN)])
    assert (back.version, back.change, back.preparing) == (1, "unchanged", False)
    assert town.engine.preparing() == ()
    assert isinstance(await told(first), Conflict)
    await town.at_rest()
    assert [one.version for one in town.engine.definitions("segments")] == [1]
    await town.engine.close()


@pytest.mark.parametrize("before", [True, False], ids=["of which one is in force", "of which none is"])
async def test_a_definition_is_deleted_while_it_is_prepared(before: bool) -> None:
    town = await peopled()
    if before:
        await town.engine.apply([segment("it", KNOWN)])
    applying = town.applying(segment("it", DEAR))
    await town.counted_to(20)
    deleted = await town.engine.delete("segments", "it")
    assert deleted.change == "deleted"
    assert isinstance(await told(applying), Conflict)
    assert (town.engine.preparing(), town.engine.segment_sizes()) == ((), {})
    with pytest.raises(NotFound):
        await town.engine.delete("segments", "it")
    await town.at_rest()
    await town.engine.apply([segment("it", DEAR)])
    assert town.engine.segment_sizes() == {"it": PEOPLE}
    await town.at_rest()
    await town.engine.close()


async def test_what_a_definition_that_is_prepared_asks_for_is_not_deleted_and_it_may_itself_be_asked_for() -> None:
    town = await peopled()
    await town.engine.apply([segment("known", KNOWN)])
    first = town.applying(segment("dear", f'{DEAR} and not in_segment("known")'))
    await town.counted_to(20)
    with pytest.raises(Conflict, match="segments/dear"):
        await town.engine.delete("segments", "known")
    with pytest.raises(DefinitionError):
        await town.engine.apply([segment("both", 'in_segment("dear") and in_segment("nothing")')])
    second = town.applying(segment("both", 'in_segment("dear") and not in_segment("known")'))
    while len(town.engine.preparing()) < 2:  # noqa: ASYNC110  it is the turns
        await asyncio.sleep(0)
    town.stop_at = None
    await asyncio.gather(first, second)
    assert town.engine.segment_sizes() == {"both": PEOPLE, "dear": PEOPLE, "known": 0}
    await town.at_rest()
    await town.engine.close()


async def test_what_another_brought_into_force_meanwhile_is_not_counted_twice_and_what_it_took_away_is_counted() -> (
    None
):
    town = await peopled()
    await town.engine.apply([segment("lately", LATELY)])
    applying = town.applying(segment("both", f"{LATELY} and {OFTEN}"))
    await town.counted_to(20)
    await town.engine.delete("segments", "lately")
    await town.view(1)
    town.stop_at = None
    await applying
    assert town.engine.segment_sizes() == {"both": PEOPLE}
    await town.at_rest()
    await town.engine.close()


async def test_whoever_does_not_wait_is_told_that_it_is_prepared_and_closing_puts_nothing_off_for_good() -> None:
    town = await peopled()
    town.stop_at = 10
    (applied,) = await town.engine.apply([segment("dear", DEAR)], wait=False)
    assert (applied.change, applied.preparing) == ("created", True)
    waiting = town.applying(segment("dear", DEAR))
    await town.counted_to(10)
    await town.engine.close()
    error = await told(waiting)
    assert isinstance(error, StoreError)
    assert "next start" in str(error)
    await town.opened()
    assert [one.id for one in town.engine.preparing()] == ["dear"]
    await town.at_rest()
    assert town.engine.segment_sizes() == {"dear": PEOPLE}
    await town.engine.close()


@pytest.mark.parametrize("offset", [0, 1, 20, 55, PEOPLE * VIEWS])
async def test_a_kill_while_history_is_counted_loses_nothing_and_counts_nothing_twice(offset: int) -> None:
    town = await peopled()
    await town.engine.apply([segment("it", KNOWN)])
    applying = town.applying(segment("it", DEAR), segment("often", OFTEN))
    await town.counted_to(offset)
    await town.view(3, 4, 50)
    town.engine.checkpoint()
    await town.view(3)
    await town.dies()
    assert isinstance(await told(applying), StoreError)
    assert [one.version for one in town.engine.definitions("segments")] == [1], "the version before serves"
    await town.view(5, 50)
    await town.at_rest()
    assert [one.version for one in town.engine.definitions("segments")] == [2, 1]
    assert town.engine.segment_sizes() == {"it": PEOPLE, "often": PEOPLE}
    await town.engine.close()


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
async def test_a_kill_at_any_turn_leaves_what_was_or_what_was_to_be(turns: int) -> None:
    town = await peopled()
    await town.engine.apply([segment("it", LATELY)])
    applying = town.applying(segment("it", DEAR))
    await town.counted_to(PEOPLE * VIEWS - 4)
    town.stop_at = None
    for _ in range(turns):
        await asyncio.sleep(0)
    await town.dies()
    applying.cancel()
    await town.view(3)
    await town.at_rest()
    assert [one.version for one in town.engine.definitions("segments")] == [2]
    assert town.engine.segment_sizes() == {"it": PEOPLE}
    await town.engine.close()


@pytest.mark.parametrize("trouble", ["lost", "unheard"])
@pytest.mark.parametrize("turns", [None, 0, 1, 2, 3, 5, 8, 13, 21])
async def test_a_commit_that_fails_meanwhile_is_undone_and_history_is_counted_of_what_is_left(
    turns: int | None, trouble: Any
) -> None:
    """Of an event while history is counted; or of whatever is written from some turn near its end on."""
    town = await peopled()
    await town.engine.apply([segment("it", LATELY)])
    applying = town.applying(segment("it", DEAR))
    await town.counted_to(20 if turns is None else PEOPLE * VIEWS - 4)
    if turns is not None:
        town.stop_at = None
        for _ in range(turns):
            await asyncio.sleep(0)
    town.store.trouble = trouble
    error = await told(town.view(3))
    assert isinstance(error, Unavailable)
    town.store.trouble = "none"
    await town.mended()
    town.stop_at = None
    await applying
    await town.view(4)
    await town.at_rest()
    assert town.engine.segment_sizes() == {"it": PEOPLE}
    await town.engine.close()


async def test_a_wish_that_cannot_be_written_down_is_told_and_is_not_there() -> None:
    town = await peopled()
    town.store.trouble = "lost"
    assert isinstance(await told(town.applying(segment("it", DEAR))), Unavailable)
    town.store.trouble = "none"
    await town.mended()
    assert town.engine.preparing() == ()
    await town.at_rest()
    assert town.engine.segment_sizes() == {}
    await town.engine.close()


@pytest.mark.parametrize("offset", [5, 30, 50, PEOPLE * VIEWS], ids="counted to {}".format)
@pytest.mark.parametrize("returns", [False, True])
async def test_whoever_is_erased_meanwhile_is_in_nothing_and_comes_back_as_somebody_new(
    offset: int, returns: bool
) -> None:
    town = await peopled()
    await town.signs_in(7, "ada")
    applying = town.applying(segment("dear", DEAR), segment("often", OFTEN))
    await town.counted_to(offset)
    await town.view(7)
    await town.engine.erase("ada")
    if returns:
        town.clock.advance(SECOND)
        await town.view(7)
        await town.signs_in(7, "ada")
    town.stop_at = None
    await applying
    assert town.engine.segment_sizes() == {"dear": PEOPLE - 1, "often": PEOPLE - 1}
    again = town.engine.find("d7")
    assert (again is not None) == returns
    if again is not None:
        assert again.counts["Product Viewed"] == 1
        assert msgspec.to_builtins(again.aggregates['count("Product Viewed")']) == ["n", 1]
    await town.at_rest()
    await town.engine.close()


async def test_of_whoever_is_erased_at_the_last_moment_what_came_just_before_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preparing, "FEW", 100)
    monkeypatch.setattr(preparing, "BESIDE_MAX", 100)
    town = await peopled()
    read_some, said = town.engine._read_some, [0]

    async def at_the_end(backfill: Backfill) -> bool:
        more = await read_some(backfill)
        if town.engine._beside is not None and backfill.offset >= PEOPLE * VIEWS and not said[0]:
            said[0] = 1
            await town.view(7)
            await town.engine.erase("d7")
            town.clock.advance(SECOND)
            await town.view(7)
        return more

    monkeypatch.setattr(town.engine, "_read_some", at_the_end)
    await town.engine.apply([segment("often", OFTEN)])
    again = town.engine.find("d7")
    assert again is not None
    assert msgspec.to_builtins(again.aggregates['count("Product Viewed")']) == ["n", 1]
    assert said == [1]
    await town.at_rest()
    await town.engine.close()


async def test_an_erasure_that_is_undone_meanwhile_took_nothing_away() -> None:
    town = await peopled()
    applying = town.applying(segment("often", OFTEN))
    await town.counted_to(50)
    town.store.trouble = "lost"
    assert isinstance(await told(town.engine.erase("d7")), Unavailable)
    town.store.trouble = "none"
    await town.mended()
    town.stop_at = None
    await applying
    assert town.engine.segment_sizes() == {"often": PEOPLE}
    await town.at_rest()
    await town.engine.close()


@pytest.mark.parametrize("offset", [0, 3, 25, 45, PEOPLE * VIEWS])
async def test_who_become_one_meanwhile_are_counted_as_one_with_what_each_did(offset: int) -> None:
    town = await peopled()
    await town.signs_in(1, "ada")
    applying = town.applying(segment("six", 'count("Product Viewed") = 6'), segment("dear", DEAR))
    await town.counted_to(offset)
    await town.signs_in(2, "ada")
    await town.signs_in(3, "eve")
    await town.signs_in(4, "eve")
    await town.view(5)
    await town.send({"type": "alias", "userId": "ada", "previousId": "eve"}, "d1")
    town.stop_at = None
    await applying
    ada = town.engine.find("eve")
    assert ada is not None
    assert (ada.id, ada.counts["Product Viewed"]) == ("u:ada", 12)
    assert msgspec.to_builtins(ada.aggregates['count("Product Viewed")']) == ["n", 12]
    assert town.engine.segment_sizes() == {"dear": PEOPLE - 3, "six": 0}
    await town.at_rest()
    await town.engine.close()


async def test_of_who_become_one_meanwhile_more_than_finds_room_the_newest_is_kept_as_in_a_replay() -> None:
    town = await peopled()
    rng = Random(3)

    def views(person: int, now: int) -> list[dict[str, Any]]:
        town.sent += 1
        times = sorted(now - rng.randrange(100 * MINUTE) for _ in range(700))
        return [
            {
                "type": "track",
                "event": "Product Viewed",
                "anonymousId": f"d{person}",
                "messageId": f"m{town.sent}-{place}",
                "timestamp": format_time(time),
                "properties": {"price": place % 5, "name": f"n{place}-{person}"},
            }
            for place, time in enumerate(times)
        ]

    for _ in range(2):
        for person in (1, 2):
            body = json.dumps({"batch": views(person, town.clock.now())}).encode()
            await town.engine.track(town.engine.parse(body, key=town.key), town.key)
        town.clock.advance(50 * MINUTE)
    words = (LATELY, DEAR, 'distinct(properties.name of "Product Viewed") > 5')
    more = ('most_frequent(properties.name of "Product Viewed") exists', 'first(properties.name of "*", today) exists')
    applying = town.applying(*(segment(f"s{place}", one) for place, one in enumerate((*words, *more))))
    await town.counted_to(1_500)
    for device in (1, 2):
        await town.signs_in(device, "ada")
    town.stop_at = None
    await applying
    await town.at_rest()
    await town.engine.close()


async def test_what_cannot_be_in_force_any_more_says_why_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    town = await peopled()
    first = town.applying(segment("dear", DEAR))
    await town.counted_to(20)
    second = town.applying(segment("often", OFTEN))
    while len(town.engine.preparing()) < 2:  # noqa: ASYNC110  it is the turns
        await asyncio.sleep(0)
    with_changes = town.engine.registry.with_changes

    def refuses(changes: Any, *deleted: Any) -> Any:
        if any(one.id == "dear" for one in changes):
            raise DefinitionError("segments/dear: there is no room for it")
        return with_changes(changes, *deleted)

    monkeypatch.setattr(town.engine.registry, "with_changes", refuses)
    town.stop_at = None
    assert "no room" in str(await told(first))
    await second
    found = await town.engine.prepared(0)
    assert [(one.id, one.reason) for one in found.failed] == [("dear", "segments/dear: there is no room for it")]
    assert town.engine.segment_sizes() == {"often": PEOPLE}
    await town.at_rest()
    monkeypatch.undo()
    await town.engine.apply([segment("dear", DEAR)])
    assert not (await town.engine.prepared(0)).failed
    await town.at_rest()
    await town.engine.close()


async def test_however_much_comes_in_history_comes_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"READ_AT_ONCE": 1, "READ_AT_ONCE_MAX": 4_000, "FEW": 300, "BESIDE_MAX": 50_000}.items():
        monkeypatch.setattr(preparing, name, value)
    town = await peopled()
    applying = town.applying(segment("dear", DEAR))
    for person in range(20_000):
        if town.engine.definitions("segments"):
            break
        body = json.dumps(
            {"type": "track", "event": "Product Viewed", "anonymousId": f"d{person % 30}", "messageId": f"x{person}"}
        )
        receipt = town.engine.accept(town.engine.parse(body.encode(), key=town.key, kind="track"), town.key)
        await (receipt.durable if person % 9 == 0 else asyncio.sleep(0))
    assert town.engine.definitions("segments")
    await applying
    await town.at_rest()
    await town.engine.close()


async def test_nothing_is_dropped_from_the_log_while_it_is_counted(tmp_path: Path) -> None:
    quiet = msgspec.structs.replace(SETTINGS.engine, log_keep_days=10, models_rebuild_hours=0)
    settings = Settings(data_dir=str(tmp_path), engine=quiet, archive=ArchiveSettings(minutes=0))
    store = FragileSqlite(tmp_path / "bespeak.db")
    town = Town(store, settings)
    await town.peopled()
    town.clock.advance(6 * DAY)
    await town.view(1)
    await town.engine.retain()
    town.clock.advance(6 * DAY)
    applying = town.applying(segment("often", OFTEN))
    await town.counted_to(20)
    assert (await town.engine.retain()).dropped == 0
    town.stop_at = None
    await applying
    assert (await town.engine.retain()).dropped == PEOPLE * VIEWS
    assert town.engine.segment_sizes() == {"often": PEOPLE}
    await town.at_rest()
    await town.engine.close()
    store.close()


async def test_where_the_log_cannot_be_read_it_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    town = await peopled()
    read: Callable[..., Any] = FragileMemory.read
    fails = iter([False, True, False, True, True, False, True])

    def now_and_then(store: FragileMemory, after: int) -> Any:
        if next(fails, False):
            raise StoreError("bad sector")
        return read(store, after)

    monkeypatch.setattr(FragileMemory, "read", now_and_then)
    monkeypatch.setattr(preparing, "AGAIN_SECONDS", 0.0)
    await town.engine.apply([segment("often", OFTEN)])
    assert town.engine.segment_sizes() == {"often": PEOPLE}
    await town.at_rest()
    await town.engine.close()


@pytest.mark.parametrize("kill", [False, True], ids=["in one go", "killed in between"])
async def test_what_the_log_has_dropped_is_counted_from_the_archive(tmp_path: Path, kill: bool) -> None:
    quiet = msgspec.structs.replace(SETTINGS.engine, log_keep_days=10, models_rebuild_hours=0)
    archive = ArchiveSettings(apart=False, keep_days=30)
    settings = Settings(data_dir=str(tmp_path), engine=quiet, archive=archive)
    store = FragileSqlite(tmp_path / "bespeak.db")
    town = Town(store, settings)
    await town.peopled()
    await town.engine.archive(everything=True)
    await town.signs_in(1, "ada")
    await town.signs_in(2, "ada")
    await town.signs_in(3, "eve")
    town.clock.advance(6 * DAY)
    await town.view(1)
    await town.engine.archive(everything=True)
    await town.engine.retain()
    town.clock.advance(6 * DAY)
    assert (await town.engine.retain()).dropped == PEOPLE * VIEWS + 3
    await town.view(1)
    word = 'last(properties.price of "Product Viewed") = 2'
    six = segment("six", f'count("Product Viewed") >= 6 and {word} and sum(properties.price of "*", last 30 days) = 16')
    applying = town.applying(segment("often", OFTEN), six)
    await town.counted_to(30)
    await town.engine.erase("eve")
    await town.engine.erase("d19")
    await town.view(5)
    assert (await town.engine.archive()).dropped == ()
    if kill:
        await town.dies()
        assert isinstance(await told(applying), StoreError)
    else:
        town.stop_at = None
        await applying
    await town.at_rest()
    assert town.engine.segment_sizes() == {"often": PEOPLE - 3, "six": 1}
    assert await town.engine.segment_count("six", at=town.clock.now()) == 1
    town.clock.advance(30 * DAY)
    assert (await town.engine.archive()).dropped == (), "a replay would count it again"
    await town.view(1)
    await town.engine.checkpoint_now()
    await town.engine.retain()
    await town.engine.retain()
    assert (await town.engine.archive()).dropped != ()
    await town.at_rest()
    await town.engine.close()
    store.close()


async def test_a_file_of_the_archive_that_is_damaged_is_named_with_what_to_do_about_it(tmp_path: Path) -> None:
    quiet = msgspec.structs.replace(SETTINGS.engine, log_keep_days=10, models_rebuild_hours=0)
    settings = Settings(data_dir=str(tmp_path), engine=quiet, archive=ArchiveSettings(apart=False))
    store = FragileSqlite(tmp_path / "bespeak.db")
    town = Town(store, settings)
    await town.peopled()
    await town.engine.archive(everything=True)
    await town.engine.retain()
    town.clock.advance(12 * DAY)
    await town.view(1)
    await town.engine.retain()
    assert store.dropped() == PEOPLE * VIEWS
    (file,) = (tmp_path / "archive").iterdir()
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    message = str(await told(town.applying(segment("often", OFTEN))))
    assert file.name in message
    assert "bespeak archive run" in message
    file.unlink()
    await town.engine.archive()
    await town.engine.apply([segment("often", OFTEN)])
    assert town.engine.segment_sizes() == {"often": 0}, "nothing is left but one view"
    await town.at_rest()
    await town.engine.close()
    store.close()
