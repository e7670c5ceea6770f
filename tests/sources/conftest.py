"""An engine that only remembers, and the data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bespeak.catalog.item import Item
from bespeak.events import Event
from bespeak.testing.data import VARIABLE, data_dir


class Remembered:
    """Keeps events by (source, message id), as the engine's dedupe does, and items by id."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.items: dict[str, Item] = {}
        self.seen: set[tuple[str, str]] = set()
        self.refuse: Callable[[Event], bool] = lambda _: False
        self.fail_after: int | None = None

    async def import_events(self, events: Sequence[Event]) -> tuple[int, int, int]:
        if self.fail_after is not None and len(self.events) >= self.fail_after:
            raise ConnectionError("the store went away")
        kept = [event for event in events if not self.refuse(event)]
        new = [event for event in kept if (event.source, event.message_id) not in self.seen]
        self.events += new
        self.seen |= {(event.source, event.message_id) for event in new}
        return len(new), len(kept) - len(new), len(events) - len(kept)

    async def put_items(self, items: Sequence[Item]) -> int:
        changed = sum(self.items.get(item.id) != item for item in items)
        self.items |= {item.id: item for item in items}
        return changed


@pytest.fixture
def into() -> Remembered:
    return Remembered()


@pytest.fixture
def require_data() -> Callable[[str], Path]:
    """Return the folder of a data set, or skip."""

    def require(name: str) -> Path:
        folder = data_dir()
        if folder is None or not (folder / name).is_dir():
            pytest.skip(f"no data set {name}: set {VARIABLE} to the folder of the data sets")
        return folder / name

    return require
