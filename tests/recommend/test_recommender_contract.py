"""Every recommender keeps to the shipped checks, and the checks find those that do not."""

from __future__ import annotations

import numpy as np
import pytest

from bespeak.recommend import Interaction, Interactions, SeqKNN, Trending
from bespeak.testing import recommender_checks as checks


@pytest.mark.parametrize("make", [Trending, SeqKNN])
@pytest.mark.parametrize("check", checks.for_recommenders(), ids=lambda check: check.__name__)
def test_recommender(make, check) -> None:
    check(make())


class Forgetful(SeqKNN):
    def load(self, data, /):
        del data


class Eager(SeqKNN):
    def scores(self, history, catalog, /, *, at):
        self.learn(Interactions.of(Interaction(entry.item or "none", entry.name, at, ()) for entry in history))
        return super().scores(history, catalog, at=at)


class Narrow(Trending):
    def scores(self, history, catalog, /, *, at):
        found = super().scores(history, catalog, at=at)
        return None if found is None else found[: len(catalog)]


class Unsure(Trending):
    def scores(self, history, catalog, /, *, at):
        found = super().scores(history, catalog, at=at)
        return None if found is None else np.where(found > found.min(), found, np.nan)


class Weakest(SeqKNN):
    def why(self, history, catalog, items, /, *, at):
        return tuple(why[::-1] for why in super().why(history, catalog, items, at=at))


@pytest.mark.parametrize(
    "make, check",
    [
        (Forgetful, checks.it_comes_back_from_its_dump),
        (Forgetful, checks.it_refuses_a_dump_that_is_none),
        (Eager, checks.it_changes_nothing_when_it_is_asked),
        (Narrow, checks.it_scores_every_row_with_a_finite_number),
        (Unsure, checks.it_scores_every_row_with_a_finite_number),
        (Weakest, checks.it_gives_reasons_for_each_item),
    ],
)
def test_a_recommender_that_breaks_its_word_is_found(make, check) -> None:
    with pytest.raises(AssertionError, match="expected of every recommender"):
        check(make())
