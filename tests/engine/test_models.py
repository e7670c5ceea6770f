"""What the recommenders learned: noted with the history of before, the same in whatever batches, and on disk whole."""

from __future__ import annotations

import asyncio
import threading
from random import Random
from struct import pack

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import SECOND
from bespeak.conditions.counting.aggregates import Feeds
from bespeak.engine import journal
from bespeak.engine.models import BATCH, LAG, Models
from bespeak.engine.vault import PRODUCT, STORE, Vault
from bespeak.errors import StoreError
from bespeak.events import Event
from bespeak.privacy.masters import KeyHeld
from bespeak.profiles import Folding, Profile, fold
from bespeak.profiles.settings import ProfileSettings
from bespeak.recommend import Interaction, Interactions, RecommendSettings, SeqKNN, Trending
from bespeak.recommend.dumps import difference
from bespeak.stores import Checkpoint, Commit, LogRow, MemoryStore, Product

pytestmark = pytest.mark.anyio

START = 1_780_000_000 * SECOND
VIEW, PAGE = "Product Viewed", "Page Viewed"
NAMES = {VIEW: 1.0, "Product Added": 3.0}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Told:
    """A recommender that remembers what it was told."""

    name = "told"

    def __init__(self) -> None:
        self.all: list[Interaction] = []
        self.batches = 0

    def learn(self, batch, /):
        self.all += batch
        self.batches += 1

    def dump(self):
        return (msgspec.msgpack.encode(self.all),)

    def load(self, pieces, /):
        self.all = msgspec.msgpack.decode(pieces[0], type=list[Interaction])


class Town:
    """People whose events are folded and noted, and the checkpoints of what was learned."""

    def __init__(self, *make, recent: int = 1_000, history: int = 3) -> None:
        self.store = MemoryStore()
        self.vault = Vault(self.store, KeyHeld({}), bound=100)
        self.make = make or (Told,)
        self.recent = recent
        self.history = history
        self.models = self.fresh()
        self.people: dict[str, Profile] = {}
        self.folding = Folding(Feeds(()), lambda _: None, ProfileSettings(recent_max=recent))

    def fresh(self) -> Models:
        return Models(
            lambda: tuple(make() for make in self.make), NAMES, self.vault, history=self.history, recent=self.recent
        )

    def event(self, person: str, item: str | None, place: int, *, name: str = VIEW, time: int | None = None) -> None:
        event = Event(
            type="track",
            name=name,
            message_id=f"m{place:05}",
            time=START + (place if time is None else time) * SECOND,
            received=START + place * SECOND,
            user_id=person,
            properties={} if item is None else {"product_id": item},
        )
        profile = self.people.setdefault(person, Profile(id=f"u:{person}"))
        fold(profile, event, self.folding)
        self.models.learn(profile, event, self.folding.items)

    def checkpoint(self, *, full: bool = False) -> list[str]:
        products = self.models.products(1, full=full)
        keys = self.vault.made()
        offset = self.store.last_offset()
        rows = () if offset else (LogRow(1, 1, 0, b""),)
        self.store.commit(Commit(rows=rows, keys=keys, checkpoint=Checkpoint(offset=1, products=products)))
        self.vault.written(keys)
        return [f"{product.name}{'' if product.data else ' emptied'}" for product in products]

    def again(self) -> Models:
        models = self.fresh()
        models.load(self.store, sealed=True)
        return models


def told(models: Models) -> list[Interaction]:
    (recommender,) = models.recommenders
    assert isinstance(recommender, Told)
    return recommender.all


def test_an_interaction_has_the_items_of_before_and_only_those_that_say_something() -> None:
    town = Town()
    for place, (item, name) in enumerate([("a", VIEW), ("x", PAGE), (None, VIEW), ("b", "Product Added"), ("c", VIEW)]):
        town.event("ann", item, place, name=name)
    town.event("bob", "a", 9)
    assert [(one.item, one.name, one.history) for one in told(town.models)] == [
        ("a", VIEW, ()),
        ("b", "Product Added", ("a",)),
        ("c", VIEW, ("a", "b")),
        ("a", VIEW, ()),
    ]


happenings = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["a", "b", "c", "d", None]),
        st.sampled_from([VIEW, VIEW, "Product Added", PAGE]),
        st.sampled_from([0, 0, 0, 0, 1, 3, 30, 100_000]),
    ),
    max_size=60,
)


@given(happenings, st.sampled_from([10, 14, 1_000]), st.integers(0, 60))
def test_the_history_is_that_of_the_recent_events_before_however_late_they_came(events, recent, forgotten) -> None:
    """Against a search through all of `recent`, with events that come late, and are dropped at the bound."""
    town, wanted = Town(recent=recent), []
    for place, (person, item, name, late) in enumerate(events):
        if place == forgotten:
            town.models._histories.clear()  # what is kept makes no difference
        town.event(person, item, place, name=name, time=place - late)
        if item is not None and name in NAMES:
            rows = town.people[person].recent
            mine = (START + (place - late) * SECOND, f"m{place:05}")
            before = [row.item for row in rows if (row.time, row.message_id) < mine and row.name in NAMES]
            wanted.append((item, tuple([one for one in before if one is not None][-3:])))
    assert [(one.item, one.history) for one in told(town.models)] == wanted


def test_a_decision_knows_what_is_older_than_the_lag_and_many_decisions_cost_one_batch() -> None:
    town = Town()
    town.event("ann", "a", 0)
    (recommender,) = town.models.asked(START)
    assert isinstance(recommender, Told)
    assert len(recommender.all) == 1
    for place in range(1, 20):
        town.event("ann", "b", place)
        town.models.asked(START + LAG - 1)
    assert (len(recommender.all), recommender.batches) == (1, 1)
    town.models.asked(START + LAG)
    assert (len(recommender.all), recommender.batches) == (20, 2)
    for place in range(20, 21 + BATCH):
        town.event("ann", "b", place)
    assert len(recommender.all) == 20 + BATCH


def test_a_clock_that_was_set_back_does_not_keep_decisions_from_learning() -> None:
    town = Town()
    town.event("ann", "a", 0)
    town.models.asked(START)
    town.event("ann", "b", 1)
    (recommender,) = town.models.asked(START - 3600 * SECOND)
    assert isinstance(recommender, Told)
    assert len(recommender.all) == 2


def test_a_checkpoint_writes_only_what_is_new_and_the_full_state_replaces_it() -> None:
    town = Town()
    assert town.checkpoint() == []
    town.event("ann", "a", 0)
    assert town.checkpoint() == ["models:since:0", "models"]
    assert town.checkpoint() == []
    town.event("ann", "b", 1)
    assert town.checkpoint() == ["models:since:1", "models"]
    assert told(town.again()) == told(town.models)
    town.event("ann", "c", 2)
    assert town.checkpoint(full=True) == [
        "models:b:told:0",
        "models:since:0 emptied",
        "models:since:1 emptied",
        "models",
    ]
    assert town.checkpoint(full=True) == []
    town.event("bob", "d", 3)
    assert town.checkpoint() == ["models:since:0", "models"]
    assert told(town.again()) == told(town.models)
    assert len(told(town.models)) == 4


def test_what_was_noted_while_its_key_could_not_be_read_is_learned_and_written_sealed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    town = Town()
    town.event("ann", "a", 0)
    town.checkpoint()
    town.event("ann", "b", 1)
    with monkeypatch.context() as away:
        away.setattr(town.vault, "sealer", unreadable)
        assert len(told(town.models)) == 2
    assert town.checkpoint() == ["models:since:1", "models"]
    assert told(town.again()) == told(town.models)


def unreadable(_subject: str) -> None:
    raise StoreError("the disk does not answer")


@pytest.mark.parametrize("seed", range(20))
async def test_what_is_on_disk_is_what_was_live_at_every_checkpoint(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full states now and then, also from another thread and spread over several checkpoints; and new starts."""
    monkeypatch.setattr(journal, "PIECES_BYTES", 1)
    rng, options = Random(seed), RecommendSettings(items_max=100, neighbours=10)
    town = Town(lambda: SeqKNN(options), lambda: Trending(options), history=20)
    place = 0
    for _ in range(40):
        for _ in range(rng.choice([0, 1, 30, 300])):
            place += 1
            town.event(f"p{rng.randrange(20)}", f"i{int(rng.paretovariate(0.5)) % 150}", place)
            if rng.random() < 0.01:
                town.models.asked(place * SECOND)
        if rng.random() < 0.3:
            town.models.begin_dump()
        if rng.random() < 0.5:
            await asyncio.sleep(0.001)
        town.checkpoint(full=rng.random() < 0.1)
        again = town.again()
        for one, other in zip(town.models.recommenders, again.recommenders, strict=True):
            assert one.dump() == other.dump()
        if rng.random() < 0.2:
            town.models = again
    town.checkpoint(full=True)
    held = {name for name, product in town.store._products.items() if product.data}
    slot = "b" if "models:b:trending:0" in held else "a"
    assert held == {"models", f"models:{slot}:trending:0", f"models:{slot}:seqknn:0", f"models:{slot}:seqknn:1"}


async def test_while_the_state_is_copied_events_wait_and_nothing_else_does() -> None:
    copying, go_on = threading.Event(), threading.Event()

    class Slow(Told):
        def dump(self):
            copying.set()
            assert go_on.wait(20)
            return super().dump()

    town = Town(Slow)
    town.event("ann", "a", 0)
    assert town.models.begin_dump()
    await asyncio.to_thread(copying.wait, 20)
    town.event("ann", "b", 1)
    (recommender,) = town.models.asked(START + SECOND)
    assert isinstance(recommender, Told)
    assert [one.item for one in recommender.all] == ["a"]
    assert not town.models.begin_dump(), "one at a time"
    assert town.checkpoint() == ["models:since:0", "models"], "a checkpoint does not wait for it"
    go_on.set()
    while town.models._journal._dumped is None:  # noqa: ASYNC110  # what it waits for is another thread
        await asyncio.sleep(0.001)
    assert [one.item for one in recommender.all] == ["a", "b"]
    town.event("ann", "c", 2)
    assert town.checkpoint() == ["models:b:told:0", "models:since:1", "models"]
    assert [one.item for one in told(town.again())] == ["a", "b", "c"]


def test_with_too_much_to_write_the_full_state_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "JOURNAL_BYTES", 3_000)
    town = Town()
    for place in range(5):
        town.event("ann", "a", place)
        town.models.catch_up()
    assert town.checkpoint() == ["models:b:told:0", "models"]
    assert told(town.again()) == told(town.models)
    assert len(told(town.models)) == 5


def test_a_dump_is_due_after_many_chunks_or_when_they_outgrow_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town()
    for place in range(journal.CHUNKS_MAX):
        assert not town.models.dump_is_due
        town.event("ann", "a", place)
        town.checkpoint()
    assert town.models.dump_is_due
    town.checkpoint(full=True)
    assert not town.models.dump_is_due
    monkeypatch.setattr(journal, "GROWN_BYTES", 1_000)
    for place in range(101, 200):
        town.event("ann", "a", place)
        town.models.catch_up()
    assert town.models.dump_is_due


def test_models_in_the_form_of_before_are_read_and_written_anew() -> None:
    """The first form: one product a recommender, and the interactions since."""
    options = RecommendSettings(items_max=100)
    town = Town(lambda: SeqKNN(options), lambda: Trending(options))
    settled = (pack("ii", 1, 0), pack("i", 1), pack("f", 2.0))
    loose = (pack("ii", 1, 1), pack("ii", 1, 0), pack("dd", 0.5, 1.0))
    counts, touched = pack("dd", 3.0, 4.0), pack("qq", START, START)
    seqknn = msgspec.msgpack.encode([1, ["a", "b"], counts, touched, [settled, loose]])
    trending = msgspec.msgpack.encode([1, 30 * 86_400e6, START, START, ["a", "b"], pack("dd", 2.0, 3.0)])
    pending = msgspec.msgpack.encode([Interaction("b", VIEW, START, ("a",))])
    first = {"model:seqknn": seqknn, "model:trending": trending, "model:pending": pending}
    for name, data in first.items():
        sealed = town.vault.seal(STORE, PRODUCT, data)
        town.store._products[name] = Product(name, 1, sealed)
    town.models.load(town.store, sealed=True)
    for models in (town.models, town.again()):
        one, other = models.recommenders
        assert isinstance(one, SeqKNN)
        assert isinstance(other, Trending)
        assert (one.count("a"), one.count("b")) == (3.0, 5.0)
        assert one.neighbours("a") == {"b": 3.5}
        assert one.neighbours("b") == {"a": 1.5}
        assert (other.count("a", at=START), other.count("b", at=START)) == (2.0, 4.0)
        written = town.checkpoint() if models is town.models else None
        assert written is None or {f"{name} emptied" for name in first} <= set(written)
    assert all(not town.store._products[name].data for name in first)


def test_dumps_differ_by_name_place_and_value_and_not_in_their_last_bits() -> None:
    def one(weight: float) -> Trending:
        trending = Trending(weights={VIEW: weight})
        trending.learn(Interactions.of([Interaction(item, VIEW, START, ()) for item in "ab"]))
        return trending

    assert difference(one(1.0).dump(), one(1.0 + 1e-12).dump()) is None
    assert difference(one(1.0).dump(), one(1.5).dump()) == ("counts[0]", 1.0, 1.5)
    assert difference(one(1.0).dump(), Trending().dump()) is not None
    assert difference((b"x",), (b"y",)) == ("piece 0", "1 bytes", "1 other bytes")
    assert difference((b"x",), ()) == ("pieces", 1, 0)
