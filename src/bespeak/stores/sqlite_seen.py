"""Dedupe digests in SQLite: written packed, loaded packed, and still found one by one.

Random 16-byte keys in one tree would cost a page write for each event. So digests with an age are written as they
come, one row for each commit and hour (*loose*). Later they are rewritten as a *part*: sorted, in rows of one
page, found by the first digest of the row; a look-up reads one row of each part, of which there is about one an hour.
What is still loose is looked up in RAM, where it is loaded when somebody asks.

Digests without an age (imports, which arrive in big commits) stand in a tree of their own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from bespeak.stores import sqlite_many
from bespeak.stores.packed import PackedDigests
from bespeak.stores.store import SeenPage
from bespeak.stores.verify import AGELESS, DIGEST_BYTES, split_digests

ROW_DIGESTS = 500
"""Digests in a sorted row: 8,000 bytes, one page."""

PART_MIN = 4_096
"""An hour with fewer loose digests is left as it is: RAM finds them as cheaply."""

DROP_ROWS = 10_000
"""Loose rows dropped in one transaction; about 10 ms."""

AT_ONCE = 500
"""Digests written or looked for by one statement."""

_PARTS = """
    WITH RECURSIVE parts(part) AS (
        SELECT min(part) FROM seen WHERE part > 0
        UNION ALL
        SELECT (SELECT min(part) FROM seen WHERE part > parts.part AND part > 0)
        FROM parts WHERE parts.part IS NOT NULL)
    SELECT part FROM parts WHERE part IS NOT NULL"""


# `part > 0` says again what a part is, since SQLite takes a partial index only for a query that repeats its condition.
_IN_PART = "SELECT data FROM seen WHERE part = ? AND part > 0 AND low <= ? ORDER BY low DESC LIMIT 1"


def add(writer: sqlite3.Connection, seen: Sequence[tuple[bytes, int]]) -> None:
    """Write the digests of one commit; inside its transaction."""
    hours: dict[int, list[bytes]] = {}
    for digest, hour in seen:
        hours.setdefault(hour, []).append(digest)
    ageless = hours.pop(AGELESS, ())
    if ageless:
        _add_ageless(writer, sorted(split_digests(b"".join(ageless))))
    for hour, digests in hours.items():
        writer.execute("INSERT INTO seen (hour, part, data) VALUES (?, 0, ?)", (hour, b"".join(digests)))


def _add_ageless(writer: sqlite3.Connection, digests: list[bytes]) -> None:
    """Write digests that are sorted, so that neighbours in the tree are written together."""
    sqlite_many.put(writer, "INSERT OR IGNORE INTO seen_ageless", ((digest,) for digest in digests))


def page(reader: sqlite3.Connection, hour: int, *, after: int, rows: int) -> SeenPage:
    """Return the digests of some rows of the hours from `hour` on, in the order of the rows.

    Sorting writes digests into rows with higher numbers before it drops the loose ones, so that no page misses any.
    """
    query = "SELECT row, data FROM seen WHERE row > ? AND hour >= ? ORDER BY row LIMIT ?"
    found = reader.execute(query, (after, hour, rows)).fetchall()
    return SeenPage(b"".join(data for _, data in found), found[-1][0] if len(found) == rows else None)


def loose_counts(reader: sqlite3.Connection) -> dict[int, int]:
    """Return how many digests of each hour are still loose."""
    query = "SELECT hour, sum(length(data)) FROM seen WHERE part = 0 GROUP BY hour"
    return {hour: size // DIGEST_BYTES for hour, size in reader.execute(query)}


def sort_loose(reader: sqlite3.Connection, hour: int) -> tuple[int, int, list[bytes]]:
    """Return the newest loose row of an hour, how many loose digests it has, and these sorted in rows of one page."""
    query = "SELECT row, data FROM seen WHERE hour = ? AND part = 0 ORDER BY row"
    loose = reader.execute(query, (hour,)).fetchall()
    digests = sorted(digest for _, data in loose for digest in split_digests(data))
    rows = [b"".join(digests[at : at + ROW_DIGESTS]) for at in range(0, len(digests), ROW_DIGESTS)]
    return (loose[-1][0] if loose else 0), len(digests), rows


def add_part(writer: sqlite3.Connection, hour: int, rows: Sequence[bytes]) -> None:
    """Write sorted rows as one more part; inside a transaction."""
    part = writer.execute("SELECT coalesce(max(part), 0) + 1 FROM seen WHERE part > 0").fetchone()[0]
    values = ((hour, part, row[:DIGEST_BYTES], row) for row in rows)
    sqlite_many.put(writer, "INSERT INTO seen (hour, part, low, data)", values)


def drop_loose(writer: sqlite3.Connection, hour: int, last: int) -> bool:
    """Drop some loose rows of an hour, up to row `last`, and say whether there were any; inside a transaction.

    Only some, so that no commit waits long. Until all are gone a digest may be kept twice, which changes no answer.
    """
    some = "SELECT row FROM seen WHERE hour = ? AND part = 0 AND row <= ? LIMIT ?"
    dropped = writer.execute(f"DELETE FROM seen WHERE row IN ({some})", (hour, last, DROP_ROWS))  # noqa: S608
    return dropped.rowcount > 0


class Lookup:
    """Finds single digests; used by one thread at a time. Holds the loose ones in RAM once somebody has asked."""

    def __init__(self) -> None:
        self._loose = PackedDigests()
        self._loaded = 0

    def reset(self) -> None:
        """Let go of the loose ones, after digests were sorted or dropped; the next question loads what is left."""
        self._loose = PackedDigests()
        self._loaded = 0

    def find(self, reader: sqlite3.Connection, digests: Iterable[bytes]) -> frozenset[bytes]:
        """Return those of the digests that are kept; inside a read transaction."""
        self._load(reader)
        asked = set(digests)
        found = self._loose.among(asked)
        left = list(asked - found)
        for start in range(0, len(left), AT_ONCE):
            some = left[start : start + AT_ONCE]
            places = ", ".join("?" * len(some))
            query = f"SELECT digest FROM seen_ageless WHERE digest IN ({places})"  # noqa: S608
            found.update(digest for (digest,) in reader.execute(query, some))
        parts = [part for (part,) in reader.execute(_PARTS)]
        if parts:
            found.update(digest for digest in asked - found if _in_parts(reader, parts, digest))
        return frozenset(found)

    def _load(self, reader: sqlite3.Connection) -> None:
        query = "SELECT row, data FROM seen WHERE part = 0 AND row > ? ORDER BY row"
        rows = reader.execute(query, (self._loaded,)).fetchall()
        if rows:
            self._loose.add(data for _, data in rows)
            self._loaded = rows[-1][0]


def _in_parts(reader: sqlite3.Connection, parts: Iterable[int], digest: bytes) -> bool:
    for part in parts:
        row = reader.execute(_IN_PART, (part, digest)).fetchone()
        if row and _holds(row[0], digest):
            return True
    return False


def _holds(data: bytes, digest: bytes) -> bool:
    """Say whether packed digests hold one (a hit between two of them is none)."""
    at = data.find(digest)
    while at >= 0 and at % DIGEST_BYTES:
        at = data.find(digest, at + 1)
    return at >= 0
