"""What makes the stores that are checked, and how a check uses one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from bespeak.errors import StoreError
from bespeak.stores import Store
from bespeak.testing.checks.expect import refused


class StoreMaker(Protocol):
    """Makes stores of one kind."""

    def __call__(self) -> Store:
        """Return a new, empty store, apart from every other one."""
        ...


class DurableStoreMaker(StoreMaker, Protocol):
    """Makes stores that outlive their closing."""

    def reopen(self, store: Store) -> Store:
        """Close the store (made here), and return another over the same place."""
        ...


@contextmanager
def made(make: StoreMaker) -> Generator[Store]:
    """Give a store, and close it afterwards."""
    store = make()
    try:
        yield store
    finally:
        store.close()


def denied(what: str, call: Callable[..., object], *arguments: object) -> None:
    """Expect that a call raises `StoreError`."""
    refused(what, lambda: call(*arguments), StoreError)
