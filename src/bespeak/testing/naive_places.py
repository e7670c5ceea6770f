"""Where people are and what their clocks show, worked out once more: part of the second evaluator.

It shares nothing with the one at work: an angle on the globe is that between two arrows from its middle, a clock is the
standard library's, and what the newest message said is found by looking at all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast
from zoneinfo import ZoneInfo

from bespeak.clock import Instant
from bespeak.events import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARTH = 6_371_008.8


def clock_shows(part: str, at: Instant, zone: object) -> object:
    """Return the hour, the ISO day of the week, or the date that a clock shows in a zone; in UTC where it is none."""
    try:
        there = ZoneInfo(zone) if isinstance(zone, str) else ZoneInfo("UTC")
    except (OSError, ValueError, KeyError):
        there = ZoneInfo("UTC")
    moment = (_EPOCH + timedelta(microseconds=at)).astimezone(there)
    return {"hour": moment.hour, "weekday": moment.isoweekday(), "date": moment.strftime("%Y-%m-%d")}[part]


def metres_apart(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return how far two places (latitude, longitude) are from each other over the ground."""
    a, b = (_arrow(place) for place in (one, other))
    across = math.dist((0, 0, 0), _cross(a, b))
    along = sum(x * y for x, y in zip(a, b, strict=True))
    return _EARTH * math.atan2(across, along)


def place_said(value: object) -> tuple[float, float] | None:
    """Return the latitude and longitude that a value holds."""
    if isinstance(value, str):
        parts = value.split(",")
        try:
            numbers = [float(part) for part in parts]
        except ValueError:
            return None
        return _on_earth(numbers[0], numbers[1]) if len(numbers) == 2 else None
    if not isinstance(value, dict):
        return None
    held = cast("dict[str, object]", value)
    north = held.get("latitude") if "latitude" in held else held.get("lat")
    named = [name for name in ("longitude", "lon", "lng") if name in held]
    return _on_earth(north, held[named[0]] if named else None)


def said(events: Iterable[Event], read: Callable[[dict[str, object]], dict[str, object]]) -> dict[str, object] | None:
    """Return what `read` finds in the context of the newest event in which it finds anything."""
    found = [(event.time, event.message_id, read(event.context)) for event in events]
    return max((one for one in found if one[2]), key=lambda one: one[:2], default=(0, "", None))[2]


def place_in(context: dict[str, object]) -> dict[str, object]:
    """Return what a context says of where somebody is."""
    given = context.get("location")
    if not isinstance(given, dict):
        return {}
    held = cast("dict[str, object]", given)
    found: dict[str, object] = {name: held[name] for name in ("country", "region", "city") if _is_word(held.get(name))}
    place = place_said(held)
    return found if place is None else {**found, "latitude": place[0], "longitude": place[1]}


def device_in(context: dict[str, object]) -> dict[str, object]:
    """Return what a context says of the device."""
    browser, device = (_object(context.get(name)) for name in ("userAgentData", "device"))
    mobile, whole = browser.get("mobile"), context.get("device")
    asked: dict[str, tuple[object, ...]] = {
        "type": (whole, device.get("type"), (None, "mobile", "desktop")[(mobile is True) + 2 * (mobile is False)]),
        "model": (device.get("model"),),
        "manufacturer": (device.get("manufacturer"),),
        "os": (_object(context.get("os")).get("name"), browser.get("platform")),
        "os_version": (_object(context.get("os")).get("version"),),
        "app": (_object(context.get("app")).get("name"),),
        "app_version": (_object(context.get("app")).get("version"),),
    }
    if not {"device", "os", "userAgentData"} & context.keys():
        return {}
    found = {name: next((word for word in words if _is_word(word)), None) for name, words in asked.items()}
    return {name: word for name, word in found.items() if word is not None}


def bucket_of(salt: str, profile_id: str) -> float:
    """Return the bucket of somebody: FNV-1a twice, over what UTF-16 has for letters."""
    first = _fnv(salt + profile_id)
    return _fnv(str(first)) % 10_000 / 10_000


class Whereabouts:
    """Where somebody is, on what device, on which lists, and in which bucket, by path."""

    def __init__(self, profile_id: str, did: Iterable[Event], heard: Sequence[Event]) -> None:
        did = tuple(did)
        self._id = profile_id
        self._said = {"place": said(did, place_in) or {}, "device": said(did, device_in) or {}}
        self._lists = lists_of(heard)

    def get(self, path: str, /) -> object:
        """Return the value at a path; None where there is none."""
        head, _, rest = path.partition(".")
        if head == "lists":
            return rest in self._lists
        if head == "bucket":
            return bucket_of(rest, self._id)
        return self._said[head].get(rest) if rest else self._said[head] or None


def lists_of(events: Sequence[Event]) -> set[str]:
    """Return the lists that somebody is on: of each the newest word counts, where it is ours."""
    newest: dict[str, Event] = {}
    for event in sorted(events, key=lambda one: (one.time, one.message_id)):
        if event.name in {"List Joined", "List Left"} and event.source == "bespeak":
            newest[str(event.properties["list"])] = event
    return {name for name, event in newest.items() if event.name == "List Joined"}


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _fnv(text: str) -> int:
    raw = text.encode("utf-16-be", "surrogatepass")
    value = 2_166_136_261
    for place in range(0, len(raw), 2):
        value = (value ^ int.from_bytes(raw[place : place + 2])) * 16_777_619 % 2**32
    return value


def _is_word(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 100


def _on_earth(north: object, east: object) -> tuple[float, float] | None:
    if type(north) not in {int, float} or type(east) not in {int, float}:
        return None
    place = float(cast("float", north)), float(cast("float", east))
    return place if -90 <= place[0] <= 90 and -180 <= place[1] <= 180 else None


def _arrow(place: tuple[float, float]) -> tuple[float, float, float]:
    north, east = math.radians(place[0]), math.radians(place[1])
    return math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north)


def _cross(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
