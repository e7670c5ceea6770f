from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bespeak.stores.packed import FRESH_MAX, PackedDigests

DIGESTS = st.builds(
    lambda first, second: first + second,
    st.sampled_from([bytes(8), b"12345678", b"\xff" * 8]),
    st.binary(min_size=8, max_size=8).map(lambda found: found[:1] * 8),
)
"""Few first halves, so that many digests share one."""


@given(
    added=st.lists(st.lists(DIGESTS, max_size=6), max_size=8),
    asked=st.sets(DIGESTS, max_size=8),
    fresh=st.integers(0, 10),
)
def test_it_holds_what_a_set_would(added, asked, fresh):
    held, expected = PackedDigests(fresh_max=fresh), set[bytes]()
    for some in added:
        held.add([b"".join(some)])
        expected.update(some)
        assert held.among(asked) == expected & asked
    assert len(held) >= len(expected)


def test_nothing_is_in_an_empty_one():
    assert PackedDigests().among({bytes(16)}) == set()
    assert PackedDigests().among(set()) == set()


def test_half_a_digest_of_each_of_two_is_none_of_them():
    held = PackedDigests()
    held.add([bytes(8) + b"1" * 8 + b"2" * 8 + bytes(8)] * FRESH_MAX)
    assert len(held._first), "packed, and not beside"
    assert held.among({b"2" * 8 + b"1" * 8, bytes(16)}) == set()
    assert held.among({b"2" * 8 + bytes(8), bytes(8) + b"1" * 8}) == {b"2" * 8 + bytes(8), bytes(8) + b"1" * 8}
