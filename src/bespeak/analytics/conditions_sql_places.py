"""Where people are, on what device, on which lists, what they agreed to, and what their clocks show, in SQL.

`whereabouts` and `devices` are queries by person: what the newest event says that speaks of it, as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bespeak.clock import Instant
from bespeak.conditions.meaning.heads import local_part
from bespeak.conditions.tree import Near
from bespeak.conditions.values.local import shown
from bespeak.conditions.values.near import METRES, distance, place_of
from bespeak.events import Event
from bespeak.events.vocabulary import LIST_JOINED, LIST_LEFT, OUR_SOURCE
from bespeak.ids import hash_v2
from bespeak.privacy import consent_choices
from bespeak.profiles.said import device_in, place_in

if TYPE_CHECKING:
    from bespeak.analytics.conditions_sql_values import Bound


def _said_of_place(context: str | None) -> str | None:
    found = place_in(msgspec.json.decode(context or "{}"))
    return msgspec.json.encode(found).decode() if found else None


def _said_of_device(context: str | None) -> str | None:
    found = device_in(msgspec.json.decode(context or "{}"))
    return msgspec.json.encode(found).decode() if found else None


def _is_near(value: str | None, latitude: float, longitude: float, metres: float) -> bool:
    place = place_of(msgspec.json.decode(value or "null"))
    return place is not None and distance(place, (latitude, longitude)) <= metres


def _clock(part: str, at: Instant, zone: str) -> str:
    found = local_part(f"local.{part}")
    return "null" if found is None else msgspec.json.encode(shown(found, at, zone)).decode()


def _choice_in(context: str | None, purpose: str) -> bool | None:
    said = Event(type="track", name="", message_id="", time=0, received=0, context=msgspec.json.decode(context or "{}"))
    return next((choice.granted for name, choice in consent_choices(said) if name == purpose), None)


FUNCTIONS: Final[tuple[tuple[str, Callable[..., Any], list[str], str], ...]] = (
    ("said_of_place", _said_of_place, ["VARCHAR"], "VARCHAR"),
    ("said_of_device", _said_of_device, ["VARCHAR"], "VARCHAR"),
    ("is_near", _is_near, ["VARCHAR", "DOUBLE", "DOUBLE", "DOUBLE"], "BOOLEAN"),
    ("clock_of", _clock, ["VARCHAR", "BIGINT", "VARCHAR"], "VARCHAR"),
    ("bucket_of", hash_v2, ["VARCHAR", "VARCHAR"], "DOUBLE"),
    ("choice_in", _choice_in, ["VARCHAR", "VARCHAR"], "BOOLEAN"),
)
"""What SQL is taught for these."""

_NEWEST: Final = """
SELECT person, CAST(first(said ORDER BY happened DESC, message_id DESC, log_offset) AS JSON) AS said
FROM (SELECT person, happened, message_id, log_offset, {read}(CAST(context AS VARCHAR)) AS said FROM did
    WHERE context IS NOT NULL)
WHERE said IS NOT NULL GROUP BY person
"""
VIEWS: Final = {
    "whereabouts": _NEWEST.format(read="said_of_place"),
    "devices": _NEWEST.format(read="said_of_device"),
}
"""The queries of these, by name."""


def near(test: Near, one: str, bound: Bound) -> str:
    """Return SQL that is true where an element lies within the distance that is asked for."""
    middle = bound(test.latitude), bound(test.longitude)
    return f"is_near(CAST({one} AS VARCHAR), {', '.join(middle)}, {bound(test.within * METRES[test.unit])})"


def listed(list_id: str, bound: Bound) -> str:
    """Return a query of who was last said to be on a list, or off it again: person, and `v`, a flag."""
    joined, left = bound(LIST_JOINED), bound(LIST_LEFT)
    return (
        f"SELECT person, first(name = {joined} ORDER BY happened DESC, message_id DESC, log_offset) AS v"  # noqa: S608 - values are bound
        f" FROM heard WHERE name IN ({joined}, {left}) AND source = {bound(OUR_SOURCE)}"
        f" AND text_of(json_extract(properties, '$.list')) = {bound(list_id)} GROUP BY person"
    )


def agreed(purpose: str, bound: Bound) -> str:
    """Return a query of what people last said of a purpose: person, and `v`, a flag."""
    said = f"choice_in(CAST(context AS VARCHAR), {bound(purpose)})"
    told = (
        f"SELECT person, happened, message_id, log_offset, {said} AS granted FROM heard"  # noqa: S608 - values are bound
        " WHERE json_exists(context, '$.consent')"
    )
    return (
        "SELECT person, first(granted ORDER BY happened DESC, message_id DESC, log_offset) AS v"  # noqa: S608
        f" FROM ({told}) WHERE granted IS NOT NULL GROUP BY person"
    )


def read_head(path: str, bound: Bound) -> str | None:
    """Return SQL of a path of one of these heads but lists, as JSON; None where it is another."""
    head, _, rest = path.partition(".")
    match head:
        case "place" | "device":
            said = {"place": "whereabouts.said", "device": "devices.said"}[head]
            return f"json_extract({said}, {bound.path([rest])})" if rest else said
        case "local":
            return f"CAST(clock_of({bound(rest)}, $at, places.zone) AS JSON)"
        case "bucket":
            return f"to_json(bucket_of({bound(rest)}, p.id))"
        case _:
            return None
