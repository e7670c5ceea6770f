"""A store told in plain dictionaries and lists, and commits to compare it with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from random import Random

import msgspec

from bespeak.ids import ProfileId
from bespeak.stores import (
    ChangeRow,
    Checkpoint,
    Commit,
    Document,
    LogRow,
    Part,
    Product,
    ProfileRow,
    Rejected,
    Store,
)

_IDS = tuple(f"{prefix}:{number}" for prefix in "ua" for number in range(6))
_PAGES_MAX = 10_000
_KINDS = ("rule", "segment")
_PRODUCTS = ("counts", "sizes")
_HOURS = (-1, 480_000, 480_001, 480_002)


class Everything(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a store answers, as plain values; by default what an empty one does."""

    rows: tuple[LogRow, ...] = ()
    profiles: tuple[ProfileRow, ...] = ()
    due: tuple[tuple[ProfileId, int], ...] = ()
    aliases: dict[ProfileId, ProfileId] = {}
    products: tuple[Product, ...] = ()
    documents: tuple[Document, ...] = ()
    versions: tuple[Document, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    seen: frozenset[bytes] = frozenset()
    packed: frozenset[bytes] = frozenset()
    changes: tuple[ChangeRow, ...] = ()


def everything(store: Store, digests: Iterable[bytes]) -> Everything:
    """Ask a store everything; of digests those given."""
    products = (store.product(name) for name in _PRODUCTS)
    return Everything(
        rows=tuple(store.read(0)),
        profiles=tuple(store.profiles()),
        due=store.due(2**60, limit=1_000),
        aliases=dict(store.aliases()),
        products=tuple(product for product in products if product is not None),
        documents=tuple(document for kind in _KINDS for document in store.documents(kind)),
        versions=tuple(document for kind in _KINDS for each in _IDS for document in store.versions(kind, each)),
        rejected=store.rejected(limit=1_000),
        seen=store.seen(digests),
        packed=unpacked(store, 0),
        changes=tuple(msgspec.structs.replace(row, number=0) for row in store.changes(0, limit=1_000)),
    )


def unpacked(store: Store, hour: int) -> frozenset[bytes]:
    """Return all pages of `seen_since` with their digests taken apart."""
    packed, after = b"", 0
    for _ in range(_PAGES_MAX):
        page = store.seen_since(hour, after=after, rows=2)
        packed += page.packed
        if page.more is None:
            return frozenset(packed[at : at + 16] for at in range(0, len(packed), 16))
        after = page.more
    raise AssertionError(f"seen_since: expected an end within {_PAGES_MAX:,} pages, found none")


def digest(number: int) -> bytes:
    """Return 16 bytes that look random and are the same every time."""
    return hashlib.blake2b(b"%d" % number, digest_size=16).digest()


def log_rows(first: int, counts: Sequence[int]) -> tuple[LogRow, ...]:
    """Return rows of so many records each, the first from offset `first`."""
    rows: list[LogRow] = []
    for count in counts:
        rows.append(LogRow(first, count, 1_700_000_000_000_000 + first, b"records from %d" % first))
        first += count
    return tuple(rows)


def full_commit(first: int, number: int) -> Commit:
    """Return a commit of five records from offset `first`, with something of everything; `number` counts from 1."""
    offset = first + 4
    return Commit(
        rows=log_rows(first, (2, 3)),
        seen=((digest(10 * number), 480_000 + number), (digest(10 * number + 1), -1)),
        documents=(Document("rule", "u:1", number, b"rule"), Document("segment", "s", number + 1, b"segment")),
        rejected=(Rejected("key", "batch[0]", "no id", number, b"{}"),),
        checkpoint=Checkpoint(
            offset=offset,
            profiles=(ProfileRow("u:1", b"%d" % number, number), ProfileRow(f"u:{number + 1}", b"new")),
            aliases={f"a:{number}": "u:1"},
            products=(Product("counts", offset, b"counts"),),
        ),
    )


class Model:
    """What a store must answer, kept in the plainest way; it also makes up what is committed next."""

    def __init__(self) -> None:
        self.last = 0
        self.offset = 0
        self.rows: list[LogRow] = []
        self.profiles: dict[ProfileId, ProfileRow] = {}
        self.waiting: dict[ProfileId, ProfileRow] = {}
        self.parts = (0, 0)
        self.aliases: dict[ProfileId, ProfileId] = {}
        self.products: dict[str, Product] = {}
        self.documents: dict[tuple[str, str], list[Document]] = {}
        self.rejected: list[Rejected] = []
        self.seen: dict[int, set[bytes]] = {}
        self.changes: dict[tuple[ProfileId, int, str], ChangeRow] = {}

    def next_commit(self, rng: Random) -> Commit:
        """Make up a commit that the present state allows."""
        rows = log_rows(self.last + 1, [rng.randint(1, 30) for _ in range(rng.randint(0, 4))])
        last = rows[-1].first + rows[-1].count - 1 if rows else self.last
        part = self._next_part(rng) if rng.random() < 0.5 else None
        return Commit(
            rows=rows,
            seen=tuple((digest(rng.randint(0, 300)), rng.choice(_HOURS)) for _ in range(rng.randint(0, 60))),
            documents=self._next_documents(rng),
            rejected=tuple(
                Rejected(rng.choice("ab"), str(place), "why", rng.randint(0, 9), rng.randbytes(3))
                for place in range(rng.randint(0, 3))
            ),
            checkpoint=self._next_checkpoint(rng, last, part) if rng.random() < 0.5 else None,
            part=part,
            changes=tuple(
                ChangeRow(rng.choice(_IDS), rng.randint(0, 9), rng.choice(("time", "event 1")), last, rng.randbytes(3))
                for _ in range(rng.randint(0, 3))
            ),
        )

    def apply(self, commit: Commit) -> None:
        """Take a commit in."""
        self.rows.extend(commit.rows)
        self.last += sum(row.count for row in commit.rows)
        for each, hour in commit.seen:
            self.seen.setdefault(hour, set()).add(each)
        for document in commit.documents:
            self.documents.setdefault((document.kind, document.id), []).append(document)
        self.rejected.extend(commit.rejected)
        for change in commit.changes:
            self.changes.setdefault((change.name, change.at, change.cause), change)
        if commit.part is not None:
            if commit.part.number == 1:
                self.drop_parts()
            self.waiting.update({row.id: row for row in commit.part.profiles})
            self.parts = (commit.part.cut, commit.part.number)
        if commit.checkpoint is not None:
            self._cut(commit.checkpoint)

    def drop_parts(self) -> None:
        """Forget the parts of a checkpoint that does not come any more."""
        self.waiting, self.parts = {}, (0, 0)

    def digests(self) -> tuple[bytes, ...]:
        """Return all digests that a commit may have brought."""
        return tuple(digest(number) for number in range(301))

    def everything(self) -> Everything:
        """Return what a store must answer."""
        history = sorted(self.documents.items())
        newest = [versions[-1] for _, versions in history]
        return Everything(
            rows=tuple(self.rows),
            profiles=tuple(sorted(self.profiles.values(), key=lambda row: row.id)),
            due=tuple((each, at) for at, each in sorted(self._flips())),
            aliases=dict(self.aliases),
            products=tuple(self.products[name] for name in _PRODUCTS if name in self.products),
            documents=tuple(document for document in newest if document.data is not None),
            versions=tuple(document for _, versions in history for document in versions),
            rejected=tuple(reversed(self.rejected)),
            seen=frozenset(each for digests in self.seen.values() for each in digests),
            packed=frozenset(digest for hour, digests in self.seen.items() if hour >= 0 for digest in digests),
            changes=tuple(self.changes.values()),
        )

    def _flips(self) -> list[tuple[int, ProfileId]]:
        return [(row.next_flip_at, row.id) for row in self.profiles.values() if row.next_flip_at is not None]

    def _next_documents(self, rng: Random) -> tuple[Document, ...]:
        keys = rng.sample([(kind, each) for kind in _KINDS for each in _IDS[:4]], rng.randint(0, 3))
        documents: list[Document] = []
        for kind, each in keys:
            kept = self.documents.get((kind, each))
            version = (kept[-1].version if kept else 0) + rng.randint(1, 3)
            documents.append(Document(kind, each, version, rng.choice((None, b"", rng.randbytes(5)))))
        return tuple(documents)

    def _next_part(self, rng: Random) -> Part:
        cut, number = self.parts
        if not number or rng.random() < 0.2:
            return Part(rng.randint(1, 9), 1, _next_rows(rng, _IDS))
        return Part(cut, number + 1, _next_rows(rng, [each for each in _IDS if each not in self.waiting]))

    def _next_checkpoint(self, rng: Random, last: int, part: Part | None) -> Checkpoint:
        cut, parts = self.parts if part is None else (part.cut, part.number)
        if part is None and rng.random() < 0.3:
            cut, parts = 0, 0
        return Checkpoint(
            offset=rng.randint(self.offset, last),
            cut=cut,
            parts=parts,
            profiles=_next_rows(rng, _IDS),
            removed=tuple(rng.sample(_IDS, rng.randint(0, 2))),
            aliases={rng.choice(_IDS): rng.choice(_IDS) for _ in range(rng.randint(0, 3))},
            products=tuple(
                Product(name, rng.randint(0, last), rng.randbytes(3)) for name in _PRODUCTS if rng.random() < 0.5
            ),
        )

    def _cut(self, checkpoint: Checkpoint) -> None:
        for each in checkpoint.removed:
            self.profiles.pop(each, None)
        if checkpoint.parts:
            self.profiles.update(self.waiting)
        self.drop_parts()
        self.profiles.update({row.id: row for row in checkpoint.profiles})
        self.aliases.update(checkpoint.aliases)
        self.products.update({product.name: product for product in checkpoint.products})
        self.offset = checkpoint.offset


def _next_rows(rng: Random, ids: Sequence[ProfileId]) -> tuple[ProfileRow, ...]:
    some = rng.sample(ids, rng.randint(0, min(6, len(ids))))
    return tuple(ProfileRow(each, rng.randbytes(4), rng.choice((None, rng.randint(-5, 50)))) for each in some)
