"""SeqKNN against worked sums, against the definition by pasts and futures, and online against batch."""

from __future__ import annotations

import math
import random
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.catalog import Catalog, Item
from bespeak.profiles.profile import Recent
from bespeak.recommend import Interaction, Interactions, RecommendSettings, SeqKNN
from bespeak.recommend.seqknn import CUT_EVERY, pair_weights

VIEW, ADD = "Product Viewed", "Product Added"
sequences = st.lists(st.lists(st.sampled_from("abcdef"), max_size=30), min_size=1, max_size=4)


def told(items, names=None) -> list[Interaction]:
    names = names or [VIEW] * len(items)
    return [
        Interaction(item, name, place, tuple(items[max(0, place - 50) : place]))
        for place, (item, name) in enumerate(zip(items, names, strict=True))
    ]


def learned(people, options: RecommendSettings | None = None) -> SeqKNN:
    seqknn = SeqKNN(options)
    seqknn.learn(Interactions.of(interaction for items in people for interaction in told(items)))
    return seqknn


def history(*items: str, names=None) -> tuple[Recent, ...]:
    names = names or [VIEW] * len(items)
    return tuple(
        Recent(place, f"m{place:03}", name, item) for place, (item, name) in enumerate(zip(items, names, strict=True))
    )


def catalog(items: str = "abcdef") -> Catalog:
    return Catalog(Item(id=item) for item in items)


def test_the_weight_of_a_pair_by_distance_is_the_sum_over_the_places_where_it_is_met() -> None:
    one, two, three = pair_weights(RecommendSettings(window=3))
    assert one == 1
    assert two == pytest.approx(math.exp(-1 / 10) + math.exp(-1))
    assert three == pytest.approx(math.exp(-2 / 10) + math.exp(-1 / 10 - 1) + math.exp(-2))


def test_two_events_give_one_pair_forward_and_half_of_it_back() -> None:
    seqknn = learned(["ab"])
    assert seqknn.neighbours("a") == {"b": 1.0}
    assert seqknn.neighbours("b") == {"a": 0.5}
    assert (seqknn.count("a"), seqknn.count("b"), seqknn.count("z")) == (2, 2, 1)


def test_a_score_is_the_faded_sum_over_the_history_with_frequencies_divided_out() -> None:
    seqknn = learned(["abc"])
    scores = seqknn.scores(history("a", "b"), catalog("abc"), at=0)
    assert scores is not None
    far = math.exp(-1 / 10) + math.exp(-1)
    every = 2**-0.5 * 2**-0.3
    assert scores[2] == pytest.approx(every * (1.0 + math.exp(-1 / 5) * far), rel=1e-6)
    assert scores[0] == pytest.approx(every * 0.5, rel=1e-6)


@given(sequences)
@settings.get_profile("few")
def test_learning_online_is_counting_every_past_with_every_future(people) -> None:
    """The counting of the definition, for histories within the window."""
    options = RecommendSettings(window=50)
    seqknn = learned(people, options)
    wanted: dict[tuple[str, str], float] = defaultdict(float)
    for items in people:
        for now in range(1, len(items)):
            for gap, past in enumerate(reversed(items[:now])):
                for offset, future in enumerate(items[now : now + 5]):
                    if past != future:
                        weight = math.exp(-gap / 10) * math.exp(-offset)
                        wanted[past, future] += weight
                        wanted[future, past] += 0.5 * weight
    found = {(item, other): weight for item in "abcdef" for other, weight in seqknn.neighbours(item).items()}
    assert found.keys() == wanted.keys()
    for pair, weight in wanted.items():
        assert found[pair] == pytest.approx(weight, rel=1e-5)


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from([VIEW, ADD, "Page Viewed"])), max_size=40))
)
@settings.get_profile("few")
def test_batch_is_online(people) -> None:
    online, batch, whole = SeqKNN(), SeqKNN(), []
    for sequence in people:
        kept = [(item, name) for item, name in sequence if name != "Page Viewed"]
        for interaction in told([item for item, _ in kept], [name for _, name in kept]):
            online.learn(Interactions.of([interaction]))
        whole.append([Interaction(item, name, 0, ()) for item, name in sequence])
    batch.fit(whole)
    for item in "abcdef":
        assert batch.count(item) == online.count(item)
        assert batch.neighbours(item) == pytest.approx(online.neighbours(item), rel=1e-5)
    one, other = (model.scores(history("a", "b"), catalog(), at=0) for model in (online, batch))
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_rows_that_grow_keep_all_that_they_held() -> None:
    """Hundreds of targets a row, far below the cut: learned together or person by person."""
    rng = random.Random(3)
    items = [f"i{number}" for number in range(400)]
    people = [rng.choices(items, k=40) for _ in range(300)]
    online = learned(people, RecommendSettings(neighbours=5_000))
    batch = SeqKNN(RecommendSettings(neighbours=5_000))
    batch.fit([[Interaction(item, VIEW, 0, ()) for item in person] for person in people])
    for item in items[:50]:
        assert online.neighbours(item) == pytest.approx(batch.neighbours(item), rel=1e-4)


def test_a_row_keeps_its_strongest_neighbours_and_is_bounded() -> None:
    """`hub` leads to `friend` again and again, and to 2,000 others once; cut after every 1,024 interactions."""
    seqknn = SeqKNN(RecommendSettings(neighbours=10))
    for number in range(2_000):
        for interaction in told(["hub", "friend"]) + told(["hub", f"i{number}"]):
            seqknn.learn(Interactions.of([interaction]))
        assert len(seqknn.neighbours("hub")) <= 2 * 10 + CUT_EVERY / 4
    assert seqknn.neighbours("hub")["friend"] == 2_000
    assert seqknn.neighbours("hub").keys() >= {"i1999", "i1998"}


def test_stronger_events_teach_more_and_say_more() -> None:
    seqknn = SeqKNN()
    for interaction in told("ab", [VIEW, ADD]) + told("cd"):
        seqknn.learn(Interactions.of([interaction]))
    assert seqknn.neighbours("a") == {"b": 3.0}
    assert seqknn.neighbours("c") == {"d": 1.0}
    assert seqknn.count("b") == 4
    viewed, added = (seqknn.scores(history("c", names=[name]), catalog(), at=0) for name in (VIEW, ADD))
    assert viewed is not None
    assert added is not None
    np.testing.assert_allclose(added, 3 * viewed)


def test_events_without_item_or_weight_take_no_place_in_the_history() -> None:
    seqknn = learned(["abc"])
    plain = seqknn.scores(history("a", "b"), catalog(), at=0)
    noisy = (
        Recent(0, "1", VIEW, "a"),
        Recent(1, "2", "Page Viewed"),
        Recent(2, "3", "Item Hidden", "c"),
        Recent(3, "4", VIEW, "b"),
        *[Recent(4 + place, f"5{place:02}", "Impression", "c") for place in range(30)],
    )
    np.testing.assert_array_equal(seqknn.scores(noisy, catalog(), at=0), plain)


def test_only_the_last_window_of_the_history_counts() -> None:
    seqknn = learned(["abcdef"], RecommendSettings(window=3))
    short = seqknn.scores(history("b", "c", "d"), catalog(), at=0)
    np.testing.assert_array_equal(seqknn.scores(history("a", "a", "b", "c", "d"), catalog(), at=0), short)


@given(sequences, st.lists(st.sampled_from("abcdef"), min_size=1, max_size=25))
@settings.get_profile("few")
def test_the_reasons_of_an_item_add_up_to_its_score(people, items) -> None:
    seqknn = learned(people)
    recent = history(*items)
    scores = seqknn.scores(recent, catalog(), at=0)
    whys = seqknn.why(recent, catalog(), list("abcdef"), at=0)
    for row, why in enumerate(whys):
        score = 0.0 if scores is None else scores[row]
        if len(why) < 3:
            assert sum(because.weight for because in why) == pytest.approx(score, rel=1e-6)
        else:
            assert sum(because.weight for because in why) <= score * (1 + 1e-6)
        for because in why:
            newest = max(place for place, item in enumerate(items) if item == because.item)
            assert (because.event, because.time) == (VIEW, newest)


def test_the_items_known_are_bounded_and_the_longest_untouched_are_forgotten() -> None:
    seqknn = SeqKNN(RecommendSettings(items_max=100, neighbours=50))
    before: list[str] = []
    for number in range(1_000):
        item = f"i{number}"
        seqknn.learn(Interactions.of([Interaction(item, VIEW, number, tuple(before[-50:]))]))
        before.append(item)
        assert len(seqknn._known) == len(seqknn._pairs) <= 101
    assert seqknn.neighbours("i0") == {}
    assert seqknn.neighbours("i998")["i999"] == pytest.approx(1.0)
    assert seqknn.neighbours("i990").keys() == {f"i{number}" for number in range(970, 1_000)} - {"i990"}


def test_the_score_of_an_item_does_not_depend_on_what_else_the_catalog_holds() -> None:
    seqknn = learned(["abc", "acb"])
    few = seqknn.scores(history("a"), catalog("cb"), at=0)
    many = seqknn.scores(history("a"), catalog("xyzbcw"), at=0)
    assert few is not None
    assert many is not None
    assert (few[0], few[1]) == (many[4], many[3])


@pytest.mark.slow
def test_twenty_thousand_items_with_full_rows_survive_their_bytes() -> None:
    seqknn = SeqKNN()
    size, rng = 20_000, np.random.default_rng(0)
    for number in range(size):
        seqknn._known.add(f"item-{number}")
        targets = np.unique(rng.integers(0, size, 320, dtype=np.int32))[:300]
        seqknn._pairs.restore(np.array([len(targets)], np.int32), targets, np.ones(len(targets)))
    seqknn._grow(size)
    data = seqknn.dump()
    assert max(map(len, data)) < 4_000_000
    again = SeqKNN()
    again.load(data)
    assert again.neighbours("item-77") == seqknn.neighbours("item-77")
