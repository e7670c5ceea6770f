from __future__ import annotations

import hashlib
import hmac
import re
import secrets

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.errors import Conflict, InvalidInput
from bespeak.privacy import (
    SCOPES,
    Former,
    Key,
    decode_key,
    digest_token,
    encode_key,
    make_key,
    rotate_key,
    sign,
    verify,
    why_refused,
)
from bespeak.privacy.keys import FORMER_MAX


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
        scopes=st.none() | st.lists(st.sampled_from(list(SCOPES)), min_size=1, unique=True).map(tuple),
        expires=st.none() | st.integers(0, 2**62),
        rotated=st.none() | st.integers(0, 2**62),
        former=st.lists(
            st.builds(
                Former,
                digest=st.binary(min_size=32, max_size=32),
                since=st.integers(0, 2**62),
                until=st.integers(0, 2**62),
                signing_secret=st.none() | st.text(),
            ),
            max_size=3,
        ).map(tuple),
    ),
)
def test_a_key_reads_back_as_it_was_kept(key):
    assert decode_key(encode_key(key)) == key


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a key", b"\x80"])
def test_bytes_that_are_no_key_are_refused(data):
    with pytest.raises(InvalidInput, match="bytes of a key"):
        decode_key(data)


def made(kind="write", **more):
    return make_key(kind, "shop", at=0, token_bytes=secrets.token_bytes, **more)


def turned(key, at, overlap, **more):
    return rotate_key(key, at=at, overlap=overlap, token_bytes=secrets.token_bytes, **more)


def test_a_key_without_scopes_may_everything_that_its_kind_may():
    write, secret = made()[0], made("secret")[0]
    assert [scope for scope in SCOPES if write.allows(scope)] == ["events", "decide"]
    assert all(secret.allows(scope) for scope in SCOPES)


def test_a_key_with_scopes_may_these_and_nothing_else():
    key, _ = made("secret", scopes=["profiles:read", "decide", "decide"])
    assert key.scopes == ("decide", "profiles:read")
    assert [scope for scope in SCOPES if key.allows(scope)] == ["decide", "profiles:read"]


@pytest.mark.parametrize(
    "kind, scopes, words",
    [
        ("write", ["profiles:read"], "expected one or more of events, decide for a write key, got 'profiles:read'"),
        ("secret", ["everything"], "definitions:write.*got 'everything'"),
        ("secret", [], "got none"),
    ],
)
def test_scopes_that_a_key_cannot_have_are_refused_with_those_that_it_can(kind, scopes, words):
    with pytest.raises(InvalidInput, match=words):
        made(kind, scopes=scopes)


def test_a_key_that_expires_works_until_then_and_says_so_afterwards():
    key, token = made(expires=5_000_000)
    assert why_refused(key, digest_token(token), 4_999_999) is None
    assert why_refused(key, digest_token(token), 5_000_000) == f"key {key.id} expired at 1970-01-01T00:00:05Z"


def test_after_a_rotation_both_tokens_work_until_the_overlap_is_over():
    key, old = made()
    after, new = turned(key, 100, 50)
    assert (after.id, after.name, after.created, after.since) == (key.id, key.name, 0, 100)
    assert new not in (old, repr(after))
    assert [why_refused(after, digest_token(old), at) is None for at in (100, 149, 150)] == [True, True, False]
    assert [why_refused(after, digest_token(new), at) is None for at in (100, 149, 150)] == [True, True, True]
    assert "was replaced" in why_refused(after, digest_token(old), 150)


def test_without_an_overlap_the_old_token_ends_at_once():
    key, old = made("secret")
    after, new = turned(key, 100, 0)
    assert why_refused(after, digest_token(old), 100) is not None
    assert why_refused(after, digest_token(new), 100) is None
    assert after.signing_secret is None


def test_a_signature_of_the_old_secret_is_taken_until_the_overlap_is_over():
    key, _ = made()
    after, _ = turned(key, 100, 50)
    assert after.signing_secrets(149) == (after.signing_secret, key.signing_secret)
    assert after.signing_secrets(150) == (after.signing_secret,)
    later, _ = turned(after, 200, 50)
    assert [one.signing_secret for one in later.former] == [after.signing_secret, None], "what is over is not kept"


def test_a_token_that_is_none_of_the_keys_opens_nothing():
    key, _ = made()
    assert "was replaced" in why_refused(key, digest_token("bsw_another"), 0)


def test_the_tokens_before_are_remembered_up_to_a_bound_and_none_that_works_is_dropped():
    key, _ = made()
    for place in range(FORMER_MAX):
        key, _ = turned(key, place, 1_000)
    with pytest.raises(Conflict, match=r"8 tokens of key .* still work"):
        turned(key, FORMER_MAX, 1_000)
    key, _ = turned(key, 1_000, 1_000)
    assert len(key.former) == FORMER_MAX
    assert key.former[0].since == FORMER_MAX - 1


def test_what_has_ended_is_not_rotated_unless_it_is_said_until_when():
    revoked = msgspec.structs.replace(made()[0], revoked=5)
    with pytest.raises(Conflict, match="was revoked"):
        turned(revoked, 10, 0)
    expired, old = made(expires=5)
    with pytest.raises(Conflict, match="--expires"):
        turned(expired, 10, 50)
    again, new = turned(expired, 10, 50, expires=100)
    assert why_refused(again, digest_token(new), 99) is None
    assert why_refused(again, digest_token(old), 11) is not None, "an expired token does not come back"


@pytest.mark.parametrize("overlap", [-1, 366 * 86_400_000_000])
def test_an_overlap_has_its_bounds(overlap):
    with pytest.raises(InvalidInput, match="365 days"):
        turned(made()[0], 0, overlap)


def test_a_key_of_a_store_from_before_scopes_reads_as_one_that_may_everything():
    before = {"id": "key_old", "kind": "secret", "name": "backend", "created": 7, "digest": b"d" * 32}
    key = decode_key(msgspec.msgpack.encode(before))
    assert key == Key(id="key_old", kind="secret", name="backend", created=7, digest=b"d" * 32)
    assert all(key.allows(scope) for scope in SCOPES)
    assert encode_key(key) == msgspec.msgpack.encode(before), "and is kept as it was"


def test_a_former_token_shows_no_secret():
    key, _ = made()
    after, _ = turned(key, 100, 50)
    assert key.signing_secret not in repr(after.former)


@pytest.mark.parametrize("name", ["bespeak", "import", " Import ", "local"])
def test_a_key_may_not_have_the_name_of_what_marks_other_events(name):
    with pytest.raises(InvalidInput, match="marked with") as refused:
        make_key("write", name, at=0, token_bytes=bytes)
    assert "choose another name" in refused.value.message
    assert make_key("write", "importer", at=0, token_bytes=bytes)[0].name == "importer"
