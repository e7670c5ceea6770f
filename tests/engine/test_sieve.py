"""The sieve: what was put in is found, and strangers pass as rarely as the theory says."""

from __future__ import annotations

import math
from random import Random

import pytest

from bespeak.engine.sieve import AT_ONCE, Sieve


def digests(count: int, seed: int) -> list[bytes]:
    rng = Random(seed)
    return [rng.randbytes(16) for _ in range(count)]


@pytest.mark.parametrize("size", [64, 4_096, 65_536])
def test_whatever_was_put_in_is_found(size: int) -> None:
    sieve, held = Sieve(size), digests(AT_ONCE + 500, 1)
    sieve.add(b"".join(held))
    assert all(map(sieve.may_hold, held))
    assert sieve.count == len(held)


def test_strangers_are_taken_for_known_as_often_as_the_theory_says() -> None:
    size, count = 32_768, 20_000
    sieve = Sieve(size)
    sieve.add(b"".join(digests(count, 2)))
    strangers = digests(50_000, 3)
    share = sum(map(sieve.may_hold, strangers)) / len(strangers)
    expected = (1 - math.exp(-4 * count / (size * 8))) ** 4
    error = math.sqrt(expected * (1 - expected) / len(strangers))
    assert abs(share - expected) < 5 * error


def test_an_empty_sieve_holds_nothing() -> None:
    assert not any(map(Sieve(8).may_hold, digests(100, 4)))


@pytest.mark.parametrize("size", [0, 3, 1 << 30])
def test_a_size_that_words_cannot_address_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Sieve(size)
