"""The engine: the one place that picks implementations and holds the order of steps."""

from bespeak.engine.answers import EventResult, Receipt
from bespeak.engine.archive import ArchiveFile, Fault
from bespeak.engine.archive_reading import ask_archive, cut_of, export_archive, members_in_archive
from bespeak.engine.archiving import Archived
from bespeak.engine.changes import ChangesPage, read_changes
from bespeak.engine.custody import ErasureReceipt, Rotation
from bespeak.engine.definitions import KINDS, Applied, Definition, DefinitionKind, definitions_in
from bespeak.engine.drawing import BordersStatus, DrawingNow
from bespeak.engine.engine import Engine
from bespeak.engine.feed import Live, Subscription
from bespeak.engine.lists import ListChanged, ListMember, ListShown, Unlisted, change_list, list_sizes, show_list
from bespeak.engine.metrics import BOUNDS, COUNTERS, GAUGES, HISTOGRAMS, Histogram, Metrics
from bespeak.engine.moves import Cause, MoveTold
from bespeak.engine.preview_apart import Taking
from bespeak.engine.previews import Previews, WarmPreview
from bespeak.engine.rebuilding import SHARE, ModelsStatus
from bespeak.engine.replay import Difference, Replayed, rebuild, replay
from bespeak.engine.vocabulary import unseen_in

__all__ = [
    "BOUNDS",
    "COUNTERS",
    "GAUGES",
    "HISTOGRAMS",
    "KINDS",
    "SHARE",
    "Applied",
    "ArchiveFile",
    "Archived",
    "BordersStatus",
    "Cause",
    "ChangesPage",
    "Definition",
    "DefinitionKind",
    "Difference",
    "DrawingNow",
    "Engine",
    "ErasureReceipt",
    "EventResult",
    "Fault",
    "Histogram",
    "ListChanged",
    "ListMember",
    "ListShown",
    "Live",
    "Metrics",
    "ModelsStatus",
    "MoveTold",
    "Previews",
    "Receipt",
    "Replayed",
    "Rotation",
    "Subscription",
    "Taking",
    "Unlisted",
    "WarmPreview",
    "ask_archive",
    "change_list",
    "cut_of",
    "definitions_in",
    "export_archive",
    "list_sizes",
    "members_in_archive",
    "read_changes",
    "rebuild",
    "replay",
    "show_list",
    "unseen_in",
]
