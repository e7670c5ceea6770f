"""The recommenders of a store: what they learn from the log, noted event by event and learned in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bespeak.clock import SECOND, Duration, Instant
from bespeak.engine.histories import Histories
from bespeak.engine.journal import Journal
from bespeak.engine.vault import Vault
from bespeak.events import Event, item_ids
from bespeak.profiles import Profile
from bespeak.recommend import Interactions, Recommender, SeqKNN, Trending
from bespeak.recommend.interactions import Noted
from bespeak.settings import Settings
from bespeak.stores import Product, Store

HISTORY = 50
"""Earlier items handed to a learner with each interaction, at most."""

BATCH = 1_024
"""Interactions that are learned at once, at the latest: 2 to 5 milliseconds."""

LAG: Duration = SECOND // 10
"""What a decision may not know yet was noted within this time; so decisions between many events stay cheap."""

WAITING_MAX = 256
"""Batches that wait while the state is dumped, some 25 MB; with more, the loop waits for the dump."""


BESIDE_MAX = 500_000
"""Interactions kept beside while the models are built anew, some 50 MB; with more, that is given up."""


def models_of(settings: Settings, vault: Vault) -> Models:
    """Return the recommenders that the settings ask for, empty."""
    recommend = settings.recommend
    return Models(
        lambda: (SeqKNN(recommend), Trending(recommend)),
        recommend.weights(),
        vault,
        history=recommend.window,
        recent=settings.profiles.recent_max,
    )


class Models:
    """Every recommender, learning in batches.

    What is known after some events is the same however they were cut into batches, and whenever. A checkpoint holds
    each recommender's state, written now and then since it may be large, and what was learned since; together they are
    exactly what was live. Both are sealed under the key of the store: what was learned since is what one person after
    another did, without saying who.

    Parameters
    ----------
    make
        Makes the recommenders, empty, in the order in which decisions ask them.
    weights
        Weight by event name; an event that is not here teaches nothing, and is no history either.
    history
        Earlier items handed to the recommenders with each interaction: as many as the most curious of them reads.
    recent
        Recent events that a profile keeps at most.
    """

    def __init__(
        self,
        make: Callable[[], tuple[Recommender, ...]],
        weights: Mapping[str, float],
        vault: Vault,
        *,
        history: int = HISTORY,
        recent: int,
    ) -> None:
        self._make = make
        self._names = frozenset(weights)
        self._recommenders = make()
        self._noted = Noted()
        self._histories = Histories(self._names, self._noted.codes, most=min(history, HISTORY), bound=recent)
        self._waiting: list[Interactions] = []
        self._asked: Instant = 0
        self._journal = Journal(vault)
        self._beside: list[Interactions] | None = None
        self._beside_size = 0

    @property
    def built(self) -> int:
        """The offset up to which erased people are not in the models; -1 when an older version learned them.

        0 when they were never built anew.
        """
        return self._journal.built

    def unwritten(self) -> None:
        """Keep nothing for a checkpoint, since nobody will write one."""
        self._journal.begin_anew(0)

    def beside(self) -> list[Interactions]:
        """Return a list that takes everything that is learned from now on, as long as there is not too much of it."""
        self.catch_up()
        self._beside, self._beside_size = [], 0
        return self._beside

    def adopt(self, other: Models, beside: list[Interactions], built: int) -> bool:
        """Go on with what others learned, and with what was learned `beside`.

        Returns
        -------
        False when `beside` is not whole: then nothing changes.
        """
        self.catch_up()
        if self._beside is not beside:
            return False
        self._beside = None
        self._journal.settle()
        self._recommenders, self._waiting = other.recommenders, beside
        self._journal.begin_anew(built)
        self._learn_waiting()
        return True

    @property
    def recommenders(self) -> tuple[Recommender, ...]:
        """The recommenders, with everything that was noted so far."""
        self.catch_up()
        self._learn_waiting()
        return self._recommenders

    def asked(self, now: Instant) -> tuple[Recommender, ...]:
        """Return the recommenders for a decision at `now`: what they do not know yet is younger than `LAG`."""
        if len(self._noted) and abs(now - self._asked) >= LAG:
            self._asked = now
            self.catch_up()
        return self._recommenders

    def learn(self, profile: Profile, event: Event, items: tuple[str, ...] | None = None) -> None:
        """Note an event that was just folded into `profile`; events without items teach nothing.

        Parameters
        ----------
        items
            The event's `item_ids`, where they are known already.
        """
        name = event.name
        if name not in self._names:
            return
        if items is None:
            items = item_ids(event)
        if not items:
            return
        past = self._histories.before(profile, event)
        noted = self._noted
        for item in items:
            noted.add(noted.codes[item], name, event.time, past)
        if len(noted) >= BATCH:
            self.catch_up()

    def catch_up(self) -> None:
        """Learn what was noted; while the state is dumped, that waits."""
        if not len(self._noted):
            return
        batch = self._noted.take()
        if self._noted.is_full:
            self._forget()
        self._journal.add(batch)
        self._waiting.append(batch)
        self._keep_beside(batch)
        if len(self._waiting) > WAITING_MAX:
            self._journal.settle()
        if not self._journal.is_dumping:
            self._learn_waiting()

    def load(self, store: Store, *, sealed: bool) -> None:
        """Start anew from the checkpoint; that of a store older than keys is not sealed."""
        self._recommenders = self._make()
        self._forget()
        self._waiting, self._beside = [], None
        for batch in self._journal.load(store, self._recommenders, sealed=sealed):
            for recommender in self._recommenders:
                recommender.learn(batch)

    def products(self, offset: int, *, full: bool) -> tuple[Product, ...]:
        """Return what a checkpoint at `offset` must hold; nothing when nothing was learned since the last one.

        Parameters
        ----------
        full
            Whether to write the whole state now, which takes as long as it is large; it is written anyway when there
            is no other way.
        """
        self.catch_up()
        everything = full or self._journal.must_dump
        if everything and self._journal.has_news:
            self._journal.dump(self.recommenders)
        return self._journal.products(offset, everything=everything)

    def begin_dump(self) -> bool:
        """Begin to dump the state in another thread, for the next checkpoints; says whether there was anything to dump.

        Until it is copied nothing is learned, but noted.
        """
        self.catch_up()
        if self._journal.is_writing or self._journal.must_dump or not self._journal.has_news:
            return False
        self._learn_waiting()
        self._journal.begin_dump(self._recommenders, self._learn_waiting)
        return True

    @property
    def dump_is_due(self) -> bool:
        """Whether so much was learned since the last dump that another one is cheaper."""
        return self._journal.dump_is_due

    def _keep_beside(self, batch: Interactions) -> None:
        if self._beside is not None:
            self._beside.append(batch)
            self._beside_size += len(batch)
            if self._beside_size > BESIDE_MAX:
                self._beside = None

    def _forget(self) -> None:
        """Drop what was noted and is not learned, and what is only kept to be quick."""
        self._noted.forget()
        self._histories.clear()

    def _learn_waiting(self) -> None:
        self._journal.settle()
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            for recommender in self._recommenders:
                recommender.learn(batch)
