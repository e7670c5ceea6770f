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
from bespeak.decide.steps import Offer, Offered, Page, Snapshot, decide, default_slot, explain_assignments, variants

__all__ = [
    "MAX_ITEMS",
    "MAX_SLOTS",
    "BlockAnswer",
    "DecideRequest",
    "DecideSettings",
    "Decision",
    "Offer",
    "Offered",
    "Page",
    "SlotAnswer",
    "SlotRequest",
    "Snapshot",
    "decide",
    "default_slot",
    "explain_assignments",
    "variants",
]
