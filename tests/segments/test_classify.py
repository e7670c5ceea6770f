"""Membership is exact to the second, is asked only where it can have changed, and says why."""

from __future__ import annotations

import itertools
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.clock import MINUTE, NEVER, SECOND
from bespeak.conditions import Feeds, key
from bespeak.errors import DefinitionError
from bespeak.events import Event
from bespeak.profiles import Folding, Profile, ProfileSettings, View, fold
from bespeak.segments import MAX_SEGMENTS, Change, Segments, load

START = 1_780_000_000 * SECOND
SETTINGS = ProfileSettings()
TEXTS = {
    "twice": 'count("View", last 3 seconds) >= 2',
    "idle": 'not performed("View", last 10 seconds)',
    "buyers": 'sum(properties.price of "Buy", last 20 seconds) > 5',
    "latest": 'last(properties.price of "View") >= 3',
    "germans": 'traits.country = "DE"',
    "keen": 'count("View") >= 3 and not performed("Buy", last 1 minute)',
    "regulars": "sessions.count >= 2",
}


def segments_of(texts: dict[str, str]) -> Segments:
    return Segments(load({"id": name, "condition": text}, source="test") for name, text in texts.items())


def event(name: str, at: int, place: int, *, price: int = 1, country: str | None = None) -> Event:
    context = {"traits": {"country": country}} if country else {}
    return Event(
        type="track",
        name=name,
        message_id=f"m{place:03d}",
        time=at,
        received=at,
        anonymous_id="a",
        properties={"price": price},
        context=context,
    )


class Town:
    """One person, one set of segments, fed event by event as the engine does."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.segments = segments_of(texts)
        self.folding = Folding(Feeds(self.segments.aggregates()), lambda _item: None, SETTINGS)
        self.profile = Profile(id="a:a")
        self.moves: list[tuple[int, str, bool]] = []
        self.fresh = True

    def take(self, happened: Event) -> None:
        moves = self.say_why(self.segments.advance(self.profile, happened.time, SETTINGS))
        folded = fold(self.profile, happened, self.folding)
        if self.fresh:
            moves += self.say_why(self.segments.welcome(self.profile, happened, folded, SETTINGS))
        else:
            moves += self.say_why(self.segments.classify(self.profile, happened, folded, SETTINGS))
        self.fresh = False
        self.moves += [(move.at, move.segment, move.entered) for move in moves]

    def say_why(self, moves: tuple[Change, ...]) -> tuple[Change, ...]:
        """However it was put together: the reason is what the condition finds at that instant."""
        for move in moves:
            compiled = self.segments.compiled(move.segment)
            assert compiled is not None
            view = View(self.profile, move.at, SETTINGS)
            assert move.why == compiled.explain(view, move.at).sentence()
        return moves

    def advance(self, until: int) -> None:
        for move in self.say_why(self.segments.advance(self.profile, until, SETTINGS)):
            self.moves.append((move.at, move.segment, move.entered))


def test_the_second_view_enters_and_the_window_leaves_at_its_second() -> None:
    town = Town({"twice": TEXTS["twice"]})
    town.take(event("View", START, 0))
    assert "twice" not in town.profile.segments
    town.take(event("View", START + SECOND, 1))
    assert town.profile.segments["twice"].since == START + SECOND
    assert town.profile.next_flip_at == START + 3 * SECOND
    town.advance(START + 3 * SECOND - 1)
    assert "twice" in town.profile.segments
    town.advance(START + 3 * SECOND)
    assert "twice" not in town.profile.segments
    assert town.moves[-1] == (START + 3 * SECOND, "twice", False)
    assert town.profile.next_flip_at == NEVER


def test_absence_is_entered_at_its_second_without_an_event() -> None:
    town = Town({"idle": TEXTS["idle"]})
    town.take(event("View", START, 0))
    assert "idle" not in town.profile.segments
    town.advance(START + MINUTE)
    assert town.profile.segments["idle"].since == START + 10 * SECOND


def test_a_cart_that_is_left_is_entered_when_the_time_to_buy_is_over() -> None:
    left = 'sequence("View" then "Add" within 5 seconds without "Buy" for 10 seconds, last 1 minute)'
    town = Town({"left": left})
    for place, (name, second) in enumerate([("View", 0), ("Add", 4), ("View", 20), ("Add", 25), ("Buy", 35)]):
        town.take(event(name, START + second * SECOND, place))
    town.advance(START + 2 * MINUTE)
    assert town.moves == [(START + 14 * SECOND, "left", True), (START + 64 * SECOND, "left", False)]


def test_what_a_trait_has_been_is_entered_when_it_has_been_so_long_enough() -> None:
    town = Town(
        {
            "german": 'traits.country has been "DE" for 10 seconds',
            "new": 'not traits.country has been "DE" for 5 seconds',
        }
    )
    for place, (country, second) in enumerate([("DE", 0), ("FR", 5), ("DE", 20), ("de", 25), (None, 29)]):
        town.take(event("View", START + second * SECOND, place, country=country))
    town.advance(START + MINUTE)
    assert [move for move in town.moves if move[1] == "german"] == [(START + 30 * SECOND, "german", True)]
    assert town.moves[0] == (START, "new", True)
    assert ("new", False) in [move[1:] for move in town.moves]


def test_a_late_event_takes_its_place_in_the_order() -> None:
    town = Town(
        {"then": 'sequence("View" then "Buy" without "Add")', "cheap": 'last("View") has (properties.price < 3)'}
    )
    for place, (name, second, price) in enumerate([("Buy", 9, 1), ("View", 5, 1), ("View", 3, 5), ("Add", 6, 1)]):
        town.take(event(name, START + second * SECOND, place, price=price))
    assert [move[1:] for move in town.moves] == [("then", True), ("cheap", True), ("then", False)]


def test_somebody_new_is_asked_everything() -> None:
    town = Town({"idle": TEXTS["idle"]})
    town.take(event("Other", START, 0))
    assert "idle" in town.profile.segments


def test_a_membership_says_why() -> None:
    town = Town({"germans": TEXTS["germans"]})
    town.take(event("Other", START, 0, country="DE"))
    assert "DE" in town.profile.segments["germans"].why


deeds = st.lists(
    st.tuples(
        st.sampled_from(["View", "Buy", "Other"]),
        st.integers(0, 40),
        st.integers(0, 6),
        st.sampled_from(["DE", "FR", None]),
    ),
    min_size=1,
    max_size=25,
)


@given(deeds, st.integers(0, 100))
def test_live_membership_equals_asking_every_condition_anew(
    happened: list[tuple[str, int, int, str | None]], wait: int
) -> None:
    """The index and the flips never miss a change: asked at any instant, the answer is the naive one."""
    town = Town(TEXTS)
    clock = START
    for place, (name, gap, price, country) in enumerate(happened):
        clock += gap * SECOND
        town.take(event(name, clock, place, price=price, country=country))
        agrees(town, clock)
    for second in range(wait):
        town.advance(clock + second * SECOND)
        agrees(town, clock + second * SECOND)


def agrees(town: Town, at: int) -> None:
    view = View(town.profile, at, SETTINGS)
    naive = {
        segment.id
        for segment in town.segments.all()
        if (compiled := town.segments.compiled(segment.id)) is not None and compiled.holds(view, at)
    }
    assert set(town.profile.segments) == naive


SHAPES = TEXTS | {
    "calm": 'count("View", last 5 seconds) < 2',
    "either": 'performed("View", last 4 seconds) or performed("Buy", last 9 seconds)',
    "carts": 'performed("View", last 8 seconds) and not performed("Buy", last 6 seconds)',
    "doubts": 'not (performed("Buy", last 7 seconds) and count("View", last 7 seconds) > 1)',
    "exactly": 'count("View", last 6 seconds) = 2',
    "never": 'not performed("Buy")',
    "fallen": 'count("View") < 4',
    "dear": 'count("View" where properties.price > 3, last 12 seconds) >= 2',
    "recent": 'last(properties.price of "Buy", last 5 seconds) > 2',
    "refunds": 'sum(properties.price of "Buy", last 8 seconds) < 3',
    "locals": 'traits.country = "DE" and performed("View", last 5 seconds)',
    "busy": 'sessions.events >= 3 and count("Buy", last 1 minute) >= 1',
    "daily": 'count("View", today) >= 2 and count("View", today) < 5',
    "visit": 'count("View", this session) = 2',
    "mean": 'avg(properties.price of "Buy", last 8 seconds) > 2',
    "range": 'max(properties.price of "*", last 6 seconds) >= 5 or min(properties.price of "View") = 1',
    "kinds": 'distinct(properties.price of "View", last 9 seconds) >= 3',
    "usual": 'most_frequent(properties.price of "Buy") = 3 or first(properties.price of "View", this week) = 2',
    "anything": 'count("*", last 4 seconds) >= 2',
    "begins": 'count("Vi*") >= 3 and not performed("B*", last 7 seconds)',
    "since": 'count("View", since date "2026-05-28T20:26:45Z") >= 2',
}
arrivals = st.lists(
    st.tuples(
        st.sampled_from(["View", "Buy", "Other"]),
        st.integers(-6, 12),
        st.integers(-4, 6),
        st.sampled_from(["DE", "FR", None, None]),
    ),
    min_size=1,
    max_size=25,
)


@given(arrivals)
def test_events_in_any_order_move_people_and_no_flip_is_noted_too_late(
    happened: list[tuple[str, int, int, str | None]],
) -> None:
    """Segments that an event cannot move are not asked: that must be so, and their flips may only be too early."""
    town = Town(SHAPES)
    clock = START
    for place, (name, gap, price, country) in enumerate(happened):
        clock += gap * SECOND
        town.take(event(name, clock, place, price=price, country=country))
        as_of = town.profile.as_of
        agrees(town, as_of)
        for segment in town.segments.all():
            compiled = town.segments.compiled(segment.id)
            assert compiled is not None
            true_flip = compiled.next_flip(View(town.profile, as_of, SETTINGS), as_of)
            assert as_of < town.profile.flips.at(segment.id) <= true_flip
        assert town.profile.next_flip_at == town.profile.flips.next == min(town.profile.flips.times, default=NEVER)
        assert len(set(town.profile.flips.names)) == len(town.profile.flips.names)


@given(arrivals)
def test_whoever_is_new_starts_as_if_asked_everything(happened: list[tuple[str, int, int, str | None]]) -> None:
    name, gap, price, country = happened[0]
    welcomed, asked = Town(SHAPES), Town(SHAPES)
    first = event(name, START + gap * SECOND, 0, price=price, country=country)
    welcomed.take(first)
    fold(asked.profile, first, asked.folding)
    asked.segments.classify_all(asked.profile, first.time, SETTINGS)
    assert dict(sorted(welcomed.profile.segments.items())) == dict(sorted(asked.profile.segments.items()))
    assert welcomed.profile.flips == asked.profile.flips
    assert welcomed.profile.as_of == asked.profile.as_of


@given(arrivals, st.dictionaries(st.sampled_from(sorted(SHAPES)), st.sampled_from([*sorted(SHAPES), ""]), max_size=6))
def test_whoever_is_asked_what_has_changed_comes_to_what_they_would_be_asked_everything(
    happened: list[tuple[str, int, int, str | None]], changes: dict[str, str]
) -> None:
    """A changed segment asks what another one did (or is deleted), and one is new."""
    town, clock = Town(SHAPES), START
    for place, (name, gap, price, country) in enumerate(happened):
        clock += gap * SECOND
        town.take(event(name, clock, place, price=price, country=country))
    town.advance(town.profile.as_of + 2 * SECOND)
    texts = {name: SHAPES[changes.get(name, name)] for name in SHAPES if changes.get(name, name)}
    after, at = segments_of(texts | {"new": 'performed("View", last 3 seconds)'}), town.profile.as_of
    profiles = [msgspec.msgpack.decode(msgspec.msgpack.encode(town.profile), type=Profile) for _ in range(2)]
    asked, all_asked = profiles
    changed = after.changed_since(town.segments)
    assert changed.names == {"new", *(name for name, other in changes.items() if name != other)}
    moved = after.classify_changed(asked, at, SETTINGS, changed)
    all_moved = after.classify_all(all_asked, at, SETTINGS)
    assert sorted(map(repr, moved)) == sorted(map(repr, all_moved))
    assert dict(sorted(asked.segments.items())) == dict(sorted(all_asked.segments.items()))
    assert asked.as_of == all_asked.as_of
    assert asked.next_flip_at == asked.flips.next
    for segment in after.all():
        assert at < asked.flips.at(segment.id) <= all_asked.flips.at(segment.id)


def test_whom_new_definitions_leave_where_they_are_is_not_changed() -> None:
    town = Town(TEXTS)
    for place in range(3):
        town.take(event("View", START + place * SECOND, place))
    written = msgspec.msgpack.encode(town.profile)
    after = segments_of(TEXTS | {"gold": 'traits.plan = "gold" and performed("Buy", last 2 days)'})
    changed = after.changed_since(town.segments)
    assert changed.names == {"gold"}
    assert not after.classify_changed(town.profile, START + 4 * SECOND, SETTINGS, changed)
    assert msgspec.msgpack.encode(town.profile) == written
    gone = segments_of({name: text for name, text in TEXTS.items() if name != "keen"})
    left = gone.classify_changed(town.profile, START + 4 * SECOND, SETTINGS, gone.changed_since(town.segments))
    assert [(one.segment, one.entered, one.at) for one in left] == [("keen", False, START + 4 * SECOND)]
    assert town.profile.as_of == START + 4 * SECOND


def test_a_segment_is_asked_anew_when_what_it_names_has_changed_or_history_was_counted_for_it() -> None:
    texts = {"one": "traits.plan = 1", "named": 'in_segment("one")', "often": 'count("View") >= 3', "new": "true"}
    before = segments_of(texts)
    assert not before.changed_since(segments_of(texts)).names
    assert segments_of(texts | {"one": "traits.plan = true"}).changed_since(before).names == {"one", "named"}
    assert segments_of(texts).changed_since(segments_of({"new": "true"})).names == {"one", "named", "often"}
    counted = [key(one) for one in before.aggregates()]
    assert segments_of(texts).changed_since(before, counted).names == {"often"}


def test_moves_alternate_and_never_go_back_in_time() -> None:
    rng = Random(3)
    town = Town(TEXTS)
    clock = START
    for place in range(200):
        clock += rng.randrange(15) * SECOND
        town.take(event(rng.choice(["View", "Buy"]), clock, place, price=rng.randrange(6)))
    assert [at for at, _, _ in town.moves] == sorted(at for at, _, _ in town.moves)
    for name in TEXTS:
        mine = [entered for _, segment, entered in town.moves if segment == name]
        assert all(one != other for one, other in itertools.pairwise(mine))


@pytest.mark.parametrize(
    "raw, words",
    [
        ({"id": "x"}, "condition is missing"),
        ({"id": "X y", "condition": "true"}, "id must be"),
        ({"id": "x", "condition": "true", "wen": 1}, "unknown field 'wen'"),
        ({"id": "x", "condition": "count("}, "x.yaml: condition"),
        ({"id": "x", "condition": 3}, "must be text or a mapping"),
    ],
)
def test_a_definition_that_cannot_be_is_refused_with_its_place(raw: dict[str, object], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        load(raw, source="x.yaml")


def test_what_a_segment_cannot_know_is_refused() -> None:
    for text in ('context.device = "phone"', "item.price < 3", 'in_segment("other")'):
        with pytest.raises(DefinitionError, match="segment 's'"):
            segments_of({"s": text})


def test_a_typing_error_in_a_path_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"'trait.country' is not a path; a path begins with traits"):
        segments_of({"s": 'trait.country = "DE"'})


def test_there_is_a_bound_on_segments() -> None:
    with pytest.raises(DefinitionError, match="at most 1,000 segments"):
        segments_of({f"s{n}": "true" for n in range(MAX_SEGMENTS + 1)})
