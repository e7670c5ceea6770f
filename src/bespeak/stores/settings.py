"""Which store, and its bounds."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from bespeak.errors import SettingsError


class MemorySettings(msgspec.Struct, frozen=True, kw_only=True, tag="memory", forbid_unknown_fields=True):
    """Keep everything in RAM: nothing outlives the process. For tests and trials.

    Parameters
    ----------
    rejected_max
        Rejected things kept; beyond it the oldest go.
    versions_max
        Versions kept of one document; beyond it the oldest go.
    """

    rejected_max: int = 100_000
    versions_max: int = 100

    def __post_init__(self) -> None:
        _at_least_one("rejected_max", self.rejected_max)
        _at_least_one("versions_max", self.versions_max)


class SqliteSettings(msgspec.Struct, frozen=True, kw_only=True, tag="sqlite", forbid_unknown_fields=True):
    """Keep everything in one SQLite file: durable, no service to run.

    Parameters
    ----------
    path
        The file, relative to the data directory unless absolute.
    rejected_max
        Rejected things kept; beyond it the oldest go.
    versions_max
        Versions kept of one document; beyond it the oldest go. (What was live when is in the log.)
    cache_kib
        Pages kept in RAM by the writing connection, KiB; the reading one has a quarter of it.
    wal_kib
        Size of the write-ahead log, KiB, from which it is copied into the file, beside the commits.
    loose_max
        Dedupe digests kept in the order of their arrival before they are sorted for look-up; 16 bytes of RAM
        each once a digest was looked up.
    busy_ms
        How long to wait for another process that is writing (a backup tool, say) before a commit fails.
    """

    path: str = "bespeak.db"
    rejected_max: int = 100_000
    versions_max: int = 100
    cache_kib: int = 65_536
    wal_kib: int = 16_384
    loose_max: int = 500_000
    busy_ms: int = 5_000

    def __post_init__(self) -> None:
        if not self.path:
            raise SettingsError("store.path: expected a file name, got ''")
        for field in ("rejected_max", "versions_max", "cache_kib", "wal_kib", "loose_max", "busy_ms"):
            _at_least_one(field, getattr(self, field))


StoreSettings: TypeAlias = SqliteSettings | MemorySettings
"""The type picks the store."""


def _at_least_one(field: str, value: int) -> None:
    if value < 1:
        raise SettingsError(f"store.{field}: expected 1 or more, got {value}")
