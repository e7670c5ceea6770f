"""Profiles as bytes: what is packed, sealed and written of somebody."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from bespeak.clock import NEVER, Instant
from bespeak.engine.packing import pack
from bespeak.ids import ProfileId
from bespeak.profiles import Profile

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Profile)


class Encoded(NamedTuple):
    """Somebody as of one moment, as bytes: packed and then sealed they are a row."""

    id: ProfileId
    next_flip_at: Instant | None
    data: bytes


def encode_profile(profile: Profile) -> bytes:
    """Return everything known of a profile as bytes; nothing is sealed yet."""
    return _encoder.encode(profile)


def decode_profile(data: bytes) -> Profile:
    """Return the profile that `encode_profile` was given, in the form of today or that of the first versions."""
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        return _decode_first(data)


def encoded(profile: Profile) -> Encoded:
    """Return somebody as they are now."""
    flip = profile.next_flip_at
    return Encoded(profile.id, None if flip == NEVER else flip, encode_profile(profile))


def packed(one: Encoded) -> Encoded:
    """Return somebody with the data packed."""
    return one._replace(data=pack(one.data))


def _decode_first(data: bytes) -> Profile:
    """Return a profile whose flips stand in a mapping, by segment."""
    plain = msgspec.msgpack.decode(data)
    noted = plain.pop("flips", {})
    profile = msgspec.convert(plain, Profile)
    for segment_id, at in noted.items():
        profile.flips.note(segment_id, at)
    return profile
