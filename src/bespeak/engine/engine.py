"""The one place that holds the order of steps: `accept` is the path of an event, `decide` the path of a page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bespeak.catalog import Item
from bespeak.clock import DAY, HOUR, Instant
from bespeak.decide import DecideRequest, Decision
from bespeak.engine import keyring
from bespeak.engine.answers import EventResult, Receipt, profile_answer
from bespeak.engine.custody import LATE
from bespeak.engine.definitions import Applied, Definition, DefinitionKind
from bespeak.engine.feed import Live, Subscription
from bespeak.engine.pages import OWN
from bespeak.engine.quarantine import open_rejected, seal_rejected, seal_turned_away, sentence
from bespeak.engine.rebuilding import Rebuilding
from bespeak.engine.records import DefinitionRecord, ItemsRecord, Record, SealedRecord, seal_event, subject_of
from bespeak.engine.writer import Entry
from bespeak.errors import Conflict, NotFound, Unavailable
from bespeak.events import Event, EventType, Parsed, Rejection, parse_batch
from bespeak.ids import ProfileId, digest
from bespeak.privacy import Key, KeyKind, Refused, consent_only
from bespeak.profiles import Profile, Resolved, Unresolved, View
from bespeak.stores import Document, Rejected

TIME_MIN: Instant = -719_000 * DAY
TIME_MAX: Instant = 2_932_000 * DAY
"""What happened lies between these: other instants cannot be written as text."""

JOINS_PEOPLE = "two known people are joined only with the secret key: a userSignature proves userId, not previousId"


class Engine(Rebuilding):
    """A running bespeak.

    Make one with `Engine.open`, then `await start()`; `await close()` drains it.
    """

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
        taken = self._take_all(parsed.events, parsed.rejected, key.name, trusted=key.kind == "secret")
        results = dict(zip(parsed.indexes, taken, strict=True))
        for rejection in parsed.rejected:
            results[rejection.index] = EventResult("rejected", rejection.message_id, sentence(rejection))
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
        How many were accepted, were there before, and were refused: by consent, or since they cannot be kept (those
        are in the quarantine).
        """
        self._importing += 1
        try:
            results = self._take_all(events, (), "import", trusted=True, imported=True)
            await self._on_disk()
        finally:
            self._importing -= 1
        statuses = [result.status for result in results]
        return statuses.count("ok"), statuses.count("duplicate"), statuses.count("refused") + statuses.count("rejected")

    def _take_all(
        self,
        events: Sequence[Event],
        rejected: Sequence[Rejection],
        source: str,
        *,
        trusted: bool,
        imported: bool = False,
    ) -> list[EventResult]:
        writer = self._open_writer()
        now = self.clock.now()
        hour = -1 if imported else now // HOUR
        digests = [digest(event.source, event.message_id) for event in events]
        stored = self._dedupe.on_disk(digests) if imported else frozenset[bytes]()
        records: list[Record] = []
        seen: list[tuple[bytes, int]] = []
        results: list[EventResult] = []
        kept_out = [seal_rejected(self.vault, one, source, now) for one in rejected]
        with self._all_or_none():
            for event, name in zip(events, digests, strict=True):
                if name in stored or self._dedupe.has(name):
                    results.append(EventResult("duplicate", event.message_id))
                    continue
                result = self._take(event, records, trusted=trusted, imported=imported)
                if result.status == "ok":
                    self._dedupe.add(name, now // HOUR)
                    seen.append((name, hour))
                elif result.status == "rejected":
                    kept_out.append(seal_turned_away(self.vault, event, result.reason or "", source, now))
                results.append(result)
        self._queue(writer, now, records, seen, tuple(kept_out))
        self._quarantined += len(kept_out)
        self._count(results, rejected)
        return results

    def _take(self, event: Event, records: list[Record], *, trusted: bool, imported: bool) -> EventResult:
        if not trusted and event.type == "alias" and self.sequencer.joins_people(event):
            return EventResult("rejected", event.message_id, JOINS_PEOPLE)
        if not TIME_MIN <= event.time < TIME_MAX:
            return EventResult("rejected", event.message_id, "time: expected microseconds since 1970, years 1 to 9996")
        if event.time <= self.vault.newest:
            spared = self._spared(event)
            if spared is None:
                return EventResult("refused", event.message_id, LATE)
            event = spared
        resolved = self.sequencer.whose(event)
        if isinstance(resolved, Unresolved):
            return EventResult("rejected", event.message_id, resolved.reason)
        admission = self.sequencer.admit(event, resolved)
        if isinstance(admission, Refused):
            said = consent_only(event)
            if said is not None:
                self._log(self._sealed(said, resolved, imported=imported), said, resolved, records)
            return EventResult("refused", event.message_id, admission.reason)
        try:
            sealed = self._sealed(event, resolved, imported=imported)
        except OverflowError:
            return EventResult("rejected", event.message_id, "a number is larger than 64 bits hold")
        self._log(sealed, event, resolved, records)
        return EventResult("ok", event.message_id)

    def _sealed(self, event: Event, resolved: Resolved, *, imported: bool) -> tuple[SealedRecord, ProfileId]:
        """Return an event as the log keeps it, and the profile that it joins."""
        joined = self.sequencer.joined(event, resolved)
        return seal_event(self.vault, event, subject_of(event, resolved), joined, imported=imported), joined

    def _log(
        self, sealed: tuple[SealedRecord, ProfileId], event: Event, resolved: Resolved, records: list[Record]
    ) -> None:
        record, joined = sealed
        self._offset += 1
        records.append(record)
        taken = self.sequencer.take(event, resolved, imported=record.imported, joined=joined)
        if event.source != OWN:
            self._show(event, taken)
        self._publish(taken.changes)

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
        if self._undoing:
            raise Unavailable("what is known is being read again", retry_after=1)
        if request.events:
            body = b"[" + b",".join(bytes(event) for event in request.events) + b"]"
            self.accept(self.parse(body, key=key), key)
        answer = self.pages.answer(request, key)
        decision = answer.decision
        self.metrics.add("bespeak_decisions_total")
        self.metrics.add("bespeak_decision_cpu_seconds_total", answer.seconds)
        if not decision.personalized:
            self.metrics.add("bespeak_decisions_default_total")
        self._publish(answer.changes)
        if answer.event is not None and (self._writer is None or not self._writer.ready):
            self.metrics.add("bespeak_decisions_unrecorded_total")  # the page has its answer; memory must not grow
        elif answer.event is not None and self._writer is not None:
            records: list[Record] = []
            with self._all_or_none():
                self._take(answer.event, records, trusted=True, imported=False)
            self._queue(self._writer, answer.event.received, records)
        if self._feed.watched:
            self._feed.push(
                Live("decision", decision.at, answer.profile, ", ".join(decision.slots), {"reason": decision.reason})
            )
        return decision

    # -- what is known

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
        opened = (open_rejected(self.vault, one) for one in self.store.rejected(limit=limit))
        return tuple(one for one in opened if one is not None)

    def subscribe(self) -> Subscription:
        """Watch events, segment changes and decisions from now on."""
        return self._feed.subscribe()

    # -- catalog, definitions, keys

    async def put_items(self, items: Sequence[Item]) -> int:
        """Put items into the catalog; returns how many were new or changed, the others leave no trace."""
        now = self.clock.now()
        changed: list[Item] = []
        for item in items:
            held = self.catalog.item(item.id)
            stamped = item if item.created else msgspec.structs.replace(item, created=held.created if held else now)
            if stamped != held:
                changed.append(stamped)
        return await self._change_items(tuple(changed), ())

    async def remove_items(self, ids: Sequence[str]) -> int:
        """Take items out of the catalog; returns how many there were."""
        present = tuple(item_id for item_id in ids if self.catalog.item(item_id) is not None)
        await self._change_items((), present)
        return len(present)

    async def _change_items(self, put: tuple[Item, ...], removed: tuple[str, ...]) -> int:
        now = self.clock.now()
        writer = self._open_writer()
        for start in range(0, max(len(put), len(removed)), 1_000):
            record = ItemsRecord(put[start : start + 1_000], removed[start : start + 1_000], now)
            with self._all_or_none():
                self._offset += 1
                self._apply(record, self._offset)
            self._queue(writer, now, [record])
        await self._on_disk()
        return len(put) + len(removed)

    async def apply(self, definitions: Sequence[Definition]) -> tuple[Applied, ...]:
        """Put definitions in force, all or none; unchanged ones keep their version.

        Raises
        ------
        DefinitionError
            One is not well formed; nothing was changed.
        """
        async with self._changing:
            return await self._apply_all(definitions)

    async def _apply_all(self, definitions: Sequence[Definition]) -> tuple[Applied, ...]:
        results: list[Applied] = []
        changes: list[Definition] = []
        for definition in definitions:
            held = self.registry.get(definition.kind, definition.id)
            if held is not None and held.body == definition.body:
                results.append(Applied(definition.kind, definition.id, held.version, "unchanged"))
                continue
            version = self.registry.next_version(definition.kind, definition.id)
            changes.append(msgspec.structs.replace(definition, version=version))
            results.append(Applied(definition.kind, definition.id, version, "created" if held is None else "updated"))
        self.registry.with_changes(changes)
        await self._define([(one.kind, one.id, one.version, one.body) for one in changes])
        return tuple(results)

    async def delete(self, kind: DefinitionKind, definition_id: str) -> Applied:
        """Take a definition out of force; its versions stay readable."""
        async with self._changing:
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
        await self._on_disk()  # a newly declared aggregate reads history from the log, so all of it must be there
        now = self.clock.now()
        records: list[Record] = []
        with self._all_or_none():
            for kind, definition_id, version, body in changes:
                records.append(DefinitionRecord(kind, definition_id, version, body, now))
                self._offset += 1
                self._note(records[-1])
            changes_made = self._in_force(now, self._offset)
        self._queue(writer, now, records)
        self._publish(changes_made)
        await self._on_disk()
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
        async with self._changing:
            if any(key.name == name and key.revoked is None for key in self._keys.all()):
                raise Conflict(f"a key named {name!r} is in use; choose another --name, or revoke that one first")
            key, token = keyring.new_key(kind, name, self.clock.now())
            await self._write_key(key)
        return key, token

    async def revoke_key(self, key_id: str) -> None:
        """End a key: from now on it opens nothing. One that has ended stays as it is."""
        async with self._changing:
            key = self._keys.get(key_id)
            if key is None:
                raise NotFound(f"there is no key {key_id!r}; `bespeak keys list` shows them")
            if key.revoked is None:
                await self._write_key(msgspec.structs.replace(key, revoked=self.clock.now()))

    async def _write_key(self, key: Key) -> None:
        document = Document("key", key.id, 1 if key.revoked is None else 2, keyring.encode_key(key))
        entry = Entry(asyncio.get_running_loop().create_future(), documents=(document,))
        await asyncio.shield(self._put(self._open_writer(), entry))
        self._keys.put(key)

    def keys(self) -> tuple[Key, ...]:
        """Return every key, revoked ones included."""
        return self._keys.all()

    def key(self, token: str) -> Key | None:
        """Return the key of a token; None when nobody issued it or it was revoked."""
        return self._keys.find(token)

    def _count(self, results: Sequence[EventResult], rejected: Sequence[Rejection]) -> None:
        names = {"ok": "accepted", "duplicate": "duplicate", "refused": "refused", "rejected": "rejected"}
        for result in results:
            self.metrics.add(f"bespeak_events_{names[result.status]}_total")
        if rejected:
            self.metrics.add("bespeak_events_rejected_total", len(rejected))
