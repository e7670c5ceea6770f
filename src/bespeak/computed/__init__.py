"""What is worked out of somebody's events and has a name: computed traits, and scores with their bands and reasons."""

from bespeak.computed.borders import Borders, drawn_body, every, is_due
from bespeak.computed.borders import load as load_borders
from bespeak.computed.explaining import Contribution, Explained, explain
from bespeak.computed.score import ScorePlan
from bespeak.computed.score import load as load_score
from bespeak.computed.spread import Spread, quintiles
from bespeak.computed.trait import FIGURES, RfmPlan, Trait
from bespeak.computed.trait import load as load_trait

__all__ = [
    "FIGURES",
    "Borders",
    "Contribution",
    "Explained",
    "RfmPlan",
    "ScorePlan",
    "Spread",
    "Trait",
    "drawn_body",
    "every",
    "explain",
    "is_due",
    "load_borders",
    "load_score",
    "load_trait",
    "quintiles",
]
