"""Where in a string of a condition something is wrong, and what would do: dates, versions, patterns."""

from __future__ import annotations

from typing import cast

from bespeak.conditions.values.moments import NoMoment
from bespeak.conditions.values.patterns import SYNTAX, NoPattern
from bespeak.conditions.values.versions import version_key


def read_version(text: str) -> None:
    """Refuse a text that is no version, by a ValueError."""
    if version_key(text) is None:
        raise ValueError(text)


def place_of_version(error: Exception) -> tuple[int, str, str, str]:
    """Say what is wrong with a version."""
    return 0, "a version such as 2.10.0 or 1.0.0-rc.1", f"`{str(error)[:40]}`", ""


def place_of_date(error: Exception) -> tuple[int, str, str, str]:
    """Say what is wrong with a date."""
    place = cast("NoMoment", error)
    return place.offset, place.expected, place.found, place.remedy


def place_of_pattern(error: Exception) -> tuple[int, str, str, str]:
    """Say what is wrong with a pattern."""
    place = cast("NoPattern", error)
    return place.offset, SYNTAX, place.found, place.problem
