"""Compressed bodies: what comes out, and what a bomb costs."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.errors import CallerError, InvalidInput, TooLarge
from bespeak.events import inflate

LIMIT = 1_000
BODY = b'{"batch":[]}'


@pytest.mark.parametrize(
    "body, encoding",
    [
        (BODY, None),
        (BODY, ""),
        (BODY, "identity"),
        (gzip.compress(BODY, mtime=0), "gzip"),
        (gzip.compress(BODY, mtime=0), " GZIP "),
        (gzip.compress(BODY, mtime=0), None),
        (zlib.compress(BODY), "deflate"),
        (gzip.compress(BODY[:5], mtime=0) + gzip.compress(BODY[5:], mtime=0), "gzip"),
    ],
)
def test_a_body_comes_out_as_it_was(body: bytes, encoding: str | None) -> None:
    assert inflate(body, encoding, LIMIT) == BODY


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
def test_another_encoding_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(InvalidInput, match="must be gzip, deflate or identity"):
        inflate(BODY, encoding, LIMIT)


def test_the_limit_is_of_what_comes_out() -> None:
    assert len(inflate(gzip.compress(b"x" * LIMIT), "gzip", LIMIT)) == LIMIT
    for body in (gzip.compress(b"x" * (LIMIT + 1)), gzip.compress(b"x" * 10_000_000), gzip.compress(b"x" * 600) * 2):
        with pytest.raises(TooLarge, match="at most 1,000 bytes"):
            inflate(body, "gzip", LIMIT)
    with pytest.raises(TooLarge):
        inflate(b"x" * (LIMIT + 1), None, LIMIT)


def test_a_body_that_is_cut_short_or_no_gzip_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cut short"):
        inflate(gzip.compress(BODY)[:-4], "gzip", LIMIT)
    with pytest.raises(InvalidInput, match="not gzip"):
        inflate(BODY, "gzip", LIMIT)


@given(st.binary(max_size=60), st.sampled_from([None, "gzip", "deflate"]))
def test_any_bytes_inflate_or_are_a_callers_error(tail: bytes, encoding: str | None) -> None:
    for body in (tail, b"\x1f\x8b" + tail, gzip.compress(BODY)[:10] + tail):
        try:
            assert len(inflate(body, encoding, LIMIT)) <= LIMIT
        except CallerError as error:
            assert error.message  # noqa: PT017 - either outcome is right
