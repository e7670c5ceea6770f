"""A Bloom filter over digests: says for certain that one was never put in, and now and then errs the other way."""

from __future__ import annotations

import struct

import numpy as np

_words = struct.Struct("<4I").unpack
DIGEST_BYTES = 16
AT_ONCE = 32_768
"""Digests put in by one call of numpy: some milliseconds."""


class Sieve:
    """Bits in RAM, four for each digest, at the places that the digest's own four words name.

    With n digests in m bits a stranger is taken for known with a probability of about (1 - exp(-4 n / m)) ** 4: at 8
    bits a digest 2.4 %. The memory is taken as it is used, so that an empty one costs nothing.

    Parameters
    ----------
    size
        Bytes of memory; a power of two, at most 512 MiB (a word has 32 bits).

    Raises
    ------
    ValueError
        The size is not a power of two of that range.

    Examples
    --------
    >>> sieve = Sieve(1_024)
    >>> sieve.add(bytes(range(32)))
    >>> sieve.may_hold(bytes(range(16))), sieve.may_hold(bytes(range(100, 116)))
    (True, False)

    References
    ----------
    Bloom, 1970. Space/time trade-offs in hash coding with allowable errors.
    Mitzenmacher, Upfal, 2005. Probability and Computing, section 5.5.3.
    """

    def __init__(self, size: int) -> None:
        if size & (size - 1) or not 1 <= size <= 1 << 29:
            raise ValueError(f"the size of a sieve must be a power of two, 1 to 536,870,912 bytes, got {size:,}")
        self._bits = np.zeros(size, np.uint8)
        self._view = self._bits.data
        self._mask = size * 8 - 1
        self.count = 0

    def add(self, packed: bytes) -> None:
        """Put digests in, 16 bytes each."""
        mask = np.uint32(self._mask)
        for start in range(0, len(packed), AT_ONCE * DIGEST_BYTES):
            part = packed[start : start + AT_ONCE * DIGEST_BYTES]
            places = np.frombuffer(part, "<u4") & mask
            np.bitwise_or.at(self._bits, places >> 3, (1 << (places & 7)).astype(np.uint8))
        self.count += len(packed) // DIGEST_BYTES

    def may_hold(self, digest: bytes) -> bool:
        """Say whether a digest may have been put in; False is certain."""
        bits, mask = self._view, self._mask
        for word in _words(digest):
            place = word & mask
            if not bits[place >> 3] >> (place & 7) & 1:
                return False
        return True
