"""Where somebody is, on what device, and on which lists: what the newest message says that speaks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from sys import intern
from typing import TypeAlias, cast

from bespeak.conditions.near import place_of
from bespeak.events import Event
from bespeak.events.vocabulary import LIST_JOINED, LIST_LEFT, OUR_SOURCE
from bespeak.profiles.profile import Listing, Profile, Said

Values: TypeAlias = dict[str, str | float]

LISTS_MAX = 200
"""Lists of which one person's membership is kept; beyond it those that were left make room."""

_SPEAKS_OF_DEVICE = ("device", "os", "userAgentData")
_LISTED = frozenset({LIST_JOINED, LIST_LEFT})
_TEXT_MAX = 100
_NAMED = ("country", "region", "city")
_DEVICE = {
    "type": ("device", "type"),
    "model": ("device", "model"),
    "manufacturer": ("device", "manufacturer"),
    "os": ("os", "name"),
    "os_version": ("os", "version"),
    "app": ("app", "name"),
    "app_version": ("app", "version"),
}


def place_in(context: Mapping[str, object]) -> Values:
    """Return what a context says of where somebody is; nothing where it says nothing that can be used.

    Examples
    --------
    >>> place_in({"location": {"city": "Wien", "country": "AT", "latitude": 48.21, "longitude": 16.37, "speed": 4}})
    {'country': 'AT', 'city': 'Wien', 'latitude': 48.21, 'longitude': 16.37}
    """
    location = context.get("location")
    found: Values = {name: text for name in _NAMED if (text := _text(location, name))}
    place = None if isinstance(location, str) else place_of(location)
    if place is not None:
        found["latitude"], found["longitude"] = place
    return found


def device_in(context: Mapping[str, object]) -> Values:
    """Return what a context says of the device: by name, else what a browser says of itself.

    Examples
    --------
    >>> device_in({"device": {"type": "ios", "model": "iPhone17,1"}, "os": {"name": "iOS", "version": "26.1"}})
    {'type': 'ios', 'model': 'iPhone17,1', 'os': 'iOS', 'os_version': '26.1'}
    >>> device_in({"userAgentData": {"mobile": False, "platform": "macOS"}})
    {'type': 'desktop', 'os': 'macOS'}
    """
    if not any(name in context for name in _SPEAKS_OF_DEVICE):
        return {}
    found: Values = {name: text for name, (of, field) in _DEVICE.items() if (text := _text(context.get(of), field))}
    whole = context.get("device")
    if isinstance(whole, str) and 0 < len(whole) <= _TEXT_MAX:
        found["type"] = intern(whole)
    browser = context.get("userAgentData")
    is_mobile = _field(browser, "mobile")
    if isinstance(is_mobile, bool):
        found.setdefault("type", "mobile" if is_mobile else "desktop")
    if platform := _text(browser, "platform"):
        found.setdefault("os", platform)
    return found


def note_place(profile: Profile, event: Event) -> bool:
    """Take where somebody is, where an event says it and none that is newer did; says whether it is another place."""
    found = _noted(profile.place, event, place_in)
    if found is not None:
        profile.place = found
    return found is not None


def note_device(profile: Profile, event: Event) -> bool:
    """Take on what device somebody is, as `note_place`."""
    found = _noted(profile.device, event, device_in)
    if found is not None:
        profile.device = found
    return found is not None


def _noted(held: Said | None, event: Event, read: Callable[[Mapping[str, object]], Values]) -> Said | None:
    """Return what is to be held now; None where the values stay as they are."""
    if held is not None and (event.time, event.message_id) <= (held.time, held.message_id):
        return None
    values = read(event.context)
    if not values:
        return None
    if held is not None and held.values == values:
        held.time, held.message_id = event.time, event.message_id
        return None
    return Said(values, event.time, event.message_id)


def note_list(profile: Profile, event: Event) -> bool:
    """Put somebody on a list or take them off, where it is us who say so; says whether anything is other than before.

    The newest word of a list counts, however late it comes.
    """
    name = event.properties.get("list")
    if event.name not in _LISTED or event.source != OUR_SOURCE or not isinstance(name, str):
        return False
    lists, joined = profile.lists, event.name == LIST_JOINED
    held = lists.get(name)
    if held is not None and (event.time, event.message_id) <= (held.time, held.message_id):
        return False
    if held is None and len(lists) >= LISTS_MAX and not make_room(lists):
        return False
    lists[intern(name)] = Listing(joined, event.time, event.message_id)
    return held is None or held.joined is not joined


def make_room(lists: dict[str, Listing]) -> bool:
    """Forget the list that was left longest ago; says whether there is one."""
    left = [name for name, one in lists.items() if not one.joined]
    if not left:
        return False
    del lists[min(left, key=lambda name: (lists[name].time, name))]
    return True


def _field(held: object, name: str) -> object:
    return cast("Mapping[str, object]", held).get(name) if isinstance(held, dict) else None


def _text(held: object, name: str) -> str:
    """Return a text that is worth keeping of a field of an object; empty where there is none."""
    value = _field(held, name)
    return intern(value) if isinstance(value, str) and len(value) <= _TEXT_MAX else ""
