"""A sealer does what `seal_under` does: the same bytes, opened by the same function, bound to the same things."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.privacy.envelope import Binding, DataKey, SealBroken, open_, seal, seal_under
from bespeak.privacy.sealing import Field, Sealer, key_number, nonces

EVENT = Field("event")


@settings.get_profile("few")
@given(st.binary(max_size=200), st.integers(1, 2**63), st.text(max_size=9), st.text(max_size=9), st.text(max_size=9))
def test_it_writes_what_seal_under_writes(data: bytes, number: int, tenant: str, subject: str, field: str) -> None:
    secret, nonce = os.urandom(32), os.urandom(12)
    sealer = Sealer(number, secret, tenant=tenant, subject=subject)
    sealed = sealer.seal(Field(field), data, random=lambda _: nonce)
    key, binding = DataKey(number.to_bytes(16, "big"), secret), Binding(tenant, subject, field)
    assert sealed == seal_under(key, binding, data, nonce=nonce)
    assert open_(sealed, binding=binding, find_key=lambda _: secret, plain=False) == data
    assert sealer.open(Field(field), sealed) == data
    assert key_number(sealed) == number


def test_what_is_sealed_opens_under_its_own_key_subject_and_field_only() -> None:
    secret = os.urandom(32)
    sealer = Sealer(1, secret, tenant="t", subject="zoe")
    sealed = sealer.seal(EVENT, b"private")
    others = (
        Sealer(1, secret, tenant="t", subject="ann"),
        Sealer(1, secret, tenant="u", subject="zoe"),
        Sealer(1, os.urandom(32), tenant="t", subject="zoe"),
    )
    for other in others:
        with pytest.raises(SealBroken):
            other.open(EVENT, sealed)
    with pytest.raises(SealBroken, match="'profile'"):
        sealer.open(Field("profile"), sealed)
    for place in range(len(sealed)):
        changed = bytes(byte ^ (at == place) for at, byte in enumerate(sealed))
        with pytest.raises(SealBroken):
            sealer.open(EVENT, changed)


def test_every_seal_has_a_nonce_of_its_own() -> None:
    sealer = Sealer(1, bytes(32), tenant="t", subject="zoe")
    assert len({sealer.seal(EVENT, b"the same")[17:29] for _ in range(2_000)}) == 2_000


@pytest.mark.parametrize("sealed", [b"", b"\x01" + bytes(20), seal(b"in clear" * 20), b"\x02" + bytes(100)])
def test_what_is_not_sealed_under_a_key_is_refused(sealed: bytes) -> None:
    """Else whoever can write to the disk could put plain bytes in the place of sealed ones."""
    with pytest.raises(SealBroken, match="version 1"):
        key_number(sealed)


def test_nonces_are_drawn_many_at_a_time_and_each_is_given_once() -> None:
    drawn: list[bytes] = []

    def random(size: int) -> bytes:
        drawn.append(os.urandom(size))
        return drawn[-1]

    source = nonces(random)
    given = [next(source) for _ in range(1_000)]
    assert {len(nonce) for nonce in given} == {12}
    assert len(set(given)) == 1_000
    assert b"".join(drawn).startswith(b"".join(given))
    assert len(drawn) < 10
