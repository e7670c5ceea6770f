"""What every recommender must keep to, as checks that ship: run them on your own.

Examples
--------
>>> from bespeak.recommend import Trending
>>> for check in for_recommenders():
...     check(Trending())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

import numpy as np

from bespeak.catalog import Catalog, Item
from bespeak.clock import HOUR, MINUTE, Instant
from bespeak.errors import InvalidInput
from bespeak.events.vocabulary import ORDER_COMPLETED, PRODUCT_ADDED, PRODUCT_VIEWED
from bespeak.profiles.profile import Recent
from bespeak.recommend import Interaction, Interactions, Recommender, Scores
from bespeak.recommend.dumps import difference

Check = Callable[[Recommender], None]

_START: Instant = 1_700_000_000_000_000
_NAMES = (PRODUCT_VIEWED, PRODUCT_VIEWED, PRODUCT_VIEWED, PRODUCT_ADDED, ORDER_COMPLETED)


def for_recommenders() -> tuple[Check, ...]:
    """Return the checks; each takes a recommender that has learned nothing, and raises AssertionError when it fails."""
    return (
        it_has_a_name,
        it_says_nothing_before_it_has_learned,
        it_has_something_to_say_about_what_it_learned,
        it_scores_every_row_with_a_finite_number,
        it_follows_the_catalog,
        it_changes_nothing_when_it_is_asked,
        it_survives_what_it_does_not_know,
        it_gives_reasons_for_each_item,
        it_comes_back_from_its_dump,
        it_goes_on_from_its_dump_as_if_nothing_had_been,
        it_learns_the_same_in_whatever_batches,
        it_refuses_a_dump_that_is_none,
    )


def it_has_a_name(recommender: Recommender) -> None:
    """Answers, weights and checkpoints call it by its name."""
    _expect(recommender.name.isidentifier(), "name is an identifier")


def it_says_nothing_before_it_has_learned(recommender: Recommender) -> None:
    """None, or the same score for every row: nothing that looks learned."""
    scores = recommender.scores(_history("a", "b"), _catalog(), at=_START)
    _expect(scores is None or float(np.ptp(scores)) == 0.0, "scores are None or all alike before anything is learned")


def it_has_something_to_say_about_what_it_learned(recommender: Recommender) -> None:
    """After many people went from `a` to `b`, somebody at `a` gets scores that tell items apart."""
    _teach(recommender)
    scores = recommender.scores(_history("a"), _catalog(), at=_START + HOUR)
    _expect(scores is not None and float(np.ptp(scores)) > 0.0, "scores differ after events were learned")


def it_scores_every_row_with_a_finite_number(recommender: Recommender) -> None:
    """Rows of removed items included."""
    catalog = _catalog()
    catalog.remove(["c"])
    _teach(recommender)
    scores = _scores(recommender, catalog, "a", "b")
    _expect(scores.shape == (catalog.rows,), f"one score a row: expected {(catalog.rows,)}, got {scores.shape}")
    _expect(scores.dtype == np.float64, f"scores are float64, got {scores.dtype}")
    _expect(bool(np.isfinite(scores).all()), "scores are finite")


def it_follows_the_catalog(recommender: Recommender) -> None:
    """Scores go by item id, whatever the rows: items are added, and another catalog may stand in another order."""
    catalog = _catalog()
    _teach(recommender)
    before = _scores(recommender, catalog, "a")
    catalog.put([Item(id=f"new{number}") for number in range(100)])
    after = _scores(recommender, catalog, "a")
    _expect(len(after) == catalog.rows, "new items have scores")
    _expect(np.allclose(after[: len(before)], before), "the scores of the others stay")
    turned = Catalog(reversed(_catalog().items()))
    _expect(np.allclose(_scores(recommender, turned, "a"), before[::-1]), "scores go by id, not by row")


def it_changes_nothing_when_it_is_asked(recommender: Recommender) -> None:
    """Asking twice gives the same, and leaves the state as it was."""
    catalog = _catalog()
    _teach(recommender)
    state = recommender.dump()
    first = _scores(recommender, catalog, "a", "b")
    recommender.why(_history("a", "b"), catalog, ["b", "c"], at=_START)
    _expect(np.array_equal(first, _scores(recommender, catalog, "a", "b")), "the same question has the same answer")
    _expect(recommender.dump() == state, "asking leaves the state as it was")


def it_survives_what_it_does_not_know(recommender: Recommender) -> None:
    """Items outside the catalog, names that mean nothing, events without an item, nobody's history."""
    catalog = _catalog()
    _teach(recommender)
    odd_ones = (
        Interaction("elsewhere", PRODUCT_VIEWED, _START, ("a", "nowhere")),
        Interaction("b", "Some Event", _START, ("a",)),
    )
    recommender.learn(Interactions.of(odd_ones))
    recommender.learn(Interactions.of(()))
    odd = (Recent(_START, "1", "Page Viewed"), Recent(_START, "2", PRODUCT_VIEWED, "never seen"))
    for history in ((), odd, odd * 100):
        scores = recommender.scores(history, catalog, at=_START)
        _expect(scores is None or bool(np.isfinite(scores).all()), "odd histories give finite scores, or None")
    _expect(len(recommender.why(odd, catalog, ["never seen"], at=_START)) == 1, "an unknown item has its place in why")


def it_gives_reasons_for_each_item(recommender: Recommender) -> None:
    """One tuple an item, in the order asked, at most three reasons, the strongest first, none without weight."""
    catalog = _catalog()
    _teach(recommender)
    history = _history("a", "c", "d", "e", "a")
    _expect(recommender.why(history, catalog, [], at=_START) == (), "no items, no reasons")
    items = ["b", "nowhere", "c", "f"]
    whys = recommender.why(history, catalog, items, at=_START)
    _expect(len(whys) == len(items), f"one tuple an item: expected {len(items)}, got {len(whys)}")
    for item, why in zip(items, whys, strict=True):
        weights = [because.weight for because in why]
        _expect(len(why) <= 3, f"{item}: at most three reasons, got {len(why)}")
        _expect(weights == sorted(weights, reverse=True), f"{item}: the strongest reason comes first")
        _expect(all(weight > 0 for weight in weights), f"{item}: a reason has a weight above 0")
        _expect(why == recommender.why(history, catalog, [item], at=_START)[0], f"{item}: the same reasons asked alone")


def it_comes_back_from_its_dump(recommender: Recommender) -> None:
    """`load(dump())` undoes whatever was learned in between."""
    catalog = _catalog()
    _teach(recommender)
    state, scores = recommender.dump(), _scores(recommender, catalog, "a", "b").copy()
    _teach(recommender, seed=9)
    recommender.load(state)
    _expect(np.array_equal(scores, _scores(recommender, catalog, "a", "b")), "the scores are those at the dump")
    _expect(recommender.dump() == state, "the dump of what was loaded is the same dump")


def it_goes_on_from_its_dump_as_if_nothing_had_been(recommender: Recommender) -> None:
    """Learning, dumping, loading and learning on equals learning it all: replay from a checkpoint is exact."""
    catalog = _catalog()
    _teach(recommender)
    state = recommender.dump()
    _teach(recommender, seed=9)
    whole = _scores(recommender, catalog, "a", "b").copy()
    recommender.load(state)
    _teach(recommender, seed=9)
    _expect(np.allclose(whole, _scores(recommender, catalog, "a", "b"), rtol=1e-9), "replay from the dump is exact")


def it_learns_the_same_in_whatever_batches(recommender: Recommender) -> None:
    """One by one, in batches, or all at once: batches are cut by the clock, and replay does not know where."""
    empty, lessons = recommender.dump(), list(_lessons(Random(5), 40))
    recommender.learn(Interactions.of(lessons))
    whole = recommender.dump()
    rng = Random(1)
    for most in (1, 7, 100):
        recommender.load(empty)
        start = 0
        while start < len(lessons):
            stop = start + rng.randint(1, most)
            recommender.learn(Interactions.of(lessons[start:stop]))
            start = stop
        _expect(difference(recommender.dump(), whole) is None, f"the same from batches of up to {most}")


def it_refuses_a_dump_that_is_none(recommender: Recommender) -> None:
    """Other bytes raise InvalidInput, and leave the state as it was."""
    _teach(recommender)
    state = recommender.dump()
    half = (*state[:-1], state[-1][: len(state[-1]) // 2])
    for wrong in ((), (b"",), (b"\x00",), (b"something else",), half):
        try:
            recommender.load(wrong)
        except InvalidInput:
            continue
        _expect(holds=False, what=f"{wrong[:1]!r} is refused with InvalidInput")
    _expect(recommender.dump() == state, "a refused dump leaves the state as it was")


def _expect(holds: bool, what: str) -> None:  # noqa: FBT001  # reads like `assert`, and stays under python -O
    if not holds:
        raise AssertionError(f"expected of every recommender: {what}")


def _catalog() -> Catalog:
    return Catalog(Item(id=item, categories=("letters",)) for item in "abcdefgh")


def _history(*items: str) -> tuple[Recent, ...]:
    return tuple(
        Recent(_START + place * MINUTE, f"m{place:03}", PRODUCT_VIEWED, item) for place, item in enumerate(items)
    )


def _scores(recommender: Recommender, catalog: Catalog, *items: str) -> Scores:
    scores = recommender.scores(_history(*items), catalog, at=_START + HOUR)
    if scores is None:
        raise AssertionError(f"expected of every recommender: scores for {items}, which it has learned about")
    return scores


def _teach(recommender: Recommender, *, seed: int = 1, people: int = 40) -> None:
    """Let people wander through the letters, most of them from one to the next; some letters are not in the catalog."""
    recommender.learn(Interactions.of(_lessons(Random(seed), people)))


def _lessons(rng: Random, people: int) -> Iterator[Interaction]:
    letters = "abcdefghijkl"
    for person in range(people):
        seen: list[str] = []
        place = rng.randrange(len(letters))
        for step in range(6):
            item = letters[place % len(letters)]
            time = _START + person * MINUTE + step
            yield Interaction(item, rng.choice(_NAMES), time, tuple(seen))
            seen.append(item)
            place += rng.choice((1, 1, 1, 2, 5))
