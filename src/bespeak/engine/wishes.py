"""Definitions that are to be in force, and are not yet: documents of the store, so that a start goes on with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import msgspec

from bespeak.engine.definitions import Definition, DefinitionKind
from bespeak.engine.site import Registry
from bespeak.stores import Document, Store

PREPARING = "preparing"
"""The kind of the documents."""

Name: TypeAlias = tuple[DefinitionKind, str]


class _Written(msgspec.Struct, frozen=True):
    """What a document says: what the definition will say, and with which others it is put in force."""

    kind: DefinitionKind
    id: str
    body: dict[str, Any]
    batch: int


class Wish(msgspec.Struct, frozen=True):
    """A definition that is to be in force; those of one `batch` are put in force together."""

    definition: Definition
    batch: int


class Wishes:
    """What is wished for, by kind and id. What is queued for the store is here at once; undone, it is read again.

    Attributes
    ----------
    newest
        The newest batch that there ever was.
    """

    def __init__(self) -> None:
        self._held: dict[Name, Wish] = {}
        self._versions: dict[str, int] = {}
        self.newest = 0

    def load(self, store: Store, registry: Registry) -> None:
        """Read what is wished for; where the store does not answer, nothing has changed."""
        held: dict[Name, Wish] = {}
        versions: dict[str, int] = {}
        for document in store.documents(PREPARING):
            if document.data is not None:
                said = msgspec.json.decode(document.data, type=_Written)
                version = registry.next_version(said.kind, said.id)
                held[said.kind, said.id] = Wish(
                    Definition(kind=said.kind, id=said.id, body=said.body, version=version), said.batch
                )
                versions[document.id] = document.version
        self._held, self._versions = held, versions
        self.newest = max([self.newest, *self.batches])

    def __len__(self) -> int:
        return len(self._held)

    @property
    def batches(self) -> frozenset[int]:
        """The batches of which something is wished for."""
        return frozenset(wish.batch for wish in self._held.values())

    def get(self, name: Name) -> Wish | None:
        """Return what is wished for under a kind and id."""
        return self._held.get(name)

    def of(self, batch: int) -> tuple[Definition, ...]:
        """Return the definitions of a batch, ordered by kind and id."""
        return tuple(wish.definition for _, wish in sorted(self._held.items()) if wish.batch == batch)

    def all(self) -> tuple[Wish, ...]:
        """Return everything, ordered by kind and id."""
        return tuple(self._held[name] for name in sorted(self._held))

    def documents(self, store: Store, wished: Iterable[Wish], withdrawn: Iterable[Name]) -> tuple[Document, ...]:
        """Return what says that something is wished for from now on, and something not any more; `note` takes it in."""
        given: dict[Name, bytes | None] = {name: None for name in withdrawn if name in self._held}
        for wish in wished:
            one = wish.definition
            given[one.kind, one.id] = msgspec.json.encode(_Written(one.kind, one.id, one.body, wish.batch))
        ids = {name: "/".join(name) for name in given}
        return tuple(Document(PREPARING, ids[name], self._next(store, ids[name]), data) for name, data in given.items())

    def note(self, documents: Sequence[Document], wished: Mapping[Name, Wish] = MappingProxyType({})) -> None:
        """Take in what was queued just now."""
        self._versions |= {document.id: document.version for document in documents}
        gone = {document.id for document in documents}
        self._held = {name: wish for name, wish in self._held.items() if "/".join(name) not in gone} | {**wished}
        self.newest = max([self.newest, *self.batches])

    def _next(self, store: Store, doc_id: str) -> int:
        known = self._versions.get(doc_id)
        if known is None:
            kept = store.versions(PREPARING, doc_id)
            known = kept[-1].version if kept else 0
        return known + 1
