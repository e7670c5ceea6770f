"""Where somebody is, on what device, and on which lists: what the newest message says that speaks of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from sys import intern
from typing import TypeAlias, cast

from bespeak.conditions.values.near import place_of
from bespeak.events import Event
from bespeak.events.vocabulary import LIST_JOINED, LIST_LEFT, OUR_SOURCE
from bespeak.profiles.profile import Listing, Profile, Said

Values: TypeAlias = dict[str, str | float]

LISTS_MAX = 200
"""Lists of which one person's membership is kept; beyond it those that were left make room."""

_LISTED = frozenset({LIST_JOINED, LIST_LEFT})
_TEXT_MAX = 100
_PLACE = (("country", "country"), ("region", "region"), ("city", "city"))
_DEVICE = (("type", "type"), ("model", "model"), ("manufacturer", "manufacturer"))
_OS = (("os", "name"), ("os_version", "version"))
_APP = (("app", "name"), ("app_version", "version"))
_BROWSER = (("os", "platform"),)


def place_in(context: Mapping[str, object]) -> Values:
    """Return what a context says of where somebody is; nothing where it says nothing that can be used.

    Examples
    --------
    >>> place_in({"location": {"city": "Wien", "country": "AT", "latitude": 48.21, "longitude": 16.37, "speed": 4}})
    {'country': 'AT', 'city': 'Wien', 'latitude': 48.21, 'longitude': 16.37}
    """
    found: Values = {}
    location = context.get("location")
    _take(found, location, _PLACE)
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
    {'os': 'macOS', 'type': 'desktop'}
    """
    found: Values = {}
    device, browser = context.get("device"), context.get("userAgentData")
    if device is None and browser is None and "os" not in context:
        return found
    if browser is not None:
        _take(found, browser, _BROWSER)
        is_mobile = cast("Mapping[str, object]", browser).get("mobile") if isinstance(browser, dict) else None
        if isinstance(is_mobile, bool):
            found["type"] = "mobile" if is_mobile else "desktop"
    _take(found, {"type": device} if isinstance(device, str) else device, _DEVICE)
    _take(found, context.get("os"), _OS)
    _take(found, context.get("app"), _APP)
    return found


def _take(found: Values, held: object, fields: tuple[tuple[str, str], ...]) -> None:
    """Take the texts that are worth keeping of the fields of an object, under names of ours."""
    if isinstance(held, dict):
        for name, field in fields:
            value = cast("Mapping[str, object]", held).get(field)
            if isinstance(value, str) and 0 < len(value) <= _TEXT_MAX:
                found[name] = value


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
    return Said({name: _shared(value) for name, value in values.items()}, event.time, event.message_id)


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


def _shared(value: str | float) -> str | float:
    return intern(value) if isinstance(value, str) else value
