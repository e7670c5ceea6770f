"""Which bucket a unit falls in: GrowthBook's hash and ranges, exactly, so that its SDKs agree with us.

The hash is FNV-1a of 32 bits over UTF-16 code units, as in GrowthBook's JavaScript reference and in its
Python SDK since 4.0 (older Python SDKs took Unicode code points: they agree on everything within the
Basic Multilingual Plane, so on every id that is not made of emoji).

References
----------
[^1]: GrowthBook. Build your own SDK, sections "Hashing" and "Bucket ranges".
[^2]: Fowler, Noll, Vo. FNV hash, the FNV-1a variant of 32 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TypeAlias

Range: TypeAlias = tuple[float, float]
"""Half-open, `low <= n < high`, both within 0 to 1."""

_OFFSET = 0x811C9DC5
_PRIME = 0x01000193
_MASK = 0xFFFFFFFF


def fnv1a32(text: str) -> int:
    """Return the 32-bit FNV-1a hash of the text's UTF-16 code units.

    Examples
    --------
    >>> hex(fnv1a32("")), hex(fnv1a32("a")), hex(fnv1a32("foobar"))
    ('0x811c9dc5', '0xe40c292c', '0xbf9cf968')
    """
    units: Iterable[int] = text.encode() if text.isascii() else _code_units(text)
    value = _OFFSET
    for unit in units:
        value = ((value ^ unit) * _PRIME) & _MASK
    return value


def _code_units(text: str) -> tuple[int, ...]:
    raw = text.encode("utf-16-le", "surrogatepass")
    return struct.unpack(f"<{len(raw) // 2}H", raw)


def hash_v1(seed: str, value: str) -> float:
    """Return one of 1,000 evenly spaced numbers in 0 <= n < 1; correlated between similar seeds, so only for migration.

    Examples
    --------
    >>> hash_v1("", "a")
    0.22
    """
    return (fnv1a32(value + seed) % 1_000) / 1_000


def hash_v2(seed: str, value: str) -> float:
    """Return one of 10,000 evenly spaced numbers in 0 <= n < 1; independent between seeds.

    Parameters
    ----------
    seed
        The experiment's seed; its id unless it names another.
    value
        The unit: a device's anonymous id, or a user id.

    Examples
    --------
    >>> hash_v2("", "a")
    0.0216
    """
    return (fnv1a32(str(fnv1a32(seed + value))) % 10_000) / 10_000


def equal_weights(variants: int) -> tuple[float, ...]:
    """Return the same share for each of `variants` variants; empty for none."""
    return (1 / max(1, variants),) * variants


def bucket_ranges(variants: int, coverage: float = 1.0, weights: Sequence[float] | None = None) -> tuple[Range, ...]:
    """Return the range of each variant.

    Each range begins where the weights before it add up to, and is `coverage` of its weight long. So a
    smaller coverage shrinks every variant from its own end: who stays in keeps the variant.

    Parameters
    ----------
    coverage
        Share of the units that take part; clipped to 0 to 1.
    weights
        One a variant; taken as equal when their number is wrong, one is negative, or they do not add up to .99 to 1.01.

    Examples
    --------
    >>> bucket_ranges(2, 0.5)
    ((0.0, 0.25), (0.5, 0.75))
    """
    coverage = min(1.0, max(0.0, coverage))
    if weights is None or not valid_weights(weights, variants):
        weights = equal_weights(variants)
    ranges: list[Range] = []
    cumulative = 0.0
    for weight in weights:
        ranges.append((cumulative, cumulative + coverage * weight))
        cumulative += weight
    return tuple(ranges)


def valid_weights(weights: Sequence[float], variants: int) -> bool:
    """Say whether there is one weight a variant, none of them negative, adding up to .99 to 1.01."""
    return len(weights) == variants and all(weight >= 0 for weight in weights) and 0.99 <= sum(weights) <= 1.01


def in_range(n: float, bounds: Range) -> bool:
    """Say whether `low <= n < high`."""
    return bounds[0] <= n < bounds[1]


def choose_variation(n: float, ranges: Sequence[Range]) -> int | None:
    """Return the index of the first range that holds `n`, or None: the unit is outside the coverage."""
    for index, (low, high) in enumerate(ranges):
        if low <= n < high:
            return index
    return None
