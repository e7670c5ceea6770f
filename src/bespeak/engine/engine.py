"""The one place that picks implementations and holds the order of steps.

`accept` is the path of an event, `decide` the path of a page. Everything that changes state runs on the event
loop's thread; only the writer's thread touches the store's write side.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, assert_never

import msgspec

from bespeak.catalog import Catalog, Item
from bespeak.clock import HOUR, SECOND, Clock, Instant, SystemClock
from bespeak.decide import DecideRequest, Decision
from bespeak.engine import keyring
from bespeak.engine.answers import EventResult, Receipt, profile_answer
from bespeak.engine.dedupe import Dedupe
from bespeak.engine.definitions import Applied, Definition, DefinitionKind
from bespeak.engine.feed import Feed, Live, Subscription
from bespeak.engine.metrics import Metrics
from bespeak.engine.models import Models
from bespeak.engine.pages import OWN, Pages
from bespeak.engine.records import DefinitionRecord, EventRecord, ItemsRecord, Record, encode, open_event, seal_event
from bespeak.engine.recovery import checkpoint, recover
from bespeak.engine.sequencer import Sequencer, Taken
from bespeak.engine.site import Registry
from bespeak.engine.writer import Entry, Writer
from bespeak.errors import Conflict, NotFound, StoreError
from bespeak.events import Event, EventType, Parsed, Rejection, parse_batch
from bespeak.ids import ProfileId, anonymous_profile, digest, user_profile
from bespeak.privacy import Key, KeyKind, Refused, envelope
from bespeak.profiles import Profile, Resolved, Unresolved, View, canonical
from bespeak.recommend import SeqKNN, Trending
from bespeak.segments import Change
from bespeak.settings import Settings
from bespeak.stores import (
    Document,
    LogRow,
    MemorySettings,
    MemoryStore,
    Rejected,
    SqliteSettings,
    SqliteStore,
    Store,
    StoreLock,
)

log = logging.getLogger("bespeak.engine")

TICK_SECONDS = 0.1
"""How often due flips are looked for: an exit is seen within this time of its second."""


class Engine:
    """A running bespeak.

    Make one with `Engine.open`, then `await start()`; `await close()` drains it.
    """

    def __init__(self, settings: Settings, store: Store, clock: Clock, rng: Random, lock: StoreLock | None) -> None:
        self.settings = settings
        self.clock = clock
        self.store = store
        self.lock = lock
        self.metrics = Metrics()
        self.metrics.gauges = self._gauges
        self.registry = Registry()
        self.catalog = Catalog()
        self.models = Models(lambda: (SeqKNN(settings.recommend), Trending(settings.recommend)))
        self.sequencer = Sequencer(store, settings, self.catalog, self.models)
        self.pages = Pages(settings, self.sequencer, self.registry, self.models, clock, rng)
        self._dedupe = Dedupe(store, bound=settings.engine.dedupe_max)
        self._keys = keyring.Keyring()
        self._feed = Feed()
        self._rng = rng
        self._offset = 0
        self._items: dict[str, Item | None] = {}
        self._quarantined = 0
        self._importing = 0
        self._pending: frozenset[ProfileId] = frozenset()
        self._models_written: Instant = 0
        self._last: asyncio.Future[None] | None = None
        self._writer: Writer | None = None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        clock: Clock | None = None,
        rng: Random | None = None,
        store: Store | None = None,
        address: str | None = None,
    ) -> Engine:
        """Take the store, load the checkpoint and replay the tail of the log.

        Raises
        ------
        StoreLocked
            Another process owns the data directory.
        CorruptLog
            The log does not hold what was written to it.
        """
        lock: StoreLock | None = None
        if store is None:
            store, lock = _open_store(settings, address)
        engine = cls(settings, store, clock or SystemClock(), rng or Random(secrets.randbits(128)), lock)  # noqa: S311 - exploration and ids, not secrets
        try:
            engine._recover()
        except BaseException:
            engine._release()
            raise
        return engine

    async def start(self) -> None:
        """Begin to write and to keep time."""
        self._writer = Writer(self.store, asyncio.get_running_loop(), self._undo)
        self._publish(self.sequencer.advance(self.clock.now()))
        self._task = asyncio.create_task(self._keep_time(), name="bespeak-time")

    async def close(self) -> None:
        """Write everything that waits, checkpoint, and let the store go."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._writer is not None:
            await self._settle(self.checkpoint(models=True))
            writer, self._writer = self._writer, None
            await asyncio.to_thread(writer.close)
        self._feed.close()
        self._release()

    # -- the path of an event

    def parse(self, body: bytes, *, key: Key, kind: EventType | None = None) -> Parsed:
        """Read a request body in Segment's wire format."""
        return parse_batch(
            body,
            received=self.clock.now(),
            source=key.name,
            trusted=key.kind == "secret",
            verify=keyring.verifier(key),
            limits=self.settings.events,
            kind=kind,
        )

    def accept(self, parsed: Parsed, key: Key) -> Receipt:
        """Take events in: visible at once, durable when the receipt says so.

        Raises
        ------
        Unavailable
            The store is not writable or too much waits for it; nothing was taken.
        """
        results = dict(zip(parsed.indexes, self._take_all(parsed.events, parsed.rejected, key.name), strict=True))
        for rejection in parsed.rejected:
            results[rejection.index] = EventResult("rejected", rejection.message_id, _sentence(rejection))
        return Receipt(tuple(results[index] for index in sorted(results)), self._durable())

    async def track(self, parsed: Parsed, key: Key) -> tuple[EventResult, ...]:
        """Take events in and wait until they are on disk. Results stand in the order of the body."""
        receipt = self.accept(parsed, key)
        await receipt.durable
        return receipt.results

    async def import_events(self, events: Sequence[Event]) -> tuple[int, int, int]:
        """Take history in: the ids are kept without an age, so that an import may be repeated.

        Returns
        -------
        How many were accepted, were there before, and were refused by consent.
        """
        self._importing += 1
        try:
            results = self._take_all(events, (), "import", imported=True)
            await self._durable()
        finally:
            self._importing -= 1
        statuses = [result.status for result in results]
        return statuses.count("ok"), statuses.count("duplicate"), statuses.count("refused") + statuses.count("rejected")

    def _take_all(
        self, events: Sequence[Event], rejected: Sequence[Rejection], source: str, *, imported: bool = False
    ) -> list[EventResult]:
        writer = self._open_writer()
        now = self.clock.now()
        hour = -1 if imported else now // HOUR
        digests = [digest(event.source, event.message_id) for event in events]
        stored = self._dedupe.on_disk(digests) if imported else frozenset[bytes]()
        records: list[Record] = []
        seen: list[tuple[bytes, int]] = []
        results: list[EventResult] = []
        for event, name in zip(events, digests, strict=True):
            if name in stored or self._dedupe.has(name):
                results.append(EventResult("duplicate", event.message_id))
                continue
            result = self._take(event, records, imported=imported)
            if result.status == "ok":
                self._dedupe.add(name, now // HOUR)
                seen.append((name, hour))
            results.append(result)
        self._queue(writer, now, records, seen, tuple(_quarantined(one, source, now) for one in rejected))
        self._count(results, rejected)
        return results

    def _take(self, event: Event, records: list[Record], *, imported: bool) -> EventResult:
        resolved = self.sequencer.whose(event)
        if isinstance(resolved, Unresolved):
            return EventResult("rejected", event.message_id, resolved.reason)
        admission = self.sequencer.admit(event, resolved)
        if isinstance(admission, Refused):
            return EventResult("refused", event.message_id, admission.reason)
        records.append(seal_event(event, imported=imported))
        self._offset += 1
        taken = self.sequencer.take(event, resolved)
        if event.source != OWN:
            self._show(event, taken)
        return EventResult("ok", event.message_id)

    def _queue(
        self,
        writer: Writer,
        now: Instant,
        records: list[Record],
        seen: Iterable[tuple[bytes, int]] = (),
        rejected: tuple[Rejected, ...] = (),
    ) -> None:
        if not records and not rejected:
            return
        row = None
        if records:
            row = LogRow(self._offset - len(records) + 1, len(records), now, encode(records))
        self._put(writer, Entry(asyncio.get_running_loop().create_future(), row=row, seen=tuple(seen), rejected=rejected))

    def _put(self, writer: Writer, entry: Entry) -> asyncio.Future[None]:
        self._last = entry.future
        writer.put(entry)
        return entry.future

    def _durable(self) -> asyncio.Future[None]:
        """Return the future of the newest commit: whatever was taken, or was here before it, is on disk then."""
        if self._last is None:
            self._last = asyncio.get_running_loop().create_future()
            self._last.set_result(None)
        return self._last

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise StoreError("the engine is not running")
        self._writer.room()
        return self._writer

    # -- the path of a page

    def decide(self, request: DecideRequest, *, key: Key) -> Decision:
        """Answer one page: its events are folded first, then the decision is made over what is known now.

        Raises
        ------
        Forbidden
            A write key asks about somebody who is not its own device.
        InvalidInput
            The request names nobody at all and no slot.
        """
        self.pages.check(request, key)
        if request.events:
            body = b"[" + b",".join(bytes(event) for event in request.events) + b"]"
            self.accept(self.parse(body, key=key), key)
        answer = self.pages.answer(request, key)
        decision = answer.decision
        self.metrics.add("bespeak_decisions_total")
        self.metrics.decision_seconds += answer.seconds
        if not decision.personalized:
            self.metrics.add("bespeak_decisions_default_total")
        if answer.event is not None and self._writer is not None:
            records: list[Record] = []
            self._take(answer.event, records, imported=False)
            self._queue(self._writer, decision.at, records)
        if self._feed.watched:
            self._feed.push(Live("decision", decision.at, answer.profile, ", ".join(decision.slots), {"reason": decision.reason}))
        return decision

    # -- what is known

    def find(self, any_id: str) -> Profile | None:
        """Return the profile of a profile id, a user id or an anonymous id, looked up in this order."""
        for candidate in (any_id, user_profile(any_id), anonymous_profile(any_id)):
            profile = self.sequencer.live.get(canonical(candidate, self.sequencer.aliases))
            if profile is not None:
                return profile
        return None

    def profile(self, any_id: str, *, at: Instant | None = None) -> dict[str, Any] | None:
        """Return what is known about one person as plain JSON; None when nothing is."""
        profile = self.find(any_id)
        if profile is None:
            return None
        return profile_answer(profile, self.clock.now() if at is None else at, self.settings.profiles)

    def explain_segments(self, any_id: str, *, at: Instant | None = None) -> dict[str, Any] | None:
        """Return, for every segment, whether this person is in, since when, and the condition with its values."""
        profile = self.find(any_id)
        if profile is None:
            return None
        at = self.clock.now() if at is None else at
        view = View(profile, at, self.settings.profiles)
        answer: dict[str, Any] = {}
        for segment in self.registry.site.segments.all():
            compiled = self.registry.site.segments.compiled(segment.id)
            if compiled is None:
                continue
            held = profile.segments.get(segment.id)
            answer[segment.id] = {
                "name": segment.name,
                "member": compiled.holds(view, at),
                "since": held.since if held is not None else None,
                "explanation": msgspec.to_builtins(compiled.explain(view, at)),
            }
        return answer

    def segment_sizes(self) -> dict[str, int]:
        """Return how many members each segment has now."""
        return {segment.id: self.sequencer.sizes.get(segment.id, 0) for segment in self.registry.site.segments.all()}

    def segment_count(self, segment_id: str, *, at: Instant) -> int:
        """Count who would be in a segment as of `at`, from every profile."""
        if self.registry.site.segments.get(segment_id) is None:
            known = ", ".join(segment.id for segment in self.registry.site.segments.all()) or "none"
            raise NotFound(f"there is no segment {segment_id!r}; there are: {known}")
        profiles = self.sequencer.live.all()
        return self.registry.site.segments.members_at(segment_id, profiles, at, self.settings.profiles)

    def profiles(self) -> Iterator[Profile]:
        """Yield every profile; read only."""
        return self.sequencer.live.all()

    def rejected(self, limit: int = 100) -> tuple[Rejected, ...]:
        """Return the newest things in quarantine, opened."""
        return tuple(
            msgspec.structs.replace(one, data=envelope.open_(one.data)) for one in self.store.rejected(limit=limit)
        )

    def subscribe(self) -> Subscription:
        """Watch events, segment changes and decisions from now on."""
        return self._feed.subscribe()

    # -- catalog, definitions, keys

    async def put_items(self, items: Sequence[Item]) -> int:
        """Put items into the catalog, new or changed; returns how many."""
        return await self._change_items(tuple(items), ())

    async def remove_items(self, ids: Sequence[str]) -> int:
        """Take items out of the catalog; returns how many there were."""
        present = tuple(item_id for item_id in ids if self.catalog.item(item_id) is not None)
        await self._change_items((), present)
        return len(present)

    async def _change_items(self, put: tuple[Item, ...], removed: tuple[str, ...]) -> int:
        now = self.clock.now()
        writer = self._open_writer()
        stamped = tuple(item if item.created else msgspec.structs.replace(item, created=now) for item in put)
        for start in range(0, max(len(stamped), len(removed)), 1_000):
            record = ItemsRecord(stamped[start : start + 1_000], removed[start : start + 1_000], now)
            self._offset += 1
            self._apply(record, self._offset)
            self._queue(writer, now, [record])
        await self._durable()
        return len(put) + len(removed)

    async def apply(self, definitions: Sequence[Definition]) -> tuple[Applied, ...]:
        """Put definitions in force, all or none; unchanged ones keep their version.

        Raises
        ------
        DefinitionError
            One is not well formed; nothing was changed.
        """
        results: list[Applied] = []
        changes: list[Definition] = []
        for definition in definitions:
            held = self.registry.get(definition.kind, definition.id)
            if held is not None and held.body == definition.body:
                results.append(Applied(definition.kind, definition.id, held.version, "unchanged"))
                continue
            version = self.registry.next_version(definition.kind, definition.id)
            changes.append(msgspec.structs.replace(definition, version=version))
            results.append(
                Applied(definition.kind, definition.id, version, "created" if held is None else "updated")
            )
        self.registry.with_changes(changes)
        await self._define([(one.kind, one.id, one.version, one.body) for one in changes])
        return tuple(results)

    async def delete(self, kind: DefinitionKind, definition_id: str) -> Applied:
        """Take a definition out of force; its versions stay readable."""
        if self.registry.get(kind, definition_id) is None:
            raise NotFound(f"there is no {kind} {definition_id!r}")
        self.registry.with_changes((), [(kind, definition_id)])
        version = self.registry.next_version(kind, definition_id)
        await self._define([(kind, definition_id, version, None)])
        return Applied(kind, definition_id, version, "deleted")

    async def _define(self, changes: list[tuple[DefinitionKind, str, int, dict[str, Any] | None]]) -> None:
        if not changes:
            return
        writer = self._open_writer()
        await self._durable()  # a newly declared aggregate reads history from the log, so all of it must be there
        now = self.clock.now()
        records: list[Record] = []
        for kind, definition_id, version, body in changes:
            records.append(DefinitionRecord(kind, definition_id, version, body, now))
            self._offset += 1
        for record in records:
            self._note(record)
        self._in_force(now, self._offset)
        self._queue(writer, now, records)
        await self._durable()
        await self._settle(self.checkpoint())

    def definitions(self, kind: DefinitionKind) -> tuple[Definition, ...]:
        """Return the definitions of a kind that are in force, ordered by id."""
        return self.registry.all(kind)

    async def create_key(self, kind: KeyKind, name: str) -> tuple[Key, str]:
        """Make a key; the token is shown once and kept nowhere.

        Raises
        ------
        Conflict
            A key of this name is in use: events and duplicates are told apart by it.
        """
        if any(key.name == name and key.revoked is None for key in self._keys.all()):
            raise Conflict(f"a key named {name!r} is in use; choose another --name, or revoke that one first")
        key, token = keyring.new_key(kind, name, self.clock.now())
        await self._write_key(key)
        return key, token

    async def revoke_key(self, key_id: str) -> None:
        """End a key: from now on it opens nothing."""
        key = self._keys.get(key_id)
        if key is None:
            raise NotFound(f"there is no key {key_id!r}; `bespeak keys list` shows them")
        await self._write_key(msgspec.structs.replace(key, revoked=self.clock.now()))

    async def _write_key(self, key: Key) -> None:
        document = Document("key", key.id, 1 if key.revoked is None else 2, keyring.encode_key(key))
        entry = Entry(asyncio.get_running_loop().create_future(), documents=(document,))
        await self._put(self._open_writer(), entry)
        self._keys.put(key)

    def keys(self) -> tuple[Key, ...]:
        """Return every key, revoked ones included."""
        return self._keys.all()

    def key(self, token: str) -> Key | None:
        """Return the key of a token; None when nobody issued it or it was revoked."""
        return self._keys.find(token)

    # -- state: applying the log, checkpoints, undoing

    def _apply(self, record: Record, offset: int) -> None:
        """Apply one record of the log, live and at replay."""
        match record:
            case EventRecord():
                event = open_event(record)
                resolved = self.sequencer.whose(event)
                if isinstance(resolved, Resolved):
                    self.sequencer.take(event, resolved)
            case ItemsRecord():
                self.catalog.put(record.put)
                self.catalog.remove(record.removed)
                self._items.update({item.id: item for item in record.put})
                self._items.update(dict.fromkeys(record.removed))
            case DefinitionRecord():
                self._note(record)
                self._in_force(record.at, offset)
            case _:
                assert_never(record)

    def _note(self, record: Record) -> None:
        if isinstance(record, DefinitionRecord):
            self.registry.put(record.kind, record.id, record.version, record.body)

    def _in_force(self, at: Instant, upto: int) -> None:
        self.registry.compile()
        self.sequencer.define(self.registry.site.segments, self.registry.site.aggregates, upto=upto, at=at)

    def _recover(self) -> None:
        now = self.clock.now()
        self._items.clear()
        self._pending = frozenset()
        recover(self.store, self.sequencer, self.registry, self.catalog, self.models, self._apply)
        self._offset = self.store.last_offset()
        self._dedupe.load(now)
        self._keys.load(self.store)
        self._quarantined = self.store.rejected_count()
        self._models_written = now
        self.sequencer.timers.clear()
        self.sequencer.timers.refill(now)

    def _undo(self, error: StoreError) -> None:
        """Undo all that was folded and did not become durable: start again from the checkpoint and the log."""
        self.metrics.add("bespeak_commit_failures_total")
        log.error("undoing what was folded after offset %d: %s", self.store.last_offset(), error.code)
        self._recover()
        self._last = None
        if self._writer is not None:
            self._writer.resume()

    def checkpoint(self, *, models: bool = False) -> asyncio.Future[None] | None:
        """Queue a consistent cut of everything folded so far; None when nothing changed."""
        if self._writer is None:
            return None
        now = self.clock.now()
        models = models or now - self._models_written > self.settings.engine.models_seconds * SECOND
        cut = checkpoint(self.sequencer, self.registry, self.models, self._items, self._offset, models_due=models)
        if cut is None:
            return None
        if models:
            self._models_written = now
        self._items = {}
        self._pending = frozenset(row.id for row in cut.checkpoint.profiles)
        entry = Entry(
            asyncio.get_running_loop().create_future(), documents=cut.documents, checkpoint=cut.checkpoint
        )
        future = self._put(self._writer, entry)
        future.add_done_callback(lambda done: self._written(done, cut.checkpoint.removed))
        return future

    def _written(self, done: asyncio.Future[None], removed: tuple[ProfileId, ...]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        self.metrics.add("bespeak_checkpoints_total")
        self._pending = frozenset()
        self.sequencer.live.written(removed)
        self.sequencer.live.shrink(self._pending)

    async def _settle(self, future: asyncio.Future[None] | None) -> None:
        if future is not None:
            await asyncio.gather(future, return_exceptions=True)

    async def _keep_time(self) -> None:
        every = self.settings.engine.checkpoint_seconds * SECOND
        due = self.clock.now() + every
        forget_at = 0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self.clock.now()
            if not self._importing:
                self._publish(self.sequencer.advance(now))
            if now >= due and not self._pending:
                self.checkpoint()
                due = now + every
            if now // HOUR != forget_at:
                forget_at = now // HOUR
                await asyncio.to_thread(self.store.forget_seen, forget_at - 48)

    def _release(self) -> None:
        self.store.close()
        if self.lock is not None:
            self.lock.release()

    # -- showing

    def _show(self, event: Event, taken: Taken) -> None:
        if self._feed.watched and taken.profile is not None:
            self._feed.push(Live("event", event.time, taken.profile, event.name, {"type": event.type}))
        self._publish(taken.changes)

    def _publish(self, changes: tuple[Change, ...]) -> None:
        if not changes:
            return
        self.metrics.add("bespeak_segment_changes_total", len(changes))
        if self._feed.watched:
            for change in changes:
                detail = {"entered": change.entered, "why": change.why}
                self._feed.push(Live("segment", change.at, change.profile, change.segment, detail))

    def _count(self, results: Sequence[EventResult], rejected: Sequence[Rejection]) -> None:
        names = {"ok": "accepted", "duplicate": "duplicate", "refused": "refused", "rejected": "rejected"}
        for result in results:
            self.metrics.add(f"bespeak_events_{names[result.status]}_total")
        if rejected:
            self.metrics.add("bespeak_events_rejected_total", len(rejected))
            self._quarantined += len(rejected)

    def _gauges(self) -> Mapping[str, float]:
        sizes = {f'bespeak_segment_members{{segment="{one}"}}': size for one, size in self.segment_sizes().items()}
        return {
            "bespeak_profiles": self.sequencer.profiles,
            "bespeak_items": self.catalog_size(),
            "bespeak_log_offset": self._offset,
            "bespeak_profiles_live": len(self.sequencer.live),
            "bespeak_quarantine": self._quarantined,
            **sizes,
        }

    def catalog_size(self) -> int:
        """Return how many items the catalog holds."""
        return len(self.catalog)


def _open_store(settings: Settings, address: str | None) -> tuple[Store, StoreLock | None]:
    match settings.store:
        case MemorySettings():
            return MemoryStore(), None
        case SqliteSettings():
            directory = Path(settings.data_dir)
            directory.mkdir(parents=True, exist_ok=True)
            lock = StoreLock.acquire(directory, address)
            try:
                return SqliteStore(directory / settings.store.path), lock
            except BaseException:
                lock.release()
                raise
        case _:
            assert_never(settings.store)


def _quarantined(rejection: Rejection, source: str, now: Instant) -> Rejected:
    return Rejected(source, str(rejection.index), _sentence(rejection), now, envelope.seal(rejection.raw))


def _sentence(rejection: Rejection) -> str:
    places = "; ".join(f"{one.path}: expected {one.expected}, found {one.found}" for one in rejection.problems)
    return f"{rejection.reason}: {places}" if places else rejection.reason


