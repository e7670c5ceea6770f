"""Master keys: a wrapped key opens in its own row only, and the key file is whole, private and wiped."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bespeak.errors import StoreError
from bespeak.privacy.envelope import KeyMissing, SealBroken
from bespeak.privacy.masters import (
    WRAPPED_BYTES,
    KeyFile,
    decode_masters,
    encode_masters,
    make_masters,
    retired,
    version_of,
    with_next,
)

SECRET = bytes(range(32))
ZOE = b"zoe, a pseudonym"


def test_a_wrapped_key_opens_in_its_own_row_only() -> None:
    masters = make_masters()
    wrapped = masters.wrap(SECRET, number=7, subject=ZOE)
    assert len(wrapped) == WRAPPED_BYTES == 64
    assert SECRET not in wrapped
    assert masters.unwrap(wrapped, number=7, subject=ZOE) == SECRET
    for number, subject in ((8, ZOE), (7, b"ann, a pseudonym")):
        with pytest.raises(SealBroken):
            masters.unwrap(wrapped, number=number, subject=subject)
    with pytest.raises(SealBroken, match="another store"):
        msgspec.structs.replace(masters, tenant="other").unwrap(wrapped, number=7, subject=ZOE)
    for place in range(4, 64, 7):
        broken = bytes(byte ^ (at == place) for at, byte in enumerate(wrapped))
        with pytest.raises(SealBroken):
            masters.unwrap(broken, number=7, subject=ZOE)


def test_the_next_version_wraps_and_the_one_before_still_opens_until_it_is_retired() -> None:
    first = make_masters()
    old = first.wrap(SECRET, number=1, subject=ZOE)
    both = with_next(first)
    new = both.wrap(SECRET, number=1, subject=ZOE)
    assert (version_of(old), version_of(new), sorted(both.secrets)) == (1, 2, [1, 2])
    assert both.unwrap(old, number=1, subject=ZOE) == both.unwrap(new, number=1, subject=ZOE) == SECRET
    one = retired(both)
    assert one.unwrap(new, number=1, subject=ZOE) == SECRET
    assert one.name_of("u:zoe") == first.name_of("u:zoe"), "pseudonyms stay"
    with pytest.raises(KeyMissing, match="master key 1 is missing"):
        one.unwrap(old, number=1, subject=ZOE)


def test_a_pseudonym_is_hmac_sha_256_cut_to_16_bytes() -> None:
    """RFC 4231, test case 2, is HMAC-SHA-256 under the key `Jefe`; in base64 that is `SmVmZQ==`."""
    masters = msgspec.structs.replace(make_masters(), index="SmVmZQ==")
    expected = "5bdcc146bf60754e6a042426089575c7"
    assert masters.name_of("what do ya want for nothing?").hex() == expected


def test_the_secrets_are_never_shown() -> None:
    masters = make_masters()
    assert masters.secrets[1] not in repr(masters)
    assert masters.index not in repr(masters)


def test_the_key_file_is_private_whole_and_its_old_bytes_are_wiped(tmp_path: Path) -> None:
    place = KeyFile(tmp_path / "master.key")
    assert place.read() is None
    masters = make_masters()
    place.write(encode_masters(masters))
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
    assert decode_masters(place.read() or b"") == masters
    with place.path.open("rb") as old:
        place.write(encode_masters(with_next(masters)))
        assert set(old.read()) == {0}, "whoever still holds the old file reads zeros"
    assert [file.name for file in tmp_path.iterdir()] == ["master.key"]
    assert sorted(decode_masters(place.read() or b"").secrets) == [1, 2]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"tenant": "t", "index": "", "current": 2, "secrets": {"1": ""}}'])
def test_a_damaged_key_file_is_refused_with_a_remedy(content: bytes) -> None:
    with pytest.raises(StoreError, match="restore it"):
        decode_masters(content)


def test_a_key_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    place = KeyFile(tmp_path / "master.key")
    place.write(b"old")
    (tmp_path / "master.key.new").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        place.write(b"new")
    assert place.read() == b"old"


def test_wrapping_is_aes_256_gcm() -> None:
    masters = make_masters()
    wrapped = masters.wrap(SECRET, number=1, subject=ZOE, random=bytes)
    again = masters.wrap(SECRET, number=1, subject=ZOE, random=os.urandom)
    assert wrapped != again
    bound = f"bespeak data key 1 1 {masters.tenant} ".encode() + ZOE
    assert AESGCM(masters._secret(1)).decrypt(bytes(12), wrapped[16:], bound) == SECRET
