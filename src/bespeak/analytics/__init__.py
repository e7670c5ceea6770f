"""What came of it: the log as rows with columns, in sealed Parquet files that SQL can be asked over."""

from __future__ import annotations

from bespeak.analytics.columns import COLUMNS, Column
from bespeak.analytics.parquet import Table, rewrite
from bespeak.analytics.query import Answer, ask, export
from bespeak.analytics.rows import Row, row_of
from bespeak.analytics.sealed_file import Damaged, FileKey, digest_of, open_file, open_head, seal_file
from bespeak.analytics.settings import ArchiveSettings

__all__ = [
    "COLUMNS",
    "Answer",
    "ArchiveSettings",
    "Column",
    "Damaged",
    "FileKey",
    "Row",
    "Table",
    "ask",
    "digest_of",
    "export",
    "open_file",
    "open_head",
    "rewrite",
    "row_of",
    "seal_file",
]
