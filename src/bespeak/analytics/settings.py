"""How the log is archived, and what a question may cost."""

from __future__ import annotations

from typing import cast

import msgspec


class ArchiveSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the log becomes Parquet files, how long those are kept, and what a question over them may cost.

    Parameters
    ----------
    minutes
        How often a running server looks for what is due (0 to 1,440); 0: only `bespeak archive run` archives.
    rows
        Records of the log in one file (100 to 1,000,000). A file ends with the UTC day of arrival, too.
    mib
        Bytes of the log in one file, MiB (1 to 1,024); writing or reading a file takes some times as much RAM.
    cpu_share
        Share of one core that a running server spends on archiving while there is much to do (0.01 to 1).
    apart
        Whether a process of its own writes the files of a running server, so that nobody who is answered waits for it:
        about 230 MiB of RAM while it does, with files of 50,000 events. A thread (`false`) takes some 80 MiB less.
    keep_days
        Days after which a whole file is dropped, counted from its newest arrival (0 to 100,000); 0 keeps everything.
        The log goes by `engine.log_keep_days`.
    query_mib
        RAM that a question may take, MiB (64 to 1,000,000); beyond it, it fails: nothing is ever spilled to the disk.
    query_seconds
        How long a question may take (0.1 to 86,400).
    query_rows
        Rows that an answer has at most (1 to 10,000,000).
    preview_mib
        RAM in which a running server may hold events, so that previews of segments take less than a second, MiB (16 to
        1,000,000; 0: it holds none, and previews read the files). It is taken by a process of its own when the first
        preview is asked for.
    preview_minutes
        Minutes after the last preview at which that process ends and gives its RAM back (0.01 to 1,440).
    """

    minutes: float = 15.0
    rows: int = 50_000
    mib: int = 64
    cpu_share: float = 0.25
    apart: bool = True
    keep_days: int = 0
    query_mib: int = 2_048
    query_seconds: float = 60.0
    query_rows: int = 10_000
    preview_mib: int = 2_048
    preview_minutes: float = 10.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("minutes", 0, 1_440),
            ("rows", 100, 1_000_000),
            ("mib", 1, 1_024),
            ("cpu_share", 0.01, 1),
            ("keep_days", 0, 100_000),
            ("query_mib", 64, 1_000_000),
            ("query_seconds", 0.1, 86_400),
            ("query_rows", 1, 10_000_000),
            ("preview_mib", 16, 1_000_000),
            ("preview_minutes", 0.01, 1_440),
        ):
            value = cast("float", getattr(self, name))
            if name == "preview_mib" and not value:
                continue
            if not low <= value <= high:
                raise ValueError(f"archive.{name} must be {low:,} to {high:,}, got {value:,}")
