from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.privacy.envelope import (
    Binding,
    DataKey,
    KeyMissing,
    SealBroken,
    encrypt,
    key_id_of,
    open_,
    seal,
    seal_under,
)

KEY = DataKey(id=bytes(range(16)), secret=bytes(range(32)))
BINDING = Binding(tenant="shop", subject="u:1234", field="properties")
NONCE = bytes(range(12))
KEYS = {KEY.id: KEY.secret}


@given(st.binary())
def test_a_plain_envelope_costs_one_byte_and_gives_back_what_it_got(data):
    sealed = seal(data)
    assert sealed == b"\x00" + data
    assert open_(sealed) == data
    assert open_(sealed, binding=BINDING, find_key=KEYS.get) == data
    assert key_id_of(sealed) is None


@given(st.binary(), st.binary(min_size=12, max_size=12))
def test_a_sealed_envelope_gives_back_what_it_got(data, nonce):
    sealed = seal_under(KEY, BINDING, data, nonce=nonce)
    assert open_(sealed, binding=BINDING, find_key=KEYS.get) == data
    assert sealed[:29] == b"\x01" + KEY.id + nonce
    assert len(sealed) == 29 + len(data) + 16
    assert key_id_of(sealed) == KEY.id


def test_a_changed_bit_anywhere_does_not_open():
    sealed = seal_under(KEY, BINDING, b"private", nonce=NONCE)
    for place in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises((SealBroken, KeyMissing)):
            open_(bytes(changed), binding=BINDING, find_key=KEYS.get, plain=False)


def test_plain_bytes_do_not_stand_in_for_sealed_ones():
    with pytest.raises(SealBroken, match="expected version 1 in the first byte, got 0"):
        open_(seal(b"forged"), binding=BINDING, find_key=KEYS.get, plain=False)


def test_the_header_is_authenticated_with_the_data():
    """The right secret under another key id does not open either."""
    sealed = seal_under(KEY, BINDING, b"private", nonce=NONCE)
    renamed = sealed[:1] + bytes(16) + sealed[17:]
    with pytest.raises(SealBroken):
        open_(renamed, binding=BINDING, find_key=lambda _: KEY.secret)


@pytest.mark.parametrize(
    "other",
    [
        Binding(tenant="other", subject="u:1234", field="properties"),
        Binding(tenant="shop", subject="u:1235", field="properties"),
        Binding(tenant="shop", subject="u:1234", field="context"),
        Binding(tenant="shopu", subject=":1234", field="properties"),
    ],
    ids=["tenant", "subject", "field", "parts run together"],
)
def test_an_envelope_opens_only_where_it_belongs(other):
    sealed = seal_under(KEY, BINDING, b"private", nonce=NONCE)
    with pytest.raises(SealBroken, match="another subject"):
        open_(sealed, binding=other, find_key=KEYS.get)


def test_a_wrong_key_does_not_open():
    sealed = seal_under(KEY, BINDING, b"private", nonce=NONCE)
    with pytest.raises(SealBroken):
        open_(sealed, binding=BINDING, find_key=lambda _: bytes(32))


def test_without_its_key_an_envelope_stays_closed_and_says_which_key():
    sealed = seal_under(KEY, BINDING, b"private", nonce=NONCE)
    with pytest.raises(KeyMissing, match=KEY.id.hex()):
        open_(sealed, binding=BINDING, find_key={}.get)
    with pytest.raises(KeyMissing):
        open_(sealed)


@pytest.mark.parametrize("sealed", [b"", b"\x02abc", b"\xff", b"\x01", b"\x01" + bytes(43)])
def test_what_is_no_envelope_is_refused(sealed):
    with pytest.raises(SealBroken, match="expected"):
        open_(sealed, binding=BINDING, find_key=KEYS.get)


def test_the_shortest_envelope_holds_nothing():
    sealed = seal_under(KEY, BINDING, b"", nonce=NONCE)
    assert len(sealed) == 45
    assert open_(sealed, binding=BINDING, find_key=KEYS.get) == b""


@pytest.mark.parametrize("sizes", [(15, 32), (16, 16), (0, 0)])
def test_a_key_has_its_sizes(sizes):
    with pytest.raises(ValueError, match="16 and a secret of 32"):
        DataKey(id=bytes(sizes[0]), secret=bytes(sizes[1]))


def test_a_nonce_has_its_size():
    with pytest.raises(ValueError, match="12 bytes"):
        seal_under(KEY, BINDING, b"private", nonce=b"short")


def test_a_secret_is_not_shown():
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret) not in f"{KEY}"


def test_the_primitive_is_the_published_one():
    """The Galois/Counter Mode of Operation (McGrew, Viega), appendix B, test case 16."""
    secret = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    data = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    expected = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )
    assert encrypt(secret, nonce, data, associated) == expected
