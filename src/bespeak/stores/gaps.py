"""A gap: what stands in the log in the place of rows that were damaged and skipped by a repair.

A gap keeps its offsets, so that no later record moves, and four of its bytes are chosen so that its CRC is what the
row behind it was chained to. So a repair writes one small row, whatever the length of the log, and the chain holds.
"""

from __future__ import annotations

from collections.abc import Callable

from bespeak.clock import Instant
from bespeak.stores.store import LogRow

_PREFIX = b"\xc1gap"
"""Begins with the one byte that msgpack never uses: no payload of records begins with it."""

_BITS = 32


def is_gap(row: LogRow) -> bool:
    """Say whether a row holds nothing but the place of records that were lost."""
    return row.payload.startswith(_PREFIX)


def make_gap(
    first: int, count: int, received: Instant, *, chained: Callable[[LogRow], int], needed: int | None
) -> LogRow:
    """Return a gap whose CRC is `needed` (None: whatever it comes to, at the end of the log).

    Parameters
    ----------
    chained
        The CRC of a row in this place of the chain.
    """

    def crc_of(patch: int) -> int:
        return chained(_gap(first, count, received, patch))

    return _gap(first, count, received, 0 if needed is None else solve(crc_of, needed))


def solve(crc_of: Callable[[int], int], wanted: int) -> int:
    """Return the 32-bit word for which a CRC-32 comes to `wanted`, where the word stands anywhere in its input.

    A CRC is affine over bits: flipping one bit of the word always flips the same bits of the CRC, and no two words
    have the same CRC. So it is 32 equations in 32 unknowns.

    Examples
    --------
    >>> from zlib import crc32
    >>> word = solve(lambda word: crc32(word.to_bytes(4, "little") + b" is at the beginning"), 0x12345678)
    >>> hex(crc32(word.to_bytes(4, "little") + b" is at the beginning"))
    '0x12345678'
    """
    base = crc_of(0)
    # One row for each highest bit of a CRC: the bits of the word that flip it (low half) and what they flip (high).
    rows: dict[int, tuple[int, int]] = {}
    for bit in range(_BITS):
        flips, word = crc_of(1 << bit) ^ base, 1 << bit
        while flips and flips.bit_length() in rows:
            other_flips, other_word = rows[flips.bit_length()]
            flips, word = flips ^ other_flips, word ^ other_word
        rows[flips.bit_length()] = (flips, word)
    left, found = wanted ^ base, 0
    while left:
        flips, word = rows[left.bit_length()]
        left, found = left ^ flips, found ^ word
    return found


def _gap(first: int, count: int, received: Instant, patch: int) -> LogRow:
    return LogRow(first, count, received, _PREFIX + patch.to_bytes(4, "little"))
