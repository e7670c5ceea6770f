"""Simulated months of a town against the real engine, with all that goes wrong in months; every run is a seed.

The clock jumps, messages come doubled, late and damaged, devices turn out to be somebody, people change their minds
and ask to be forgotten, definitions and the catalog change, days of the log become files, the disk is full, the process
is killed. At random moments and at the end of each month every promise is asked for: what was acknowledged is in the
log, once; a replay of the log is what is live; and both are what plain counting makes of it.

Examples
--------
>>> import asyncio
>>> counts = asyncio.run(Months(3, months=1, people=4).live())
>>> counts.acknowledged + counts.duplicates + counts.refused + counts.rejected + counts.unanswered == counts.sent
True
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from random import Random

import msgspec

from bespeak.clock import DAY, HOUR, MINUTE
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import ArchiveFile
from bespeak.engine.pages import OWN
from bespeak.errors import InvalidInput, NotFound, StoreError
from bespeak.events import Event
from bespeak.ids import ProfileId
from bespeak.privacy.masters import KEY_FILE
from bespeak.stores import LogRow, SqliteSettings, copy_file, put_in_place
from bespeak.testing.world import OPENED
from bespeak.testing.world_archive import archive_is_log, people_in
from bespeak.testing.world_book import Book
from bespeak.testing.world_changes import changes_are_live
from bespeak.testing.world_faults import Delivery, Faults, deliver
from bespeak.testing.world_fragile import FragileSqlite, Trouble
from bespeak.testing.world_mischief import Mischief
from bespeak.testing.world_promises import (
    BrokenPromise,
    Gone,
    everything,
    log_is_live,
    nothing_answers,
    same,
    truth_is_live,
)
from bespeak.testing.world_run import Counts, Run, archives, forgets, grades, key_of, settings_of
from bespeak.testing.world_truth import Truth
from bespeak.testing.world_wishes import definition, first_definitions, goods, history

FAULTS = Faults(dropped=0.03, doubled=0.1, late=0.15, malformed=0.03, delay=40 * HOUR)
MONTH = 30 * DAY
STARTS_WITH = 4
"""Segments in force from the first day on."""


class _Backup(msgspec.Struct, frozen=True):
    """A copy of the store, with the master key of that time, and what senders had been told."""

    file: Path
    key: bytes
    book: Book
    gone: int
    rejected: int


class Months(Run):
    """The whole of a run: what happens in it, and what is asked of it; parameters as of `Run`."""

    def __init__(self, seed: int, folder: Path | None = None, *, months: int = 2, people: int = 12) -> None:
        super().__init__(seed, folder, months=months, people=people)
        self._gone: list[Gone] = []
        self._backup: _Backup | None = None
        self._old: list[LogRow] = []
        self._archives = archives(seed, self._data)
        self._file: ArchiveFile | None = None

    async def live(self) -> Counts:
        """Live through all of it.

        Raises
        ------
        AssertionError
            A promise is broken, or something else went wrong: the message says when, and how to see it again.
        """
        try:
            await self._live()
        except Exception as error:
            day = (self.clock.now() - OPENED) / DAY
            raise AssertionError(
                f"seed {self.seed}, day {day:.2f}, while {self.doing}: {type(error).__name__}: {error}\n"
                f"see it again: ./test world --seed {self.seed}"
            ) from error
        return self.counts

    async def _live(self) -> None:
        self._open()
        await self._begin()
        if grades(self.seed):
            await self._engine.apply(first_definitions())
        for _ in range(STARTS_WITH):
            await self._define()
        month = 0
        waiting: list[Delivery] = []
        for delivery in self._deliveries():
            if delivery.at >= OPENED + (month + 1) * MONTH and month + 1 < self.months:
                month += 1
                await self._end_month()
            waiting.append(delivery)
            if self.rng.random() < 0.35:
                await self._arrive(waiting)
                waiting = []
                await self._happen()
        await self._arrive(waiting)
        await self._end_month()
        await self._engine.close()
        self._shut()

    def _deliveries(self) -> list[Delivery]:
        history = self.world.history(OPENED, days=30.0 * self.months)
        messages = Mischief(self.world).over(history)
        return list(deliver(messages, FAULTS, Random(f"faults {self.seed}")))

    # -- what happens between them

    async def _happen(self) -> None:
        """Let something happen, or nothing."""
        steps: dict[Callable[[], Awaitable[None]], float] = {
            self._decide: 12,
            self._define: 4,
            self._stock: 4,
            self._checkpoint: 6,
            self._jump: 3,
            self._restart: 1.5,
            self._crash: 3,
            self._fail: 3,
            self._erase: 2,
            self._rotate: 1,
            self._import: 1,
            self._copy: 2,
            self._check: 1,
            self._nothing: 45,
        }
        if forgets(self.seed):
            steps[self._retain] = 8
        if self._archives:
            steps[self._archive] = 1
        (step,) = self.rng.choices([*steps], [*steps.values()])
        await step()

    async def _nothing(self) -> None:
        """Let it be."""

    async def _decide(self) -> None:
        self.doing = "deciding"
        person = self.rng.choice(self.world.people)
        device = self.rng.choice(person.devices).anonymous_id
        user = person.user_id if self.rng.random() < 0.3 else None
        request = DecideRequest(anonymous_id=device, user_id=user, slots=(SlotRequest(id="home", n=3),))
        self._engine.decide(request, key=self._keys["secret"])
        self.counts.decisions += 1

    async def _define(self) -> None:
        self.doing = "changing definitions"
        held = [one for one in self._engine.definitions("segments") if one.id.startswith("s")]
        if held and self.rng.random() < 0.2:
            await self._engine.delete("segments", self.rng.choice(held).id)
        else:
            made = [definition(self.rng) for _ in range(self.rng.choice((1, 1, 3)))]
            await self._engine.apply(list({one.id: one for one in made}.values()))
        self.counts.definitions += 1
        if grades(self.seed) and self.counts.definitions % 2:
            await self._draw()

    async def _draw(self) -> None:
        """Draw the borders of what is graded, as a server does by itself."""
        self.doing = "drawing borders"
        with contextlib.suppress(InvalidInput):  # nobody has figures yet
            await self._engine.draw_borders("rfm")
            self.counts.drawings += 1

    async def _stock(self) -> None:
        self.doing = "changing the catalog"
        if self.rng.random() < 0.4:
            await self._engine.remove_items([self.rng.choice(self.world.items).id])
        else:
            await self._engine.put_items(goods(self.world, self.rng))
        self.counts.catalogs += 1

    async def _checkpoint(self) -> None:
        self.doing = "writing a checkpoint"
        written = self._engine.checkpoint(models=self.rng.random() < 0.5)
        if written is not None and self.rng.random() < 0.7:
            await written

    async def _jump(self) -> None:
        """Set the clock: forward by minutes to hours, or back again."""
        self.doing = "setting the clock"
        skew = 0 if self._skew else self.rng.choice((20 * MINUTE, 3 * HOUR, 11 * HOUR, -20 * MINUTE, -HOUR, -5 * HOUR))
        self._set(self.clock.now() + skew - self._skew)
        self._skew = skew
        await self._engine.tick()
        self.counts.jumps += 1

    async def _restart(self) -> None:
        self.doing = "stopping and starting"
        await self._engine.settle()
        known = everything(self._engine, self._high)
        await self._engine.close()
        await self._reopen(known)
        self.counts.restarts += 1

    async def _crash(self) -> None:
        """Kill the process, perhaps with something on its way to the disk."""
        engine = self._engine
        await engine.settle()
        known = everything(engine, self._high)
        how = self.rng.choice(("idle", "lost", "unheard", "checkpoint"))
        self.doing = f"being killed ({how})"
        if how != "idle":
            engine.doom()
        if how == "checkpoint":
            self._store.trouble = self.rng.choice(("lost", "unheard"))
            written = engine.checkpoint(models=True)
            if written is not None:
                await asyncio.wait([written])
                written.exception()
            self._store.trouble = "none"
        elif how in {"lost", "unheard"}:
            await self._send("write", self._drafts(), "lost" if how == "lost" else "unheard")
            known = known if how == "lost" else everything(engine, self._high)
        await engine.die()
        self._leave()
        await self._reopen(known)
        self.counts.crashes += 1

    def _leave(self) -> None:
        """Go on with the files as they are at this moment: what a killed process leaves behind."""
        if self.folder is None or self._data is None:
            return
        left, self._data = self._data, self.folder / f"data{self._opens}"
        shutil.copytree(left, self._data, ignore=shutil.ignore_patterns("*lock*"))
        self._shut()
        shutil.rmtree(left)
        self.settings = settings_of(self.seed, self._data)

    async def _fail(self) -> None:
        """Let a commit fail, as on a full disk: nothing of it may stay, and it goes on without a restart."""
        engine = self._engine
        await engine.settle()
        before = everything(engine, self._high)
        trouble: Trouble = self.rng.choice(("lost", "unheard"))
        self.doing = f"failing to write ({trouble})"
        await self._send("write", self._drafts(), trouble)
        if trouble == "lost":
            same("after a commit that failed", everything(engine, self._high), before)
        self.counts.failures += 1

    def _drafts(self) -> list[object]:
        """Return messages that are sent once for nothing: they are sent again with the next ones."""
        people = self.rng.sample(self.world.people, 2)
        visits = (self.world.visits(each, self.clock.now() - self._skew, days=9.0, rng=self.rng) for each in people)
        first = [message for visit in visits for message, _ in zip(visit, range(3), strict=False)]
        return [each for each in first if key_of(each) == "write"]

    async def _import(self) -> None:
        self.doing = "importing"
        self._imports += 1
        events = history(self.world, self.rng, self.clock.now(), f"file-{self._imports}")
        taken, _, refused = await self._engine.import_events(events)
        more, known, _ = await self._engine.import_events(events)
        # What was refused may be taken the second time: a consent that stands further on in the file.
        if more > refused or known != taken:
            raise BrokenPromise(f"an import took {taken} events, and repeated {more} more; {known} were known")
        self._book.imported(events, taken + more)
        self.counts.imported += taken + more

    async def _rotate(self) -> None:
        self.doing = "rotating the master key"
        await self._engine.settle()
        if self.rng.random() < 0.3:
            before = everything(self._engine, self._high)
            self._store.trouble = "lost"
            try:
                await self._engine.rotate_master_key()
            except StoreError:
                pass
            else:
                raise BrokenPromise("a rotation that could not be written said nothing")
            finally:
                self._store.trouble = "none"
            same("after a rotation that failed", everything(self._engine, self._high), before)
        await self._engine.rotate_master_key()
        self.counts.rotations += 1

    async def _retain(self) -> None:
        """Drop what is old from the log, perhaps with trouble at one of the steps."""
        engine = self._engine
        await engine.settle()
        self.doing = "dropping old rows of the log"
        before = everything(engine, self._high)
        rows = list(self._store.read(0))
        trouble: Trouble = self.rng.choice(("none", "lost", "unheard"))
        quiet: list[Trouble] = ["none"]
        self._store.stumbles = (*quiet * self.rng.randrange(6), trouble)
        with contextlib.suppress(StoreError):
            await engine.retain()
        self._store.stumbles = ()
        gone = [row for row in rows if row.first <= self._store.dropped()]
        self._old += gone
        after = everything(engine, self._high)
        same("after old rows were dropped", {**after, "models": None}, {**before, "models": None})
        log_is_live(engine, self.settings, self.clock, self._high)
        self.counts.retentions += 1
        self.counts.rows_dropped += len(gone)

    async def _archive(self) -> None:
        """Write the next day of the log to a file."""
        self.doing = "archiving"
        self._file = await self._engine.archive_next()
        self.counts.archived += self._file is not None

    def _truth(self) -> Truth:
        return Truth(self.settings, self._store, self._engine.vault, self._old)

    # -- erasing

    async def _erase(self, among: Iterable[ProfileId] = ()) -> None:
        """Erase somebody, of these if they are known: nothing answers any more, and nobody else has changed."""
        engine = self._engine
        await engine.settle()
        before = everything(engine, self._high)
        if not before["profiles"]:
            return
        whose = self.rng.choice(sorted(set(among) & set(before["profiles"])) or sorted(before["profiles"]))
        self.doing = f"erasing {whose}"
        events, gone = self._going(whose)
        await self._forget(gone, self.rng.choice(gone.names))
        self._book.erase_all(events)
        del before["profiles"][whose]
        after = everything(engine, self._high)
        same("profiles of the others", after["profiles"], before["profiles"])
        self.counts.erasures += 1

    def _going(self, whose: ProfileId) -> tuple[list[Event], Gone]:
        """Return somebody's events, and what must be found nowhere once they are erased."""
        vault = self._engine.vault
        beings = self._truth().beings
        names = sorted(beings[whose].names)
        held = (self._store.key_of(vault.masters.name_of(name)) for name in names)
        events = beings.pop(whose).events
        emails = _emails(events) - {email for being in beings.values() for email in _emails(being.events)}
        ids = sorted(event.message_id for event in events if event.source != OWN)
        words = (*sorted(emails), *self.rng.sample(ids, min(5, len(ids))))
        gone = Gone(tuple(names), words, tuple(key.wrapped for key in held if key), self.clock.now())
        return events, gone

    async def _forget(self, gone: Gone, asked: str) -> None:
        receipt = await self._engine.erase(asked)
        same("identifiers erased", receipt.identifiers, len(gone.names))
        self.counts.rewritten += "written anew" in receipt.stores["archive"]
        self._gone.append(gone)
        self._rejected = self._store.rejected_count()
        self._feed.close()
        shown = [each async for each in self._feed]
        self._feed = self._engine.subscribe()
        nothing_answers(self._engine, gone, self._keys["secret"], shown, self._data)

    # -- copies

    async def _copy(self) -> None:
        """Copy the store, or put the last copy back: what came since is lost, and who was erased is erased again."""
        if not isinstance(self._store, FragileSqlite) or self.folder is None or self._data is None:
            return
        await self._engine.settle()
        key = self._data / KEY_FILE
        if self._backup is None:
            self.doing = "making a backup"
            file = self.folder / f"backup{self._opens}.db"
            copy_file(self._data / "bespeak.db", file, SqliteSettings())
            self._backup = _Backup(file, key.read_bytes(), self._book.copy(), len(self._gone), self._rejected)
            return
        self.doing = "restoring a backup"
        backup, self._backup = self._backup, None
        await self._engine.close()
        put_in_place(backup.file, self._data / "bespeak.db", SqliteSettings())
        key.write_bytes(backup.key)
        self._book, self._rejected = backup.book, backup.rejected
        self._open(again=True)
        self._old = [row for row in self._old if row.first <= self._store.dropped()]
        await self._engine.start()
        again, self._gone = self._gone[backup.gone :], self._gone[: backup.gone]
        for gone in again:
            await self._forget_again(gone)
        self.counts.restores += 1

    async def _forget_again(self, gone: Gone) -> None:
        for name in gone.names:
            profile = self._engine.find(name)
            if profile is None:
                continue
            events, whom = self._going(profile.id)
            await self._forget(whom, name)
            self._book.erase_all(events)
        for name in gone.names:
            try:
                await self._engine.erase(name)
            except NotFound:
                continue

    # -- asking for every promise

    async def _end_month(self) -> None:
        if not self._archives:
            await self._erase()
            await self._check()
            return
        await self._archive()
        await self._erase_from_file()
        await self._check()
        await self._engine.settle()
        self.doing = "asking the archive"
        archive_is_log(self._engine, self.settings)

    async def _erase_from_file(self) -> None:
        """Erase somebody whose events the newest file holds, if it holds any: it is written anew without them."""
        among = set[ProfileId]() if self._file is None else people_in(self._file, self._engine, self._truth())
        before = self.counts.rewritten
        await self._erase(among)
        if among and self.counts.rewritten == before:
            raise BrokenPromise("the archive: somebody was erased whose events a file holds, and none was written anew")

    async def _check(self) -> None:
        """Ask for every promise, of everybody."""
        engine = self._engine
        await engine.settle()
        self.doing = "checking"
        truth = self._truth()
        self._book.check(truth.stored, truth.stated)
        same("rejected messages kept", self._store.rejected_count(), self._rejected)
        truth_is_live(engine, truth, self.settings, self._high)
        log_is_live(engine, self.settings, self.clock, self._high)
        await engine.settle()
        changes_are_live(engine)
        self.counts.checks += 1
        self.counts.records, self.counts.profiles = truth.last, len(truth.beings)


def _emails(events: Iterable[Event]) -> set[str]:
    return {str(event.properties["email"]) for event in events if event.properties.get("email")}
