"""The versions of the file's format, and the step from each to the next.

| format | what is new |
| --- | --- |
| 1 | the first |
| 2 | the log also says when time passed; the tables are as they were, but an older bespeak cannot read such a record |
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from bespeak.errors import StoreError

FORMAT = 2
"""The version that is written; another one is migrated or refused, never guessed at."""

READABLE = frozenset({1, 2})
"""Versions whose tables a reader understands as they are: they can be verified and backed up before a migration."""

Step: TypeAlias = Callable[[sqlite3.Connection], None]
"""Brings a file from one version to the next; inside a transaction."""

_log = logging.getLogger(__name__)


def _same_tables(connection: sqlite3.Connection) -> None:
    """Change nothing: the version itself keeps an older bespeak from records that it does not know."""


STEPS: Mapping[int, Step] = {1: _same_tables}
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


def migrate(
    connection: sqlite3.Connection, path: Path, steps: Mapping[int, Step] = STEPS, *, wanted: int = FORMAT
) -> None:
    """Bring a file to the wanted version: every step and the new number in one transaction, or nothing.

    Raises
    ------
    StoreError
        There is no way from its version. The file is as it was.
    """
    version = version_of(connection, path)
    missing = next((each for each in range(version, wanted) if each not in steps), None)
    if missing is not None:
        raise StoreError(f"{path} has store format {version}; this bespeak reads {wanted} and knows no way from there")
    if version == wanted:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for each in range(version, wanted):
            steps[each](connection)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (wanted,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    _log.info("%s was brought from store format %d to %d", path.name, version, wanted)
