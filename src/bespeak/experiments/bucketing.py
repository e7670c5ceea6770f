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

from collections.abc import Sequence
from typing import TypeAlias

from bespeak.ids import fnv1a32

Range: TypeAlias = tuple[float, float]
"""Half-open, `low <= n < high`, both within 0 to 1."""


def hash_v1(seed: str, value: str) -> float:
    """Return one of 1,000 evenly spaced numbers in 0 <= n < 1; correlated between similar seeds, so only for migration.

    Examples
    --------
    >>> hash_v1("", "a")
    0.22
    """
    return (fnv1a32(value + seed) % 1_000) / 1_000


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
