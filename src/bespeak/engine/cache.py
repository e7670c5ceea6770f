"""A bounded cache that costs one look-up: what was used lately stays, without a list to keep in order."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Holds at most `bound` values in two generations; a full young one becomes the old one, which goes.

    Examples
    --------
    >>> cache = Cache[str, int](2)
    >>> for place, name in enumerate("abc"):
    ...     cache.put(name, place)
    >>> [cache.get(name) for name in "abc"]
    [None, 1, 2]
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, bound: int) -> None:
        self._half = max(1, bound // 2)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return a value, which then counts as used; None when it is not held."""
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Hold a value."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def drop(self, key: K) -> None:
        """Let a value go."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Let everything go."""
        self._young = {}
        self._old = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
