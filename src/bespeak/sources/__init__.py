"""Where data comes from: other people's files, read as a map says, in the order of time.

`load_map` gives the map, `import_files` carries the files to the engine; `read_rows` and `plan_import` are its steps.
"""

from __future__ import annotations

from bespeak.sources.import_files import ImportInto, Progress, Summary, import_files, import_in_turn
from bespeak.sources.import_map import ImportMap, Section
from bespeak.sources.limits import ImportLimits
from bespeak.sources.load_map import load_map, parse_map, shipped_maps
from bespeak.sources.plan import Plan, plan_import
from bespeak.sources.rejected import Quarantine, RejectedLine
from bespeak.sources.rows import Row, read_rows

__all__ = [
    "ImportInto",
    "ImportLimits",
    "ImportMap",
    "Plan",
    "Progress",
    "Quarantine",
    "RejectedLine",
    "Row",
    "Section",
    "Summary",
    "import_files",
    "import_in_turn",
    "load_map",
    "parse_map",
    "plan_import",
    "read_rows",
    "shipped_maps",
]
