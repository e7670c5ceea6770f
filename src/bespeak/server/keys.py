"""The keys of senders, for the owner: made, listed, rotated, revoked; and the master key, changed."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Path, Request, Response

from bespeak.clock import DAY, Duration, Instant, format_duration, format_time, parse_duration
from bespeak.engine import Engine
from bespeak.errors import InvalidInput, Problem
from bespeak.privacy import Key, KeyKind, Scope, make_key
from bespeak.server.access import Gate
from bespeak.server.answers import decode
from bespeak.server.bodies import BodyLimits, read_body
from bespeak.server.schemas import body_of
from bespeak.server.scopes import require_no_less

KeyId = Annotated[str, Path(min_length=1, max_length=400)]

NO_OVERLAP = "none"
"""How a rotation says that the token before ends at once."""

EXPIRES_MAX: Duration = 100 * 365 * DAY
"""How far away the end of a key may lie."""


class NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Body of `POST /v1/keys`. The name becomes the `source` of every event that comes with a write key.

    Parameters
    ----------
    scopes
        What it may, as in `ShownKey`; left out: everything that its kind may.
    expires_in
        How long it works, such as `90d`; left out: until it is revoked.
    """

    kind: KeyKind
    name: str = "default"
    scopes: tuple[str, ...] | None = None
    expires_in: str | None = None


class KeyRotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Body of `POST /v1/keys/{key_id}/rotate`; may be empty.

    Parameters
    ----------
    overlap
        How long the token before goes on working, such as `24h`; `none` ends it at once.
    expires_in
        How long the key works from now on; left out: as long as before.
    """

    overlap: str = "24h"
    expires_in: str | None = None


class ShownToken(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A token that was replaced: when it was made, until when it works, the hour in which it was last used."""

    since: str
    until: str
    last_used: str | None = None


class ShownKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A key without its token. `token` and `signing_secret` are told once, when they are made.

    Parameters
    ----------
    scopes
        What it may; left out: everything that its kind may.
    last_used
        The hour in which its present token was last used.
    former
        Those of the tokens before that still work.
    """

    id: str
    kind: KeyKind
    name: str
    created: str
    scopes: tuple[Scope, ...] | None = None
    expires: str | None = None
    expired: bool = False
    rotated: str | None = None
    revoked: str | None = None
    last_used: str | None = None
    former: tuple[ShownToken, ...] = ()
    token: str | None = None
    signing_secret: str | None = None


_NEW_KEY = msgspec.json.Decoder(NewKey)
_ROTATION = msgspec.json.Decoder(KeyRotation)


def key_routes(router: APIRouter, engine: Engine, gate: Gate, bodies: BodyLimits) -> None:
    """Add the routes of keys to those of the owner."""

    async def asked(request: Request) -> tuple[Key, bytes]:
        headers = dict(request.scope["headers"])
        return gate.admin(headers, "keys"), await read_body(request.receive, headers, bodies)

    @router.get("/v1/keys", tags=["keys"], summary="All keys, without their tokens")
    async def keys() -> Response:
        now = engine.clock.now()
        return _json([_shown(engine, key, now) for key in engine.keys()])  # noqa: SIM118  a method of the engine

    @router.post("/v1/keys", tags=["keys"], summary="Make a key", openapi_extra=body_of(NewKey))
    async def create(request: Request) -> Response:
        """The only answer that ever holds the token; only its digest is kept. It may no more than the key that asks."""
        caller, body = await asked(request)
        wanted, now = decode(_NEW_KEY, body), engine.clock.now()
        expires = _later(wanted.expires_in, now)
        draft, _ = make_key(wanted.kind, wanted.name, at=now, token_bytes=bytes, scopes=wanted.scopes)
        require_no_less(caller, draft)
        key, token = await engine.create_key(wanted.kind, wanted.name, scopes=wanted.scopes, expires=expires)
        return _json(_told(engine, key, token), status=201)

    @router.post(
        "/v1/keys/{key_id}/rotate", tags=["keys"], summary="Give a key a new token", openapi_extra=body_of(KeyRotation)
    )
    async def rotate(key_id: KeyId, request: Request) -> Response:
        """The token before, and the signing secret, work until `overlap` is over. Events keep their source."""
        caller, body = await asked(request)
        wanted = decode(_ROTATION, body.strip() or b"{}")
        require_no_less(caller, engine.key_of(key_id))
        expires = _later(wanted.expires_in, engine.clock.now())
        key, token = await engine.rotate_key(key_id, overlap=_overlap(wanted.overlap), expires=expires)
        return _json(_told(engine, key, token))

    @router.delete("/v1/keys/{key_id}", tags=["keys"], summary="Revoke a key, at once")
    async def revoke(key_id: KeyId, request: Request) -> Response:
        """It cannot be undone. `warning` is there when no secret key is left."""
        caller, _ = await asked(request)
        require_no_less(caller, engine.key_of(key_id))
        warning = await engine.revoke_key(key_id)
        return _json({"revoked": key_id, **({} if warning is None else {"warning": warning})})

    @router.post("/v1/keys/rotate-master", tags=["server"], summary="Change the master key")
    async def rotate_master() -> Response:
        """Every data key is wrapped anew, and the old master key retired; a rotation that was cut off is taken up."""
        return _json(await engine.rotate_master_key())


def _told(engine: Engine, key: Key, token: str) -> ShownKey:
    shown = _shown(engine, key, engine.clock.now())
    return msgspec.structs.replace(shown, token=token, signing_secret=key.signing_secret)


def _shown(engine: Engine, key: Key, now: Instant) -> ShownKey:
    """Return a key as it may be listed."""
    return ShownKey(
        id=key.id,
        kind=key.kind,
        name=key.name,
        created=format_time(key.created),
        scopes=key.scopes,
        expires=_time(key.expires),
        expired=key.expires is not None and now >= key.expires,
        rotated=_time(key.rotated),
        revoked=_time(key.revoked),
        last_used=_time(engine.last_used(key.digest)),
        former=tuple(
            ShownToken(
                since=format_time(one.since),
                until=format_time(one.until),
                last_used=_time(engine.last_used(one.digest)),
            )
            for one in key.former
            if now < one.until and key.in_force(now)
        ),
    )


def _time(at: Instant | None) -> str | None:
    return None if at is None else format_time(at)


def _later(text: str | None, now: Instant) -> Instant | None:
    return None if text is None else now + _duration(text, "expiresIn")


def _overlap(text: str) -> Duration:
    return 0 if text == NO_OVERLAP else _duration(text, "overlap")


def _duration(text: str, field: str) -> Duration:
    """Read a duration of a body, naming the field where it is none."""
    expected = f"a duration such as 24h or 90d, of at most {format_duration(EXPIRES_MAX)}"
    try:
        found = parse_duration(text) if len(text) <= 40 else 0
    except InvalidInput:
        found = 0
    if not 0 < found <= EXPIRES_MAX:
        raise InvalidInput(
            f"{field}: expected {expected}, got {text[:40]!r}", problems=(Problem(field, expected, text[:40]),)
        )
    return found


def _json(value: object, *, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")
