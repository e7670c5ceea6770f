"""What the catalog had at each place of the log, also where its beginning was dropped: known, or doubtful."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, cast

import msgspec
import pytest

from bespeak.analytics import ArchiveSettings
from bespeak.analytics.conditions_sql_goods import ALL_OTHERS
from bespeak.analytics.conditions_sql_values import NotInSql
from bespeak.catalog import Item
from bespeak.clock import DAY, SECOND, ManualClock
from bespeak.conditions import parse
from bespeak.engine import Definition, Engine, members_in_archive
from bespeak.engine.archive_goods import goods_of
from bespeak.engine.previewing import preview
from bespeak.engine.records import ItemsRecord, TimeRecord, encode
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import Document, LogRow, Snapshot, Store

NIKE = 'performed("*" where item.brand = "nike")'


class Log:
    """A log of changes of the catalog, by offset, and a snapshot of what it had."""

    def __init__(self, changes: dict[int, ItemsRecord], dropped: int = 0, snapshot: int = 0, **kept: int) -> None:
        rows = [(offset, record) for offset, record in changes.items() if offset > dropped]
        self._rows = [LogRow(offset - 1, 2, 0, encode([TimeRecord(0), record])) for offset, record in rows]
        self._dropped = dropped
        self._snapshots = [snapshot - 9, snapshot] if snapshot else []
        self._kept = kept

    def read(self, after: int) -> Any:
        assert after == 0
        yield from self._rows
        yield LogRow(100, 1, 0, encode([TimeRecord(0)]))

    def dropped(self) -> int:
        return self._dropped

    def snapshots(self) -> Any:
        return tuple(Snapshot(offset, 0, ()) for offset in self._snapshots)

    def kept_documents(self, offset: int, kind: str) -> Any:
        assert (offset, kind) == (self._snapshots[-1], "item")
        return tuple(
            Document("item", name, version, msgspec.msgpack.encode(Item(id=name, brand="kept")))
            for name, version in self._kept.items()
        )


def goods(log: Log) -> tuple[list[tuple[str, int, str | None]], dict[str, int]]:
    """Return item, offset and brand of each version, and until when what is doubtful."""
    found = goods_of(cast("Store", log))
    versions = [
        (item, since, None if said is None else msgspec.json.decode(said)["brand"])
        for item, since, said in found.versions
    ]
    return versions, dict(found.doubtful)


def put(*brands: str, gone: tuple[str, ...] = (), **items: str) -> ItemsRecord:
    named = {**{brand: brand for brand in brands}, **items}
    return ItemsRecord(tuple(Item(id=name, brand=brand) for name, brand in named.items()), gone, 0)


def test_a_whole_log_tells_all() -> None:
    log = Log({3: put("a", b="x"), 7: put(a="z"), 9: put("c", gone=("b", "c"))})
    versions = [("a", 3, "a"), ("b", 3, "x"), ("a", 7, "z"), ("c", 9, None), ("b", 9, None)]
    assert goods(log) == (versions, {})


def test_a_log_without_a_beginning_says_of_what_it_does_not_tell() -> None:
    changes = {17: put("b"), 30: put("c", gone=("d",)), 40: put("e")}
    log = Log(changes, dropped=15, snapshot=20, a=12, b=19, c=14, d=18)
    versions, doubtful = goods(log)
    assert versions == [
        ("a", 0, "kept"),
        ("c", 0, "kept"),
        ("d", 0, "kept"),
        ("b", 17, "b"),
        ("c", 30, "c"),
        ("d", 30, None),
        ("e", 40, "e"),
    ]
    assert doubtful == {
        ALL_OTHERS: 15,  # what was taken out before the log begins
        "a": 12,  # the checkpoint that knew it first may have come later than it
        "b": 16,  # changed between the end of what was dropped and the snapshot
        "c": 14,
        "d": 15,  # first in a checkpoint behind what was dropped, so there at its end
    }


@pytest.mark.anyio
async def test_what_was_dropped_is_known_from_the_first_checkpoint_on(tmp_path: Path) -> None:
    clock = ManualClock(1_780_000_000 * SECOND)
    quiet = EngineSettings(checkpoint_seconds=3600, models_seconds=3600, models_rebuild_hours=0, log_keep_days=4)
    settings = Settings(data_dir=str(tmp_path), engine=quiet, archive=ArchiveSettings(apart=False, query_mib=256))
    engine = Engine.open(settings, clock=clock, rng=Random(1))
    await engine.start()
    key, _ = await engine.create_key("secret", "site")

    async def send(who: str, name: str) -> None:
        said = {"type": "track", "userId": who, "event": name, "messageId": who, "properties": {"product_id": "p1"}}
        await engine.track(engine.parse(json.dumps({"batch": [said]}).encode(), key=key), key)

    await engine.put_items([Item(id="p1", brand="Nike")])
    await send("first", "Product Added")
    await engine.checkpoint_now()
    for day in range(12):
        await send(f"day-{day:02}", "Product Viewed")
        clock.advance(DAY)
        await engine.archive(everything=True)
        await engine.retain()
    assert engine.store.dropped() > 6
    await engine.put_items([Item(id="p1", brand="Puma")])
    await send("last", "Product Viewed")

    def asked(text: str) -> tuple[str, ...]:
        return members_in_archive(settings, parse(text), clock.now(), most=30)[1].sample

    assert asked('performed("Product Viewed" where item.brand = "puma")') == ("u:last",)
    assert asked(NIKE.replace("*", "Product Viewed")) == tuple(f"u:day-{n:02}" for n in range(12))
    with pytest.raises(NotInSql, match="of 'p1' at offset"):
        asked('performed("Product Added" where item.brand = "nike")')
    assert asked('performed("Product Added")') == ("u:first",)
    beside = preview(settings, parse("true"), {"added": parse('performed("*" where item.id exists)')}, clock.now())
    assert "dropped" in beside.left_out["added"]
    await engine.apply([Definition(kind="segments", id="nike", body={"id": "nike", "condition": NIKE})])
    assert engine.segment_sizes() == {"nike": 13}, "history is counted with the oldest catalog that is known"
    await engine.put_items([Item(id="p1", brand="Nike")])
    await send("back", "Product Viewed")
    assert engine.segment_sizes() == {"nike": 14}
    await engine.close()
