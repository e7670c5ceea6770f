"""What SQL lacks and conditions have, taught to one connection: functions of Python, and macros over JSON values.

A value travels as JSON, as the archive has it, so that a text, a number and a flag stay what they were. Numbers are
compared as DOUBLE: whole numbers beyond 2^53 that stand next to each other are one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from bespeak.analytics.conditions_sql_places import FUNCTIONS
from bespeak.clock import DAY, Instant, format_time, zone_named
from bespeak.conditions import Calendar, fold
from bespeak.conditions.counting.windows import Frame, frame
from bespeak.conditions.tree import Unit
from bespeak.conditions.values.dates import instants, period, resolve
from bespeak.conditions.values.moments import read_moment
from bespeak.conditions.values.versions import version_key
from bespeak.conditions.values.zones import instant_of, wall_at, zone_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_DIGITS = 200
"""Digits to which a number of a version is filled up, so that texts sort as the numbers do; none has more."""
_BEFORE_ALL = "\x01"
"""Sorts before whatever a part of a version may be made of."""


def version_order(text: str) -> str | None:
    """Return a text that sorts among others as the version does among versions; None where it is none.

    Examples
    --------
    >>> version_order("2.10") > version_order("2.9.3"), version_order("1.0.0-rc.1") < version_order("v1")
    (True, True)
    >>> version_order("latest")
    """
    key = version_key(text)
    if key is None:
        return None
    numbers, released, parts = key
    written = [_BEFORE_ALL + (f"0{number:0{_DIGITS}}" if kind == 0 else "1" + name) for kind, number, name in parts]
    return "".join([*(f"{number:0{_DIGITS}}" for number in numbers), str(released), *written])


def _date_in(text: str | None, zone: str | None) -> Instant | None:
    found = instants(text, zone_of(zone))
    return found[0] if found else None


def _moment_at(expr: str, at: Instant, zone: str, up: bool) -> Instant:  # noqa: FBT001 - SQL has no names for arguments
    return resolve(read_moment(expr), at, zone_of(zone), up=up)


def _same_day(one: Instant, other: Instant, name: str) -> bool:
    zone = zone_of(name)
    begins, ends = period(wall_at(one, zone), "d")
    return instant_of(begins, zone) <= other < instant_of(ends, zone)


def _day_of(at: Instant, zone: str) -> int:
    return wall_at(at, zone_of(zone)) // DAY


def _bounds(zone: str, unit: str, back: int, at: Instant) -> tuple[Instant, Instant]:
    window = cast("Frame", frame(Calendar(cast("Unit", unit), back)))
    return window.bounds(cast("Mapping[str, object]", {"zone": zone}).get, at)


def _period_after(zone: str, unit: str, back: int, at: Instant) -> Instant:
    return _bounds(zone, unit, back, at)[0]


def _period_until(zone: str, unit: str, back: int, at: Instant) -> Instant:
    return _bounds(zone, unit, back, at)[1]


def _is_zone(name: str) -> bool:
    return zone_named(name) is not None


def _version_order(text: str | None) -> str | None:
    return None if text is None else version_order(text)


def _rounded(number: float, digits: int) -> float:
    return round(number, digits) + 0.0  # never -0


_FUNCTIONS: Final[tuple[tuple[str, Callable[..., Any], list[str], str], ...]] = (
    ("fold_letters", fold, ["VARCHAR"], "VARCHAR"),
    ("moment_at", _moment_at, ["VARCHAR", "BIGINT", "VARCHAR", "BOOLEAN"], "BIGINT"),
    ("same_day", _same_day, ["BIGINT", "BIGINT", "VARCHAR"], "BOOLEAN"),
    ("day_of", _day_of, ["BIGINT", "VARCHAR"], "BIGINT"),
    ("period_after", _period_after, ["VARCHAR", "VARCHAR", "BIGINT", "BIGINT"], "BIGINT"),
    ("period_until", _period_until, ["VARCHAR", "VARCHAR", "BIGINT", "BIGINT"], "BIGINT"),
    ("is_zone", _is_zone, ["VARCHAR"], "BOOLEAN"),
    ("iso_time", format_time, ["BIGINT"], "VARCHAR"),
    ("rounded", _rounded, ["DOUBLE", "INTEGER"], "DOUBLE"),
)
"""Functions of what is there: nothing is made of nothing."""
_MAY_FAIL: Final[tuple[tuple[str, Callable[..., Any], list[str], str], ...]] = (
    ("date_in", _date_in, ["VARCHAR", "VARCHAR"], "BIGINT"),
    ("version_order", _version_order, ["VARCHAR"], "VARCHAR"),
)
"""Functions that find nothing in some texts."""

_MACROS: Final = r"""
-- JSON is text: its first letter says which type it is, and what is no text stands there as it is.
CREATE TEMP MACRO json_text(x) AS CAST(x AS VARCHAR);
CREATE TEMP MACRO text_of(x) AS CASE WHEN starts_with(json_text(x), '"') THEN x ->> '$' END;
CREATE TEMP MACRO number_of(x) AS TRY_CAST(json_text(x) AS DOUBLE);
CREATE TEMP MACRO flag_of(x) AS CASE json_text(x) WHEN 'true' THEN true WHEN 'false' THEN false END;
CREATE TEMP MACRO is_list(v) AS coalesce(starts_with(json_text(v), '['), false);

-- Letters beyond ASCII have more bytes than one; folding those is left to Python, which takes a hundred times as long.
CREATE TEMP MACRO fold_text(t) AS CASE WHEN strlen(t) = length(t) THEN lower(t) ELSE fold_letters(t) END;

-- The elements of a list, or the one value; what is null in it is NULL.
CREATE TEMP MACRO parts_of(v) AS
    CASE WHEN is_list(v) THEN from_json(v, '["JSON"]') ELSE [CAST(v AS JSON)] END;
CREATE TEMP MACRO known_of(ones) AS list_filter(ones, lambda one: one IS NOT NULL);
CREATE TEMP MACRO texts_of(v) AS known_of(list_transform(parts_of(v), lambda x: text_of(x)));
CREATE TEMP MACRO numbers_of(v) AS known_of(list_transform(parts_of(v), lambda x: number_of(x)));
CREATE TEMP MACRO is_there(v) AS
    coalesce(json_type(v) <> 'NULL' AND NOT (json_type(v) = 'ARRAY' AND json_array_length(v) = 0), false);

-- A text that two values share when they are equal, and only then: 1 and 1.0 are one number, "1" is none.
CREATE TEMP MACRO number_text(d) AS
    CASE WHEN d = trunc(d) AND abs(d) < 9.2e18 THEN CAST(CAST(d AS HUGEINT) AS VARCHAR) ELSE CAST(d AS VARCHAR) END;
CREATE TEMP MACRO key_of(x) AS CASE json_type(x) WHEN 'VARCHAR' THEN 't' || (x ->> '$')
    WHEN 'BOOLEAN' THEN 'f' || (x ->> '$') ELSE 'n' || number_text(number_of(x)) END;
CREATE TEMP MACRO folded_key_of(x) AS
    CASE json_type(x) WHEN 'VARCHAR' THEN 't' || fold_text(x ->> '$') ELSE key_of(x) END;
CREATE TEMP MACRO keys_of(v) AS known_of(list_transform(parts_of(v), lambda x: key_of(x)));
CREATE TEMP MACRO folded_keys_of(v) AS known_of(list_transform(parts_of(v), lambda x: folded_key_of(x)));

-- Sums are whole millionths, of numbers of at most 10^12.
CREATE TEMP MACRO amount_of(v) AS CASE WHEN abs(number_of(v)) > 1e12 THEN NULL
    WHEN json_type(v) = 'DOUBLE' THEN CAST(round_even(number_of(v) * 1e6, 0) AS HUGEINT)
    WHEN json_type(v) IN ('UBIGINT', 'BIGINT') THEN CAST(v ->> '$' AS HUGEINT) * 1000000 END;

-- What is kept of a value: a short text, a number, a flag, or a short list of them.
CREATE TEMP MACRO kept_one(x) AS CASE WHEN json_type(x) IN ('UBIGINT', 'BIGINT', 'DOUBLE', 'BOOLEAN')
    OR (json_type(x) = 'VARCHAR' AND length(x ->> '$') <= 1000) THEN x END;
CREATE TEMP MACRO kept_of(v) AS CASE WHEN json_type(v) <> 'ARRAY' THEN kept_one(CAST(v AS JSON))
    WHEN json_array_length(v) <= 100 AND len(known_of(list_transform(parts_of(v), lambda x: kept_one(x)))) > 0
    THEN to_json(known_of(list_transform(parts_of(v), lambda x: kept_one(x)))) END;

-- What an order is known by, and a ratio.
CREATE TEMP MACRO name_of(v) AS CASE WHEN kept_one(v) IS NOT NULL THEN key_of(v) END;
CREATE TEMP MACRO ratio_of(a, b) AS CASE WHEN number_of(b) <> 0 THEN number_of(a) / number_of(b) END;

-- What the items of an event have at a path: of one what stands there, of several all that do.
CREATE TEMP MACRO said_by_one(v) AS CASE WHEN v IS NULL OR json_type(v) = 'NULL' THEN CAST([] AS JSON[])
    ELSE parts_of(v) END;
CREATE TEMP MACRO said_by_items(goods, way) AS CASE WHEN len(goods) = 1 THEN json_extract(goods[1], way)
    WHEN len(goods) > 1
    THEN to_json(flatten(list_transform(goods, lambda good: said_by_one(json_extract(good, way))))) END;
"""


def teach(connection: DuckDBPyConnection) -> None:
    """Teach a connection every word that a condition in SQL may use; close it in the end, since it holds on to them."""
    create = cast("Callable[..., object]", cast("Any", connection).create_function)
    for one in _FUNCTIONS:
        create(*one)
    for one in (*_MAY_FAIL, *FUNCTIONS):
        create(*one, null_handling="special")
    connection.execute(_MACROS)
