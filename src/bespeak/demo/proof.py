"""The proof of `--once`: every address answers with what belongs there, and one event in changes a decision out."""

from __future__ import annotations

import secrets

import msgspec

from bespeak.clock import Instant, format_time
from bespeak.demo import wire
from bespeak.demo.state import Keys
from bespeak.errors import OwnError

_PAGES: tuple[tuple[str, str, bytes], ...] = (
    ("The shop", "/", b"data-bespeak-item="),
    ("The live view", "/live", b'data-metric="bespeak_events_accepted_total"'),
    ("The API docs", "/docs", b"/v1/decide"),
)


class _Item(msgspec.Struct):
    id: str


class _Slot(msgspec.Struct):
    items: tuple[_Item, ...] = ()


class _Answer(msgspec.Struct):
    personalized: bool
    slots: dict[str, _Slot]


async def prove(address: str, keys: Keys, at: Instant) -> list[str]:
    """Return a line for everything that holds.

    Raises
    ------
    OwnError
        Something does not: the message says what was expected and what came.
    """
    lines: list[str] = []
    for name, path, expected in _PAGES:
        reply = await wire.request("GET", address + path)
        if reply.status != 200 or expected not in reply.body:
            raise OwnError(f"{name}: expected 200 with {expected.decode()} at {path}, got {reply.status}")
        lines.append(f"ok  {name} answers at {path} ({len(reply.body):,} bytes)")
    lines.append(await _prove_loop(address, keys, at))
    return lines


async def _prove_loop(address: str, keys: Keys, at: Instant) -> str:
    """Ask for somebody new, tell one thing that they did, ask again: the second answer must rest on it."""
    device = f"proof-{secrets.token_hex(8)}"
    before = await _decide(address, keys, device)
    if before.personalized:
        raise OwnError("a visitor nobody knows: expected a decision that is not personalized")
    wanted = before.slots["home-picks"].items[-1].id
    event = {
        "type": "track",
        "event": "Product Viewed",
        "messageId": device,
        "anonymousId": device,
        "timestamp": format_time(at),
        "properties": {"product_id": wanted},
    }
    reply = await _post(address, "/v1/batch", {"batch": [event]}, keys.write_token)
    if reply.status != 200:
        raise OwnError(f"one event: expected 200, got {reply.status}: {reply.body[:200].decode(errors='replace')}")
    after = await _decide(address, keys, device)
    if not after.personalized or after.slots == before.slots:
        raise OwnError("one event in: expected another decision out, got the same")
    return f"ok  One event in (somebody looked at {wanted}), another decision out"


async def _decide(address: str, keys: Keys, device: str) -> _Answer:
    body = {"anonymousId": device, "slots": [{"id": "home-picks", "n": 8}]}
    reply = await _post(address, "/v1/decide", body, keys.write_token)
    if reply.status != 200:
        raise OwnError(f"a decision: expected 200, got {reply.status}: {reply.body[:200].decode(errors='replace')}")
    answer = msgspec.json.decode(reply.body, type=_Answer)
    if not answer.slots["home-picks"].items:
        raise OwnError("a decision: expected items in home-picks, got none")
    return answer


async def _post(address: str, path: str, body: object, token: str) -> wire.Reply:
    return await wire.request("POST", address + path, msgspec.json.encode(body), headers=(("X-Write-Key", token),))
