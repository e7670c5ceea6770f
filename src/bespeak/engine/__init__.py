"""The engine: the one place that picks implementations and holds the order of steps."""

from bespeak.engine.answers import EventResult, Receipt
from bespeak.engine.custody import ErasureReceipt, Rotation
from bespeak.engine.definitions import KINDS, Applied, Definition, DefinitionKind, definitions_in
from bespeak.engine.engine import Engine
from bespeak.engine.feed import Live, Subscription
from bespeak.engine.metrics import COUNTERS, GAUGES, Metrics
from bespeak.engine.rebuilding import SHARE, ModelsStatus
from bespeak.engine.replay import Difference, Replayed, rebuild, replay

__all__ = [
    "COUNTERS",
    "GAUGES",
    "KINDS",
    "SHARE",
    "Applied",
    "Definition",
    "DefinitionKind",
    "Difference",
    "Engine",
    "ErasureReceipt",
    "EventResult",
    "Live",
    "Metrics",
    "ModelsStatus",
    "Receipt",
    "Replayed",
    "Rotation",
    "Subscription",
    "definitions_in",
    "rebuild",
    "replay",
]
