"""One answer for one page: what was asked, the steps from a snapshot to a decision, and what is answered."""

from bespeak.decide.decision import (
    MAX_ITEMS,
    MAX_SLOTS,
    BlockAnswer,
    DecideRequest,
    Decision,
    SlotAnswer,
    SlotRequest,
)
from bespeak.decide.settings import DecideSettings

__all__ = [
    "MAX_ITEMS",
    "MAX_SLOTS",
    "BlockAnswer",
    "DecideRequest",
    "DecideSettings",
    "Decision",
    "SlotAnswer",
    "SlotRequest",
]
