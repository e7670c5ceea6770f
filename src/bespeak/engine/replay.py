"""The promise that profiles are a fold over the log, put to the test: everything built anew, and compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from random import Random
from typing import Any, Literal, TypeAlias, cast

import msgspec

from bespeak.clock import Clock, Instant, SystemClock
from bespeak.engine.archive import ARCHIVE
from bespeak.engine.definitions import KINDS
from bespeak.engine.encoded import encode_profile
from bespeak.engine.ledger import Ledger
from bespeak.engine.opening import place_of_keys
from bespeak.engine.recovery import STATE, Totals
from bespeak.engine.vault import ERASED
from bespeak.errors import StoreError
from bespeak.privacy.masters import KEY_FILE, KeyHeld, KeyPlace
from bespeak.profiles import Profile
from bespeak.recommend.dumps import CLOSE, difference
from bespeak.settings import Settings
from bespeak.stores import (
    Checkpoint,
    Commit,
    Document,
    LogRow,
    MemoryStore,
    Product,
    Snapshot,
    Store,
    WrappedKey,
    is_gap,
)

Watch: TypeAlias = Callable[[Literal["replaying", "comparing"], int, int], None]
"""Told the stage, how far it is, and how far it goes: offsets of the log, then profiles."""


DifferenceKind: TypeAlias = Literal["profile", "alias", "item", "definition", "segment", "model"]


class Difference(msgspec.Struct, frozen=True):
    """The first thing that is not the same: what, whose, where in it, and both values (None: there is none)."""

    kind: DifferenceKind
    id: str
    field: str
    live: Any
    replayed: Any


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found.

    Parameters
    ----------
    offset
        The last offset of the log that both sides include.
    checkpoint
        The offset that the checkpoint included.
    start
        The offset of the snapshot that the replay began with, where rows of the log were dropped; 0: the log's start.
    gaps
        First and last offset of records that a repair has skipped: they can be in the checkpoint only.
    erased
        Whether somebody was erased since the models were built. The sums that the recommenders learned still hold their
        part, which the log cannot say any more; so these are not compared then.
    compared
        Whether the models were compared: not after an erasure, nor where an older version learned them, until they are
        built anew; and not where the log does not begin with its first row, since no snapshot has them.
    difference
        The first one; None when everything is equal.
    """

    offset: int
    checkpoint: int
    start: int
    profiles: int
    items: int
    gaps: tuple[tuple[int, int], ...]
    erased: bool
    compared: bool
    difference: Difference | None

    @property
    def equal(self) -> bool:
        """Whether the replay came to what is live."""
        return self.difference is None


def replay(
    settings: Settings,
    store: Store,
    *,
    clock: Clock | None = None,
    watch: Watch | None = None,
    keys: KeyPlace | None = None,
) -> Replayed:
    """Build everything from the log, in RAM, and compare it with the checkpoint and the log since.

    It begins with the log's first row; where rows were dropped, with the oldest snapshot that can be begun with.

    Both sides are brought to one instant before they are compared, since windows close by the clock and not by the log.

    Parameters
    ----------
    store
        Read only; it must not change meanwhile.
    keys
        Where the master keys are kept, read only too; by default where `Engine.open` looks for them.

    Raises
    ------
    CorruptLog
        The log does not hold what was written to it.
    StoreError
        The master keys are missing, damaged, or of another store.
    """
    at = (clock or SystemClock()).now()
    told = watch or _nobody
    log = _FromStart(store, told)
    held = _held(keys or place_of_keys(settings, store))
    replayed = _built(settings, log, clock, held)
    live = _built(settings, store, clock, held)
    return Replayed(
        offset=store.last_offset(),
        checkpoint=store.checkpoint_offset(),
        start=log.start,
        profiles=replayed.sequencer.profiles,
        items=replayed.catalog_size(),
        gaps=tuple(log.gaps),
        erased=_erased(live),
        compared=_comparable(live) and not log.start,
        difference=next(_differences(live, replayed, at, told, models=_comparable(live) and not log.start), None),
    )


def rebuild(
    settings: Settings,
    store: Store,
    *,
    clock: Clock | None = None,
    watch: Watch | None = None,
    keys: KeyPlace | None = None,
) -> Ledger:
    """Build everything from the log, in RAM, whatever the checkpoint holds: as `replay` does.

    Raises
    ------
    CorruptLog
        The log does not hold what was written to it.
    StoreError
        The master keys are missing, damaged, or of another store.
    """
    held = _held(keys or place_of_keys(settings, store))
    return _built(settings, _FromStart(store, watch or _nobody), clock, held)


def _held(place: KeyPlace) -> KeyHeld:
    """Return the master keys as they are now, in RAM: whatever is made of them, nothing is written."""
    data = place.read()
    return KeyHeld({} if data is None else {KEY_FILE: data})


def _built(settings: Settings, store: Store, clock: Clock | None, keys: KeyPlace) -> Ledger:
    ledger = Ledger(settings, store, clock or SystemClock(), Random(0), None, keys)
    ledger.recover()
    ledger.sequencer.ask()
    if isinstance(store, _FromStart) and store.start:
        _count_anew(ledger)
    return ledger


def _count_anew(ledger: Ledger) -> None:
    """Count profiles and members: the sums of a snapshot have people in them who were erased since."""
    sizes = dict.fromkeys(ledger.sequencer.sizes, 0)
    ledger.sequencer.profiles = 0
    for profile in ledger.sequencer.live.all():
        ledger.sequencer.profiles += 1
        for segment_id in profile.segments:
            sizes[segment_id] = sizes.get(segment_id, 0) + 1
    ledger.sequencer.sizes = Counter(sizes)


class _FromStart(MemoryStore):
    """Another store's log, its keys and who was erased, and nothing that was folded from it but a snapshot at its edge.

    Raises
    ------
    StoreError
        The log begins later than any snapshot: what was dropped, nothing knows.
    """

    def __init__(self, source: Store, watch: Watch) -> None:
        super().__init__()
        self._source = source
        self._watch = watch
        self.gaps: list[tuple[int, int]] = []
        begun = _begun_with(source)
        self.start = self._furthest = 0 if begun is None else begun.offset
        if begun is not None:
            self._last = begun.offset
            self.commit(_as_commit(source, begun))

    def last_offset(self) -> int:
        return self._source.last_offset()

    def dropped(self) -> int:
        return self._source.dropped()

    def key(self, number: int) -> WrappedKey | None:
        return self._source.key(number)

    def key_of(self, subject: bytes) -> WrappedKey | None:
        return self._source.key_of(subject)

    def last_key(self) -> int:
        return self._source.last_key()

    def snapshots(self) -> tuple[Snapshot, ...]:
        return self._source.snapshots()

    def kept_documents(self, offset: int, kind: str) -> tuple[Document, ...]:
        return self._source.kept_documents(offset, kind)

    def documents(self, kind: str) -> tuple[Document, ...]:
        return self._source.documents(kind) if kind in {ERASED, ARCHIVE} else super().documents(kind)

    def product(self, name: str) -> Product | None:
        held, source = super().product(name), self._source.product(name)
        if held is not None or source is None or name != STATE:
            return held
        first = msgspec.msgpack.decode(source.data, type=Totals).first_zone
        return Product(STATE, 0, msgspec.msgpack.encode(Totals(zone=first, first_zone=first)))

    def read(self, after: int) -> Iterator[LogRow]:
        end = self._source.last_offset()
        for row in self._source.read(after):
            yield row
            last = row.first + row.count - 1
            if last > self._furthest:  # a definition reads what came before it once more
                self._furthest = last
                self._watch("replaying", last, end)
                if is_gap(row):
                    self.gaps.append((row.first, last))


def _begun_with(source: Store) -> Snapshot | None:
    dropped = source.dropped()
    if not dropped:
        return None
    for one in source.snapshots():
        if one.offset >= dropped:
            return one
    raise StoreError(f"the log begins behind offset {dropped}, and no snapshot includes what was before it")


def _as_commit(source: Store, begun: Snapshot) -> Commit:
    kinds = ("item", *("definition/" + kind for kind in KINDS))
    return Commit(
        documents=tuple(one for kind in kinds for one in source.kept_documents(begun.offset, kind)),
        checkpoint=Checkpoint(
            offset=begun.offset,
            profiles=tuple(source.kept_profiles(begun.offset)),
            aliases=source.kept_aliases(begun.offset),
            products=begun.products,
        ),
    )


def _nobody(stage: Literal["replaying", "comparing"], done: int, total: int) -> None:
    """Tell nobody."""


def _differences(live: Ledger, replayed: Ledger, at: Instant, watch: Watch, *, models: bool) -> Iterator[Difference]:
    """Yield what differs, in an order that is always the same: definitions, items, aliases, people, sizes, models."""
    for kind in KINDS:
        yield from _mappings(
            "definition",
            {f"{kind}/{one.id}": msgspec.to_builtins(one) for one in live.registry.all(kind)},
            {f"{kind}/{one.id}": msgspec.to_builtins(one) for one in replayed.registry.all(kind)},
        )
    yield from _mappings("item", _items(live), _items(replayed))
    yield from _mappings("alias", live.sequencer.aliases, replayed.sequencer.aliases)
    sizes: dict[str, int] = {}
    yield from _profiles(live, replayed, at, watch, sizes)
    yield from _mappings("segment", {one: size for one, size in live.sequencer.sizes.items() if size}, sizes)
    if models:
        yield from _models(live, replayed)


def _erased(ledger: Ledger) -> bool:
    return ledger.vault.first_erased_after(max(0, ledger.models.built)) is not None


def _comparable(ledger: Ledger) -> bool:
    """Say whether what was learned is what the log says: nobody was erased since it was built, by this version."""
    return ledger.models.built >= 0 and not _erased(ledger)


def _profiles(live: Ledger, replayed: Ledger, at: Instant, watch: Watch, sizes: dict[str, int]) -> Iterator[Difference]:
    """Compare everybody, and count the members of each segment in `sizes` as the replay has them."""
    ids = sorted({*live.sequencer.live.ids(), *replayed.sequencer.live.ids()})
    for place, profile_id in enumerate(ids, 1):
        one, other = live.sequencer.live.find(profile_id), replayed.sequencer.live.find(profile_id)
        if one is None or other is None:
            there = ["nobody" if each is None else "somebody" for each in (one, other)]
            yield Difference("profile", profile_id, "", *there)
            continue
        until = max(at, one.as_of, other.as_of)  # a clock that was set back was later before
        for change in live.registry.site.segments.advance(one, until, live.sequencer.profile_settings):
            live.sequencer.sizes[change.segment] += 1 if change.entered else -1
        replayed.registry.site.segments.advance(other, until, replayed.sequencer.profile_settings)
        one.as_of = other.as_of = until  # a version before this one asked everybody about everything
        if encode_profile(one) != encode_profile(other):
            yield from _values("profile", profile_id, _plain(one), _plain(other))
        for segment_id in other.segments:
            sizes[segment_id] = sizes.get(segment_id, 0) + 1
        watch("comparing", place, len(ids))


def _plain(profile: Profile) -> object:
    return msgspec.to_builtins(profile)


def _items(ledger: Ledger) -> dict[str, object]:
    return {item.id: msgspec.to_builtins(item) for item in ledger.catalog.items()}


def _models(live: Ledger, replayed: Ledger) -> Iterator[Difference]:
    for one, other in zip(live.models.recommenders, replayed.models.recommenders, strict=True):
        found = difference(one.dump(), other.dump())
        if found is not None:
            yield Difference("model", one.name, *found)


def _mappings(kind: DifferenceKind, live: Mapping[str, object], replayed: Mapping[str, object]) -> Iterator[Difference]:
    for name in sorted({*live, *replayed}):
        yield from _values(kind, name, live.get(name), replayed.get(name))


def _values(kind: DifferenceKind, name: str, live: object, replayed: object, field: str = "") -> Iterator[Difference]:
    """Yield where two plain values differ, down to the field."""
    match live, replayed:
        case dict(), dict():
            one, other = cast("dict[str, object]", live), cast("dict[str, object]", replayed)
            for key in sorted({*one, *other}, key=str):
                yield from _values(kind, name, one.get(key), other.get(key), f"{field}.{key}" if field else str(key))
        case list(), list():
            pairs = zip_longest(cast("list[object]", live), cast("list[object]", replayed))
            for place, (first, second) in enumerate(pairs):
                yield from _values(kind, name, first, second, f"{field}[{place}]")
        case float() | int(), float() | int() if math.isclose(live, replayed, rel_tol=CLOSE):
            return
        case _:
            if live != replayed:
                yield Difference(kind, name, field, live, replayed)
