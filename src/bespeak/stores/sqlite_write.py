"""The other parts of a commit in SQLite; each inside the transaction of its caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from bespeak.stores import sqlite_changes, sqlite_kept, sqlite_keys, sqlite_many, sqlite_parts
from bespeak.stores.store import Checkpoint, Document, Forget, Rejected
from bespeak.stores.verify import follows


def put_documents(writer: sqlite3.Connection, documents: Sequence[Document], *, versions_max: int) -> None:
    """Add a version of each document, and drop the oldest beyond `versions_max`."""
    for document in documents:
        key = (document.kind, document.id)
        query = "SELECT coalesce(max(version), 0), count(*) FROM documents WHERE kind = ? AND id = ?"
        newest, kept = writer.execute(query, key).fetchone()
        follows(document.kind, document.id, document.version, newest)
        writer.execute("INSERT INTO documents VALUES (?, ?, ?, ?)", (*key, document.version, document.data))
        if kept >= versions_max:
            writer.execute(
                "DELETE FROM documents WHERE kind = ? AND id = ? AND version <= (SELECT version FROM documents"
                " WHERE kind = ? AND id = ? ORDER BY version DESC LIMIT 1 OFFSET ?)",
                (*key, *key, versions_max),
            )


def put_rejected(writer: sqlite3.Connection, rejected: Sequence[Rejected], *, rejected_max: int) -> None:
    """Add rejected things, and drop the oldest beyond `rejected_max`."""
    if not rejected:
        return
    sqlite_many.put(
        writer,
        "INSERT INTO rejected (source, place, reason, at, data)",
        ((each.source, each.place, each.reason, each.at, each.data) for each in rejected),
    )
    # Numbers rise by one; where erasures have left gaps, fewer than the bound are kept.
    writer.execute("DELETE FROM rejected WHERE row <= (SELECT max(row) FROM rejected) - ?", (rejected_max,))


def put_checkpoint(writer: sqlite3.Connection, checkpoint: Checkpoint) -> None:
    """Write a consistent cut: rows, with those of its parts, aliases, products and the offset that they include."""
    sqlite_parts.remove(writer, checkpoint.removed)
    sqlite_parts.put_rows(writer, checkpoint.profiles)
    sqlite_parts.end(writer)
    sqlite_many.each(writer, "DELETE FROM aliases WHERE alias IN ({values})", checkpoint.unaliased)
    sqlite_many.put(
        writer,
        "INSERT INTO aliases (alias, id)",
        checkpoint.aliases.items(),
        "ON CONFLICT (alias) DO UPDATE SET id = excluded.id",
    )
    writer.executemany(
        "INSERT INTO products (name, included, data) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET included = excluded.included, data = excluded.data",
        ((product.name, product.offset, product.data) for product in checkpoint.products),
    )
    writer.execute("UPDATE meta SET value = ? WHERE key = 'checkpoint'", (checkpoint.offset,))


def forget(writer: sqlite3.Connection, who: Forget) -> None:
    """Destroy the keys of somebody, and drop what names them."""
    sqlite_keys.destroy(writer, who.keys)
    if who.rejected is not None:
        drop_rejected(writer, who.rejected)
    sqlite_kept.forget(writer, who.names)
    sqlite_changes.forget(writer, who.names)


def drop_rejected(writer: sqlite3.Connection, goes: Callable[[Rejected], bool]) -> None:
    """Drop the rejected things of which `goes` is true."""
    rows = writer.execute("SELECT row, source, place, reason, at, data FROM rejected")
    gone = [row[0] for row in rows if goes(Rejected(*row[1:]))]
    sqlite_many.each(writer, "DELETE FROM rejected WHERE row IN ({values})", gone)
