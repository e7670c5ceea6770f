"""A set of 16-byte digests that takes 16 bytes for each, and not the hundred of a Python set."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from bespeak.stores.verify import DIGEST_BYTES, split_digests

FRESH_MAX = 16_384
"""Digests that are held one by one before they are packed with the others; a megabyte and a half."""

_Words = NDArray[np.uint64]


class PackedDigests:
    """Digests sorted by their first half; the newest some thousands beside them, until they are worth sorting in.

    Half a million take 8 MB, and some 20 ms to take in at once (as a set 47 MB and 115 ms); the next `FRESH_MAX` are
    sorted in within 7 to 9 ms. A digest that is put in twice is held twice, which changes no answer.

    Examples
    --------
    >>> held = PackedDigests()
    >>> held.add([bytes(16) + b"0123456789abcdef"])
    >>> held.among({b"0123456789abcdef", b"fedcba9876543210"})
    {b'0123456789abcdef'}
    """

    def __init__(self, *, fresh_max: int = FRESH_MAX) -> None:
        self._fresh_max = fresh_max
        self._fresh: set[bytes] = set()
        self._first: _Words = np.empty(0, np.uint64)  # sorted
        self._second: _Words = np.empty(0, np.uint64)  # in the order of the first halves

    def __len__(self) -> int:
        return len(self._fresh) + len(self._first)

    def add(self, packed: Iterable[bytes]) -> None:
        """Put digests in, each element any number of them one behind the other."""
        whole = b"".join(packed)
        if len(whole) // DIGEST_BYTES + len(self._fresh) <= self._fresh_max:
            self._fresh.update(split_digests(whole))
            return
        first, second = _halves(whole + b"".join(self._fresh))
        self._fresh = set()
        order = np.argsort(first)
        first, second = first[order], second[order]
        if len(self._first):
            places = np.searchsorted(self._first, first)
            first = np.insert(self._first, places, first)
            second = np.insert(self._second, places, second)
        self._first, self._second = first, second

    def among(self, digests: Collection[bytes]) -> set[bytes]:
        """Return those of the digests that are held."""
        found = self._fresh.intersection(digests)
        if not digests or not len(self._first):
            return found
        asked = list(digests)
        first, second = _halves(b"".join(asked))
        begins, ends = np.searchsorted(self._first, first), np.searchsorted(self._first, first, "right")
        for place in np.flatnonzero(begins < ends).tolist():
            if (self._second[begins[place] : ends[place]] == second[place]).any():
                found.add(asked[place])
        return found


def _halves(packed: bytes) -> tuple[_Words, _Words]:
    words = np.frombuffer(packed, np.uint64).reshape(-1, 2)
    return words[:, 0].copy(), words[:, 1].copy()
