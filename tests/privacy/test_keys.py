from __future__ import annotations

import hashlib
import hmac
import re
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.errors import InvalidInput
from bespeak.privacy import Key, decode_key, digest_token, encode_key, make_key, sign, verify


def numbered():
    """Bytes that are easy to tell apart instead of random ones."""
    count = iter(range(1, 100))
    return lambda size: bytes([next(count)]) * size


def test_a_write_key_can_sign_and_a_secret_key_needs_not():
    write, write_token = make_key("write", "shop", at=5, token_bytes=numbered())
    secret, secret_token = make_key("secret", "backend", at=5, token_bytes=numbered())
    assert re.fullmatch(r"bsw_[a-z2-7]{32}", write_token)
    assert re.fullmatch(r"bss_[a-z2-7]{32}", secret_token)
    assert (write.kind, write.name, write.created, write.revoked) == ("write", "shop", 5, None)
    assert write.signing_secret == "03" * 32
    assert secret.signing_secret is None


def test_a_key_is_found_by_the_digest_of_its_token_and_holds_no_token():
    key, token = make_key("secret", "backend", at=0, token_bytes=secrets.token_bytes)
    assert key.digest == hashlib.sha256(token.encode()).digest() == digest_token(token)
    assert token not in repr(key)


def test_a_key_shows_no_secret():
    key, _ = make_key("write", "shop", at=0, token_bytes=secrets.token_bytes)
    assert repr(key) == f"Key(id={key.id!r}, kind='write', name='shop')"
    assert key.signing_secret not in f"{[key]}"


def test_a_key_is_kept_without_its_token():
    key, token = make_key("secret", "backend", at=0, token_bytes=secrets.token_bytes)
    assert token.encode() not in encode_key(key)


def test_no_two_keys_are_alike():
    made = [make_key("write", "shop", at=0, token_bytes=secrets.token_bytes) for _ in range(50)]
    assert len({key.id for key, _ in made}) == len({token for _, token in made}) == 50


@pytest.mark.parametrize(
    "kind, name, words",
    [("admin", "shop", "'write' or 'secret'"), ("write", " ", "1 to 100"), ("write", "x" * 101, "1 to 100")],
)
def test_a_key_needs_a_kind_and_a_name(kind, name, words):
    with pytest.raises(InvalidInput, match=words):
        make_key(kind, name, at=0, token_bytes=secrets.token_bytes)


def test_a_signature_is_the_published_hmac():
    """RFC 4231, test case 2."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sign("Jefe", "what do ya want for nothing?") == expected


@given(st.text(min_size=1), st.text())
def test_a_signature_belongs_to_its_user_and_secret(secret, user_id):
    signature = sign(secret, user_id)
    assert signature == hmac.new(secret.encode(), user_id.encode(), hashlib.sha256).hexdigest()
    assert verify(secret, user_id, signature)
    assert verify(secret, user_id, f" {signature.upper()}\n")
    assert not verify(secret, user_id + "x", signature)
    assert not verify(secret + "x", user_id, signature)


@pytest.mark.parametrize("signature", ["", "0" * 64, "zz", "ä" * 64, "0" * 10_000])
def test_anything_else_is_no_signature(signature):
    assert not verify("secret", "1234", signature)


@given(
    st.builds(
        Key,
        id=st.text(),
        kind=st.sampled_from(["write", "secret"]),
        name=st.text(),
        created=st.integers(0, 2**62),
        digest=st.binary(min_size=32, max_size=32),
        signing_secret=st.none() | st.text(),
        revoked=st.none() | st.integers(0, 2**62),
    ),
)
def test_a_key_reads_back_as_it_was_kept(key):
    assert decode_key(encode_key(key)) == key


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a key", b"\x80"])
def test_bytes_that_are_no_key_are_refused(data):
    with pytest.raises(InvalidInput, match="bytes of a key"):
        decode_key(data)


@pytest.mark.parametrize("name", ["bespeak", "import", " Import ", "local"])
def test_a_key_may_not_have_the_name_of_what_marks_other_events(name):
    with pytest.raises(InvalidInput, match="marked with") as refused:
        make_key("write", name, at=0, token_bytes=bytes)
    assert "choose another name" in refused.value.message
    assert make_key("write", "importer", at=0, token_bytes=bytes)[0].name == "importer"
