"""Identifiers: how they are made, compared, refused, and dealt into buckets.

A profile is named by a `ProfileId`: the user id for a known person (`u:1234`), the anonymous id for a
device nobody has identified yet (`a:5f0c...`). The prefix keeps the two name spaces apart.

References
----------
[^1]: GrowthBook. Build your own SDK, section "Hashing".
[^2]: Fowler, Noll, Vo. FNV hash, the FNV-1a variant of 32 bits.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from random import Random

from bespeak.clock import Instant

ProfileId = str
"""`u:` + user id, or `a:` + anonymous id."""

_BLOCKED = frozenset({"", "-1", "null", "none", "undefined", "nan", "anonymous", "guest", "[object object]", "unknown"})
_FIRST = frozenset("0-" + "".join(word[:1] + word[:1].upper() for word in _BLOCKED))
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_OFFSET = 0x811C9DC5
_PRIME = 0x01000193
_MASK = 0xFFFFFFFF


def is_blocked(identifier: str) -> bool:
    """Say whether an identifier names nobody (`null`, `-1`, `000-000`, ...); the event is kept, the id ignored.

    Examples
    --------
    >>> is_blocked("00000000-0000"), is_blocked("1234")
    (True, False)
    """
    first = identifier[:1]
    if first and first not in _FIRST and not first.isspace():
        return False
    folded = identifier.strip().lower()
    return folded in _BLOCKED or not folded.strip("0-")


def user_profile(user_id: str) -> ProfileId:
    """Return the profile id of a known person."""
    return "u:" + user_id


def anonymous_profile(anonymous_id: str) -> ProfileId:
    """Return the profile id of a device nobody has identified yet."""
    return "a:" + anonymous_id


def digest(*parts: str) -> bytes:
    """Return 16 bytes that stand for the parts (BLAKE2b-128, length-prefixed so that parts cannot run together)."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode()
        state.update(len(raw).to_bytes(4, "big"))
        state.update(raw)
    return state.digest()


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


def hash_v2(seed: str, value: str) -> float:
    """Return one of 10,000 evenly spaced numbers in 0 <= n < 1; independent between seeds.

    Parameters
    ----------
    seed
        The experiment's seed, its id unless it names another; or the salt of a condition's bucket.
    value
        The unit: a device's anonymous id, a user id, or a profile's id.

    Examples
    --------
    >>> hash_v2("", "a")
    0.0216
    """
    return (fnv1a32(str(fnv1a32(seed + value))) % 10_000) / 10_000


def new_id(at: Instant, rng: Random) -> str:
    """Make a 26-character id that sorts by time (48 bits of milliseconds, 80 random bits; as ULID, lower case)."""
    number = ((at // 1_000) & (2**48 - 1)) << 80 | rng.getrandbits(80)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
