"""One run of a seed: the engine and its store, the clock, and messages on their way with what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import cast
from zlib import crc32

import msgspec

from bespeak.analytics import ArchiveSettings
from bespeak.clock import MINUTE, Instant, ManualClock, parse_time
from bespeak.engine import Subscription
from bespeak.engine.custody import LATE
from bespeak.errors import BespeakError
from bespeak.privacy import Key, PrivacySettings
from bespeak.profiles import IdentitySettings, ProfileSettings
from bespeak.settings import EngineSettings, Settings
from bespeak.stores import MemorySettings, SqliteSettings
from bespeak.testing.world import OPENED, World
from bespeak.testing.world_book import Book
from bespeak.testing.world_faults import Delivery
from bespeak.testing.world_fragile import FragileMemory, FragileSqlite, FragileStore, MortalEngine, Trouble
from bespeak.testing.world_promises import (
    BrokenPromise,
    everything,
    same,
)
from bespeak.testing.world_visits import Message

NO_TO_ALL = (("analytics", False), ("personalization", False), ("*", False))
"""What an empty set of preferences states."""


class Counts(msgspec.Struct):
    """What happened in a run, by number."""

    sent: int = 0
    acknowledged: int = 0
    duplicates: int = 0
    refused: int = 0
    rejected: int = 0
    unanswered: int = 0
    imported: int = 0
    decisions: int = 0
    definitions: int = 0
    drawings: int = 0
    catalogs: int = 0
    jumps: int = 0
    crashes: int = 0
    restarts: int = 0
    failures: int = 0
    erasures: int = 0
    retentions: int = 0
    rows_dropped: int = 0
    archived: int = 0
    rewritten: int = 0
    rotations: int = 0
    restores: int = 0
    checks: int = 0
    records: int = 0
    profiles: int = 0


class Run:
    """The engine of a seed, what stands around it, and what is sent to it.

    Parameters
    ----------
    seed
        Everything follows from it.
    folder
        Where the store lies, an empty folder; None keeps it in RAM.
    """

    def __init__(self, seed: int, folder: Path | None = None, *, months: int = 2, people: int = 12) -> None:
        self.seed = seed
        self.folder = folder
        self.months = months
        self.rng = Random(f"months {seed}")
        self.world = World(seed, people=people, items=24)
        self.clock = ManualClock(OPENED)
        self.counts = Counts()
        self.doing = "opening"
        self._book = Book()
        self._again: list[object] = []
        self._voiced: dict[tuple[str, bool], Instant] = {}
        self._skew = 0
        self._high = OPENED
        self._opens = 0
        self._imports = 0
        self._rejected = 0
        self._data: Path | None = None if folder is None else folder / "data"
        self.settings = settings_of(seed, self._data)
        self._store: FragileStore
        self._engine: MortalEngine
        self._feed: Subscription
        self._keys: dict[str, Key] = {}

    # -- the engine and its store

    def _open(self, *, again: bool = False) -> None:
        self._opens += 1
        if self._data is not None:
            self._data.mkdir(parents=True, exist_ok=True)
            store = self.settings.store
            self._store = FragileSqlite(self._data / "bespeak.db", store if isinstance(store, SqliteSettings) else None)
        elif not again:
            self._store = FragileMemory()
        rng = Random(f"engine {self.seed} {self._opens}")
        self._engine = MortalEngine.open(self.settings, clock=self.clock, rng=rng, store=self._store)
        self._feed = self._engine.subscribe()

    async def _begin(self) -> None:
        await self._engine.start()
        for kind in ("write", "secret"):
            self._keys[kind], _ = await self._engine.create_key(kind, kind)
        await self._engine.put_items(self.world.items)

    async def _reopen(self, known: dict[str, object]) -> None:
        """Start anew over what is there; it must know what was known."""
        self._open(again=True)
        await self._engine.start()
        same("after a start", everything(self._engine, self._high), known)

    def _shut(self) -> None:
        if isinstance(self._store, FragileSqlite):
            self._store.close()

    # -- messages

    async def _arrive(self, deliveries: Sequence[Delivery]) -> None:
        """Let time pass, and send what has come, and what came to nothing before."""
        if not deliveries:
            return
        await self._pass(deliveries[-1].at + self._skew)
        messages = [*self._again, *(each.message for each in deliveries)]
        self._again = []
        for kind in ("write", "secret"):
            await self._send(kind, [each for each in messages if key_of(each) == kind])

    async def _pass(self, until: Instant) -> None:
        """Move the clock; on the way the timers run now and then."""
        now = self.clock.now()
        if until > now and self.rng.random() < 0.5:
            self._set(now + self.rng.randrange(until - now))
            await self._engine.tick()
        self._set(max(until, now))
        if self.rng.random() < 0.7:
            await self._engine.tick()

    def _set(self, at: Instant) -> None:
        self._high = max(self._high, self.clock.advance(at - self.clock.now()))

    async def _send(self, kind: str, messages: list[object], trouble: Trouble = "none") -> None:
        """Send a batch and wait for the answer; what is not answered is sent again later."""
        if not messages:
            return
        self.doing = f"sending {len(messages)} messages ({trouble})"
        self.counts.sent += len(messages)
        self._book.begin(self.clock.now())
        repeats = [self._voice(message) for message in messages]
        key = self._keys[kind]
        parsed = self._engine.parse(msgspec.json.encode({"batch": messages}), key=key)
        self._store.trouble = trouble
        receipt = self._engine.accept(parsed, key)
        try:
            await receipt.durable
        except BespeakError:
            if trouble == "none":
                raise
            self._again += messages
        finally:
            self._store.trouble = "none"
        if len(receipt.results) != len(messages):
            raise BrokenPromise(f"{len(messages)} messages, {len(receipt.results)} answers")
        if trouble == "lost":
            self.counts.unanswered += len(messages)
            return
        for message, repeated, result in zip(messages, repeats, receipt.results, strict=True):
            name = (kind, result.message_id or "")
            self._note(message, name, result.status, result.reason or "", heard=trouble == "none")
            if repeated:
                self._book.unsure.add(name)

    def _voice(self, message: object) -> bool:
        """Note what a message says of consent, and say whether somebody may have said all of it a minute before.

        Then it is kept only when that was somebody else; who was whose is not known here.
        """
        now, said = self.clock.now(), preferences(message)
        time = now
        with suppress(ValueError):
            time = parse_time(_field(message, "timestamp", ""))
        repeated = bool(said) and all(self._voiced.get(one, 0) > min(now, time) - MINUTE for one in said)
        for one in said:
            self._voiced[one] = max(now, time, self._voiced.get(one, 0))
        return repeated

    def _note(self, message: object, name: tuple[str, str], status: str, reason: str, *, heard: bool) -> None:
        damaged = _field(message, "messageId", "mmm").startswith(("damaged-", "mmm"))
        if damaged and status != "rejected":
            raise BrokenPromise(f"a damaged message was told {status}: {message!r:.400}")
        if status == "rejected":
            self._rejected += 1
        if not damaged:
            self._book.answered(name, status, states=reason != LATE and says_consent(message))
        names = {"ok": "acknowledged", "duplicate": "duplicates", "refused": "refused", "rejected": "rejected"}
        counted = names[status] if heard else "unanswered"
        setattr(self.counts, counted, getattr(self.counts, counted) + 1)


def settings_of(seed: int, data: Path | None) -> Settings:
    """Return the settings of a seed: half of them hold next to nothing in RAM, some trust nobody, some ask first."""
    profiles = ProfileSettings()
    engine = EngineSettings(checkpoint_seconds=3_600, models_seconds=86_400, dedupe_sieve_bytes=65_536)
    if (seed // 4 + seed) % 2:
        # Less than settings allow, so that a dozen people and some hundred messages do not fit.
        msgspec.structs.force_setattr(profiles, "live_max", 2)
        msgspec.structs.force_setattr(engine, "dedupe_max", 40)
        msgspec.structs.force_setattr(engine, "keys_max", 4)
    if forgets(seed):
        msgspec.structs.force_setattr(engine, "log_keep_days", 4.0)
    return Settings(
        data_dir=".bespeak" if data is None else str(data),
        store=MemorySettings() if data is None else SqliteSettings(),
        profiles=profiles,
        engine=engine,
        identity=IdentitySettings(unsigned="claim" if seed % 5 == 3 else "merge"),
        privacy=PrivacySettings(mode="opt_in" if seed % 7 == 6 else "opt_out"),
        archive=ArchiveSettings(minutes=0, cpu_share=1.0, apart=False, query_rows=1_000_000),
    )


def forgets(seed: int) -> bool:
    """Say whether a run keeps only some days of its log."""
    return seed % 3 == 1


def archives(seed: int, data: Path | None) -> bool:
    """Say whether a run writes days of its log to files: those that are on disk, and keep all of it."""
    return data is not None and not forgets(seed)


def grades(seed: int) -> bool:
    """Say whether a run has computed traits, a score and graded people, which take twice the time."""
    return seed % 11 == 3


def key_of(message: object) -> str:
    """Return the key that a message comes with, always the same one: the shop's server sends one in four."""
    return "secret" if crc32(_field(message, "messageId", "mm").encode()) % 4 == 0 else "write"


def _field(message: object, name: str, otherwise: str) -> str:
    """Return a field of a message as text, if it is one at all."""
    return str(cast("Message", message).get(name)) if isinstance(message, dict) else otherwise


def preferences(message: object) -> tuple[tuple[str, bool], ...]:
    """Return the choices of consent that a message states beside what it is about; none at all is a 'no' to all."""
    if not says_consent(message):
        return ()
    consent = cast("Mapping[str, Mapping[str, Mapping[str, Mapping[str, bool]]]]", message)["context"]["consent"]
    return tuple(consent["categoryPreferences"].items()) or NO_TO_ALL


def says_consent(message: object) -> bool:
    """Say whether a message states choices of consent beside what it is about."""
    context = cast("Message", message).get("context") if isinstance(message, dict) else None
    return isinstance(context, dict) and "consent" in context
