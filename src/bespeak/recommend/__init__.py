"""Which items, for one person: recommenders learn from events, propose, are blended, and put in order.

    trending, seqknn = Trending(settings), SeqKNN(settings)        # learn(Interactions), dump(), load(pieces)
    candidates = propose(recommenders, history, catalog, at=, settings=, allowed=rows|None, exclude=ids)
        # Candidates(rows, scores, sources, weights): the best `settings.candidates`, best first
        # exclude: bought, hidden by the person, on the page already, the item that the page is about
    placed = arrange(catalog, rows, scores, n, settings=, pinned={row: place}, rng=)
        # tuple[Placed(row, score, pinned, propensity, explored), ...]
    items = materialize(placed, candidates, recommenders, history, catalog, at=, rules=, pinned_by=, explain=)
        # tuple[Scored, ...]

`settings.vary(variant)` gives the settings under a variant of an experiment. Between `propose` and `arrange`
rules may change rows and scores.
"""

from bespeak.recommend.arrange import Placed, arrange
from bespeak.recommend.blend import blend_weights, standardize
from bespeak.recommend.interactions import Interaction, Interactions
from bespeak.recommend.materialize import materialize
from bespeak.recommend.propose import NEWEST, Candidates, propose
from bespeak.recommend.scored import Because, Recommender, Scored, Scores
from bespeak.recommend.seqknn import SeqKNN
from bespeak.recommend.settings import OVERRIDABLE, RecommendSettings
from bespeak.recommend.trending import Trending

__all__ = [
    "NEWEST",
    "OVERRIDABLE",
    "Because",
    "Candidates",
    "Interaction",
    "Interactions",
    "Placed",
    "RecommendSettings",
    "Recommender",
    "Scored",
    "Scores",
    "SeqKNN",
    "Trending",
    "arrange",
    "blend_weights",
    "materialize",
    "propose",
    "standardize",
]
