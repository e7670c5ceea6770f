"""Snapshots in SQLite: of a checkpoint that is kept, only what later ones have changed.

Before a commit changes a profile, an alias or a document for the first time since the newest snapshot, what stood there
is put aside under that snapshot's number (with no data where nothing stood). So taking one costs nothing, and what a
snapshot held is: of each id what was put aside under the lowest number from its own on, else what stands there now.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from bespeak.clock import Instant
from bespeak.errors import StoreError
from bespeak.ids import ProfileId
from bespeak.stores import sqlite_many
from bespeak.stores.store import Commit, Document, Product, ProfileRow, Snapshot

SCHEMA = """
CREATE TABLE snapshots (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, gone INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE kept_profiles (
    snapshot INTEGER NOT NULL, id TEXT NOT NULL, next_flip_at INTEGER, data BLOB, PRIMARY KEY (snapshot, id));
CREATE TABLE kept_aliases (
    snapshot INTEGER NOT NULL, alias TEXT NOT NULL, id TEXT, PRIMARY KEY (snapshot, alias));
CREATE TABLE kept_documents (
    snapshot INTEGER NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER, data BLOB,
    PRIMARY KEY (snapshot, kind, id))
"""

_TABLES = ("kept_profiles", "kept_aliases", "kept_documents")

_PROFILE = (
    "INSERT OR IGNORE INTO kept_profiles (snapshot, id, next_flip_at, data)"
    " SELECT {snapshot}, column1, next_flip_at, data FROM ({values}) LEFT JOIN profiles ON profiles.id = column1"
)
_ALIAS = (
    "INSERT OR IGNORE INTO kept_aliases (snapshot, alias, id)"
    " SELECT {snapshot}, column1, aliases.id FROM ({values}) LEFT JOIN aliases ON aliases.alias = column1"
)
_DOCUMENT = (
    "INSERT OR IGNORE INTO kept_documents (snapshot, kind, id, version, data)"
    " SELECT ?1, ?2, ?3, version, data FROM (SELECT 1) LEFT JOIN"
    " (SELECT version, data FROM documents WHERE kind = ?2 AND id = ?3 ORDER BY version DESC LIMIT 1)"
)
_UNDONE = "INSERT INTO kept_profiles (snapshot, id, next_flip_at, data) SELECT ?, id, next_flip_at, data FROM undone"
"""What parts of the next checkpoint have written over already."""

_SINCE = "(SELECT number FROM snapshots WHERE number >= ?1)"
_EARLIER = "(SELECT number FROM snapshots WHERE number >= ?1 AND number < kept.snapshot)"

_products = msgspec.msgpack.Decoder(tuple[Product, ...])


def make(writer: sqlite3.Connection) -> None:
    """Make the tables; inside a transaction."""
    for statement in SCHEMA.split(";"):
        writer.execute(statement)


def stand_in(reader: sqlite3.Connection) -> None:
    """Let a reader of a file from before there were snapshots find none; the file stays as it is."""
    if reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'snapshots'").fetchone() is not None:
        return
    reader.execute("PRAGMA query_only=0")
    for statement in SCHEMA.split(";"):
        reader.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE"))
    reader.execute("PRAGMA query_only=1")


def newest(reader: sqlite3.Connection) -> int:
    """Return the offset of the newest snapshot; 0 when there is none."""
    return int(reader.execute("SELECT coalesce(max(number), 0) FROM snapshots WHERE NOT gone").fetchone()[0])


def listed(reader: sqlite3.Connection) -> tuple[Snapshot, ...]:
    """Return the snapshots, the oldest first."""
    rows = reader.execute("SELECT number, at, data FROM snapshots WHERE NOT gone ORDER BY number")
    return tuple(Snapshot(number, at, _products.decode(data)) for number, at, data in rows)


def find(reader: sqlite3.Connection, offset: int) -> None:
    """Raise StoreError unless there is a snapshot of an offset."""
    if reader.execute("SELECT 1 FROM snapshots WHERE number = ? AND NOT gone", (offset,)).fetchone() is None:
        raise StoreError(f"there is no snapshot of offset {offset}")


def take(writer: sqlite3.Connection, offset: int, at: Instant, names: Sequence[str]) -> Snapshot:
    """Begin to keep the checkpoint of an offset, as it is; inside a transaction."""
    if offset == newest(writer):
        writer.execute("UPDATE snapshots SET at = ? WHERE number = ?", (at, offset))
        return listed(writer)[-1]
    query = "SELECT included, data FROM products WHERE name = ?"
    found = ((name, writer.execute(query, (name,)).fetchone()) for name in names)
    products = tuple(Product(name, *row) for name, row in found if row is not None)
    data = msgspec.msgpack.encode(products)
    writer.execute("INSERT INTO snapshots (number, at, gone, data) VALUES (?, ?, 0, ?)", (offset, at, data))
    writer.execute(_UNDONE, (offset,))
    return Snapshot(offset, at, products)


def keep(writer: sqlite3.Connection, snapshot: int, commit: Commit) -> None:
    """Put aside what a commit is about to change, but for those whom it erases; inside its transaction."""
    if not snapshot:
        return
    erased = frozenset(commit.forget.names if commit.forget is not None else ())
    writer.executemany(_DOCUMENT, ((snapshot, one.kind, one.id) for one in commit.documents))
    cut, part = commit.checkpoint, commit.part
    profiles = frozenset(() if part is None else (row.id for row in part.profiles)) - erased
    aliases = frozenset[ProfileId]()
    if cut is not None:
        profiles |= {*cut.removed, *(row.id for row in cut.profiles)} - erased
        aliases |= {*cut.unaliased, *cut.aliases} - erased
    sqlite_many.each(writer, _PROFILE.replace("{snapshot}", str(snapshot)), sorted(profiles))
    sqlite_many.each(writer, _ALIAS.replace("{snapshot}", str(snapshot)), sorted(aliases))


def forget(writer: sqlite3.Connection, names: Sequence[ProfileId]) -> None:
    """Drop what any snapshot, also one that is going, has put aside of somebody; inside a transaction."""
    for table, column in (("kept_profiles", "id"), ("kept_aliases", "alias")):
        query = f"DELETE FROM {table} WHERE snapshot IN (SELECT number FROM snapshots) AND {column} IN ({{values}})"  # noqa: S608
        sqlite_many.each(writer, query, names)


def drop(writer: sqlite3.Connection, before: int, rows: int) -> bool:
    """Unlist the snapshots of offsets below `before`, and delete some rows of theirs; says whether more are left."""
    writer.execute("UPDATE snapshots SET gone = 1 WHERE number < ?", (before,))
    for (number,) in writer.execute("SELECT number FROM snapshots WHERE gone ORDER BY number").fetchall():
        for table in _TABLES:
            query = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE snapshot = ? LIMIT ?)"  # noqa: S608
            rows -= writer.execute(query, (number, rows)).rowcount
            if rows <= 0:
                return True
        writer.execute("DELETE FROM snapshots WHERE number = ?", (number,))
    return False


def profiles(reader: sqlite3.Connection, offset: int) -> Iterator[ProfileRow]:
    """Yield the profiles of a snapshot, in any order."""
    for row in reader.execute(_as_of("profiles", "kept_profiles", "id", "id, data, next_flip_at", "data"), (offset,)):
        yield ProfileRow(*row)


def aliases(reader: sqlite3.Connection, offset: int) -> dict[ProfileId, ProfileId]:
    """Return the aliases of a snapshot."""
    return dict(reader.execute(_as_of("aliases", "kept_aliases", "alias", "alias, id", "id"), (offset,)))


def documents(reader: sqlite3.Connection, offset: int, kind: str) -> tuple[Document, ...]:
    """Return the documents of a kind in a snapshot that were not deleted, ordered by id."""
    held: dict[str, tuple[int, bytes | None]] = {}
    query = "SELECT id, max(version), data FROM documents WHERE kind = ? GROUP BY id"
    for doc_id, version, data in reader.execute(query, (kind,)):
        held[doc_id] = (version, data)
    query = "SELECT id, version, data FROM kept_documents WHERE kind = ? AND snapshot >= ? ORDER BY snapshot DESC"
    for doc_id, version, data in reader.execute(query, (kind, offset)):
        held[doc_id] = (version, data)
    return tuple(
        Document(kind, doc_id, version, data) for doc_id, (version, data) in sorted(held.items()) if data is not None
    )


def _as_of(table: str, kept: str, key: str, columns: str, there: str) -> str:
    """Return the query for the rows of a snapshot: what later ones did not change, and what was put aside first."""
    return (
        f"SELECT {columns} FROM {table} AS now WHERE NOT EXISTS"  # noqa: S608  our own names
        f" (SELECT 1 FROM {kept} AS kept WHERE kept.snapshot IN {_SINCE} AND kept.{key} = now.{key})"
        f" UNION ALL SELECT {columns} FROM {kept} AS kept"
        f" WHERE kept.snapshot IN {_SINCE} AND kept.{there} IS NOT NULL AND NOT EXISTS"
        f" (SELECT 1 FROM {kept} AS other WHERE other.snapshot IN {_EARLIER} AND other.{key} = kept.{key})"
    )
