"""The versions of the file's format, and the step from each to the next.

| format | what is new |
| --- | --- |
| 1 | the first |
| 2 | the table `keys`: what is personal is sealed |
| 3 | snapshots, and a log that may begin later; it says how far timers were; profiles hold flips in a list |
| 4 | the table `undone`: checkpoints are written in parts |
| 5 | the table `changes`: who entered and left segments |

To bring a new one: change the schema and `FORMAT`, add the step from the one before to `STEPS`, and leave in `READABLE`
the older ones whose tables a reader still understands.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from bespeak.errors import StoreError
from bespeak.stores import sqlite_changes, sqlite_kept, sqlite_keys, sqlite_parts

FORMAT = 5
"""The version that is written; another one is migrated or refused, never guessed at."""

READABLE = frozenset({1, 2, 3, 4, 5})
"""Versions whose tables a reader understands as they are: they can be verified and backed up before a migration."""

Step: TypeAlias = Callable[[sqlite3.Connection], None]
"""Brings a file from one version to the next; inside a transaction."""

_log = logging.getLogger(__name__)


STEPS: Mapping[int, Step] = {
    1: sqlite_keys.make,
    2: sqlite_kept.make,
    3: sqlite_parts.make,
    4: sqlite_changes.make,
}
"""From each version to the next."""


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version that a file says it has; raises StoreError when it says none, or a newer one than ours."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    if row is None or not isinstance(row[0], int):
        raise StoreError(f"{path} does not say its store format: it is damaged; restore a backup")
    version: int = row[0]
    if version > FORMAT:
        raise StoreError(
            f"{path} has store format {version}, of a newer bespeak; this one reads format {FORMAT}: upgrade bespeak",
        )
    return version


def readable(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError unless a file can be read as it is, or migrated."""
    version = version_of(connection, path)
    if version not in READABLE and version != FORMAT and version not in STEPS:
        raise _no_way(path, version)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a file to our version: every step and the new number in one transaction, or nothing.

    Raises
    ------
    StoreError
        There is no way from its version. The file is as it was.
    """
    version = version_of(connection, path)
    if version == FORMAT:
        return
    if any(each not in STEPS for each in range(version, FORMAT)):
        raise _no_way(path, version)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for each in range(version, FORMAT):
            STEPS[each](connection)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (FORMAT,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    _log.info("%s was brought from store format %d to %d", path.name, version, FORMAT)


def _no_way(path: Path, version: int) -> StoreError:
    return StoreError(f"{path} has store format {version}; this bespeak reads {FORMAT} and knows no way from there")
