"""The one place that holds the order of steps: `accept` is the path of an event, `decide` the path of a page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from bespeak.catalog import Item
from bespeak.clock import DAY, HOUR, Instant
from bespeak.conditions import Vocabulary
from bespeak.decide import DecideRequest, Decision
from bespeak.engine import keyring
from bespeak.engine.answers import EventResult, Receipt, profile_answer, scores_explained
from bespeak.engine.asking import ASKED_AT_ONCE
from bespeak.engine.custody import LATE
from bespeak.engine.dedupe import digests_of
from bespeak.engine.feed import Live, Subscription
from bespeak.engine.ledger import FLIPS_AT_ONCE
from bespeak.engine.pages import OWN
from bespeak.engine.previews import Previewing
from bespeak.engine.quarantine import open_rejected, seal_rejected, seal_turned_away, sentence
from bespeak.engine.records import ItemsRecord, Record, SealedRecord, seal_event, subject_of
from bespeak.errors import NotFound, StoreError
from bespeak.events import Event, EventType, Parsed, Rejection, parse_batch
from bespeak.ids import ProfileId, digest
from bespeak.privacy import Key, Refused, consent_only, repeats
from bespeak.profiles import Profile, Resolved, Unresolved, View
from bespeak.stores import Rejected

TIME_MIN: Instant = -719_000 * DAY
TIME_MAX: Instant = 2_932_000 * DAY
"""What happened lies between these: other instants cannot be written as text."""

IMPORTED = "import"
"""The source of what was turned away of an import."""

TAKEN_AT_ONCE = 250
"""Events of an import that are taken before others have their turn: some ten milliseconds."""

JOINS_PEOPLE = "two known people are joined only with the secret key: a userSignature proves userId, not previousId"


class Engine(Previewing):
    """A running bespeak.

    Make one with `Engine.open`, then `await start()`; `await close()` drains it.
    """

    # -- the path of an event

    def parse(self, body: bytes, *, key: Key, kind: EventType | None = None) -> Parsed:
        """Read a request body in Segment's wire format."""
        now = self.clock.now()
        return parse_batch(
            body,
            received=now,
            source=key.name,
            trusted=key.kind == "secret",
            verify=keyring.verifier(key, now),
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
        if not parsed.rejected:
            return Receipt(tuple(taken), self._durable())
        results = dict(zip(parsed.indexes, taken, strict=True))
        for rejection in parsed.rejected:
            results[rejection.index] = EventResult("rejected", rejection.message_id, sentence(rejection))
        return Receipt(tuple(results[index] for index in sorted(results)), self._durable())

    async def track(self, parsed: Parsed, key: Key) -> tuple[EventResult, ...]:
        """Take events in and wait until they are on disk. Results stand in the order of the body."""
        receipt = self.accept(parsed, key)
        await receipt.durable
        return receipt.results

    async def say(self, events: Sequence[Event]) -> tuple[EventResult, ...]:
        """Take in what we ourselves say of people; returns when it is on disk. Results stand in the order given."""
        taken = self._take_all(events, (), OWN, trusted=True)
        await asyncio.shield(self._durable())
        return tuple(taken)

    async def import_events(self, events: Sequence[Event]) -> tuple[int, int, int]:
        """Take history in: the ids are kept without an age, so that an import may be repeated.

        Calls at the same time are taken one behind the other, so that history keeps its order; each waits for the disk
        by itself.

        Returns
        -------
        How many were accepted, were there before, and were refused: by consent, or since they cannot be kept (those
        are in the quarantine).
        """
        await self._flipped()
        self._importing += 1
        results: list[EventResult] = []
        commits: list[asyncio.Future[None]] = []
        try:
            async with self._import_turn:
                for start in range(0, len(events), TAKEN_AT_ONCE):
                    await asyncio.sleep(0)  # others have their turn between
                    if self.sequencer.worked:  # a page asked who was due: all who are come before what follows
                        await self._flipped()
                    some = events[start : start + TAKEN_AT_ONCE]
                    results += self._take_all(some, (), IMPORTED, trusted=True, imported=True)
                    commits.append(self._durable())
            for commit in commits:
                await asyncio.shield(commit)
        finally:
            self._importing -= 1
            self._imported_at = self.clock.now()
        statuses = [result.status for result in results]
        return statuses.count("ok"), statuses.count("duplicate"), statuses.count("refused") + statuses.count("rejected")

    async def _flipped(self) -> None:
        """Work through what is due, a few people at a time: history would else wait for all of it at once."""
        while self.sequencer.timers.is_behind(self._reached()):
            if self._open_writer().waiting_bytes > self.settings.engine.queue_bytes // 2:
                await self._on_disk()
            self._flip_some(self._reached(), FLIPS_AT_ONCE)
            await asyncio.sleep(0)

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
        digests = digests_of(events)
        here = self._dedupe.known(digests, ever=imported)
        records: list[Record] = []
        taken: list[bytes] = []
        said: list[bytes] = []
        results: list[EventResult] = []
        kept_out = [seal_rejected(self.vault, one, source, now) for one in rejected]
        with self._all_or_none():
            if events:
                self._pass_time(now, records, imported=imported)
            for event, name in zip(events, digests, strict=True):
                if name in here:
                    results.append(EventResult("duplicate", event.message_id))
                    continue
                before = len(records)
                result = self._take(event, records, trusted=trusted, imported=imported)
                results.append(result)
                if result.status == "ok":
                    here.add(name)
                    taken.append(name)
                elif len(records) > before:
                    said.append(_statement(event))
                elif result.status == "rejected":
                    kept_out.append(seal_turned_away(self.vault, event, result.reason or "", source, now))
        self._dedupe.add(taken, now // HOUR)
        kept = b"".join([*taken, *said])
        seen = ((kept, -1 if imported else now // HOUR),) if kept else ()
        self._queue(writer, now, records, seen, tuple(kept_out))
        self._quarantined += len(kept_out)
        self._count(results, len(taken), len(rejected))
        return results

    def _take(self, given: Event, records: list[Record], *, trusted: bool, imported: bool) -> EventResult:
        event, sequencer = given, self.sequencer
        if not trusted and event.type == "alias" and sequencer.joins_people(event):
            return EventResult("rejected", event.message_id, JOINS_PEOPLE)
        if not TIME_MIN <= event.time < TIME_MAX:
            return EventResult("rejected", event.message_id, "time: expected microseconds since 1970, years 1 to 9996")
        if event.time <= self.vault.newest:
            spared = self._spared(event)
            if spared is None:
                return EventResult("refused", event.message_id, LATE)
            event = spared
        resolved = sequencer.whose(event)
        if isinstance(resolved, Unresolved):
            if event is not given:  # the device that it named was erased, and in the quarantine it would be named again
                return EventResult("refused", event.message_id, LATE)
            return EventResult("rejected", event.message_id, resolved.reason)
        joined = sequencer.joined(event, resolved)
        admission = sequencer.admit(event, resolved, joined)
        if isinstance(admission, Refused):
            self._hear(event, resolved, joined, records, imported=imported)
            return EventResult("refused", event.message_id, admission.reason)
        try:
            record = self._sealed(event, resolved, joined, imported=imported)
        except OverflowError:
            return EventResult("rejected", event.message_id, "a number is larger than 64 bits hold")
        self._log(record, event, resolved, joined, records)
        return EventResult("ok", event.message_id)

    def _hear(
        self, event: Event, resolved: Resolved, joined: ProfileId, records: list[Record], *, imported: bool
    ) -> None:
        """Keep what a refused event says about consent, unless that was heard a moment before, or it came twice."""
        said = consent_only(event)
        if said is None or repeats(said, self.sequencer.consent(resolved, joined)):
            return
        name = _statement(event)
        if not self._dedupe.known((name,), ever=imported):
            joined = self.sequencer.joined(said, resolved)
            self._log(self._sealed(said, resolved, joined, imported=imported), said, resolved, joined, records)
            self._dedupe.add((name,), self.clock.now() // HOUR)

    def _sealed(self, event: Event, resolved: Resolved, joined: ProfileId, *, imported: bool) -> SealedRecord:
        return seal_event(self.vault, event, subject_of(event, resolved), joined, imported=imported)

    def _log(
        self, record: SealedRecord, event: Event, resolved: Resolved, joined: ProfileId, records: list[Record]
    ) -> None:
        self._offset += 1
        records.append(record)
        taken = self.sequencer.take(event, resolved, imported=record.imported, joined=joined, offset=self._offset)
        self._follow(event, joined)
        if self._feed.watched and event.source != OWN:
            self._show(event, taken)
        if taken.changes:
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
        self._check_known()
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
        if answer.event is not None:
            self._record(answer.event)
        if self._feed.watched:
            self._feed.push(
                Live("decision", decision.at, answer.profile, ", ".join(decision.slots), {"reason": decision.reason})
            )
        return decision

    def _record(self, event: Event) -> None:
        """Take in the record of a decision, if there is room for it."""
        writer = self._writer
        if writer is None or not writer.ready:
            self.metrics.add("bespeak_decisions_unrecorded_total")  # the page has its answer; memory must not grow
            return
        records: list[Record] = []
        try:
            with self._all_or_none():
                self._pass_time(event.received, records)
                self._take(event, records, trusted=True, imported=False)
        except StoreError:
            self.metrics.add("bespeak_decisions_unrecorded_total")
        else:
            self._queue(writer, event.received, records)

    # -- what is known

    def profile(self, any_id: str, *, at: Instant | None = None) -> dict[str, Any] | None:
        """Return what is known about one person as plain JSON; None when nothing is."""
        profile = self.find(any_id)
        if profile is None:
            return None
        at = self.clock.now() if at is None else at
        return profile_answer(profile, at, self.settings.profiles, self.registry.site)

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

    def explain_scores(self, any_id: str, *, at: Instant | None = None) -> dict[str, Any] | None:
        """Return, for every score, what it is of this person, its band, what each element gives, and what is next."""
        profile = self.find(any_id)
        if profile is None:
            return None
        at = self.clock.now() if at is None else at
        return scores_explained(View(profile, at, self.settings.profiles), at, self.registry.site)

    async def segment_count(self, segment_id: str, *, at: Instant) -> int:
        """Count who would be in a segment as of `at`, from every profile; events and pages have their turn between."""
        if self.registry.site.segments.get(segment_id) is None:
            known = ", ".join(segment.id for segment in self.registry.site.segments.all()) or "none"
            raise NotFound(f"there is no segment {segment_id!r}; there are: {known}")
        segments, profiles, count = self.registry.site.segments, self.sequencer.live.all(), 0
        while some := list(islice(profiles, ASKED_AT_ONCE)):
            count += segments.members_at(segment_id, iter(some), at, self.settings.profiles)
            await asyncio.sleep(0)
        return count

    async def vocabulary(self) -> Vocabulary:
        """Return the names of events, properties and traits that were seen lately, and of the segments.

        Raises
        ------
        StoreError
            The log could not be read.
        """
        self._check_known()
        await self._names.read(self.store, self.vault, self.store.last_offset())
        self._names.note_people(self.sequencer.live.awake())
        return self._names.vocabulary(self.registry)

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

    # -- catalog, definitions

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
                self._follow(record, "")
            self._queue(writer, now, [record])
        await self._on_disk()
        return len(put) + len(removed)

    def _count(self, results: Sequence[EventResult], ok: int, rejected: int) -> None:
        self.metrics.add("bespeak_events_accepted_total", ok)
        if ok < len(results) or rejected:
            statuses = [result.status for result in results]
            self.metrics.add("bespeak_events_duplicate_total", statuses.count("duplicate"))
            self.metrics.add("bespeak_events_refused_total", statuses.count("refused"))
            self.metrics.add("bespeak_events_rejected_total", statuses.count("rejected") + rejected)


def _statement(event: Event) -> bytes:
    """Return the digest by which what a refused event says of consent is told from the event: that may yet be taken."""
    return digest(event.source, event.message_id, "consent")
