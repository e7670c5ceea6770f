"""Where the real data sets are, for tests, examples and benchmarks that use them. None is part of bespeak."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "BESPEAK_DATA"


def data_dir() -> Path | None:
    """Return the folder of the data sets, or None where there is none.

    It is named by the environment variable `BESPEAK_DATA`, else it is `shared/data` beside the repository.
    """
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else Path(__file__).resolve().parents[4] / "shared" / "data"
    return folder if folder.is_dir() else None
