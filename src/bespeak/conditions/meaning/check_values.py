"""What texts in a condition must be that stand for something else: dates, versions, patterns."""

from __future__ import annotations

from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.values.moments import NoMoment, read_instant, read_moment
from bespeak.conditions.values.patterns import SYNTAX, NoPattern, full_match
from bespeak.conditions.values.versions import version_key


def check_instant(text: str) -> int:
    """Return the instant of a text; refuse one that is none.

    Raises
    ------
    Misfit
        Says where, and what would do.
    """
    try:
        return read_instant(text)
    except NoMoment as error:
        raise Misfit("date", error.expected, error.found, error.remedy) from None


def check_moment(expr: str) -> None:
    """Refuse a text that is no date math.

    Raises
    ------
    Misfit
        Says where, and what would do.
    """
    try:
        read_moment(expr)
    except NoMoment as error:
        where = f"date, character {error.offset + 1}"
        raise Misfit(where, error.expected, error.found, error.remedy) from None


def check_version(text: str) -> None:
    """Refuse a text that is no version.

    Raises
    ------
    Misfit
        Says where, and what would do.
    """
    if version_key(text) is None:
        raise Misfit("version", "a version such as 2.10.0 or 1.0.0-rc.1", repr(text)[:80])


def check_pattern(pattern: str) -> None:
    """Refuse a text that is no pattern.

    Raises
    ------
    Misfit
        Says where, and what would do.
    """
    try:
        full_match(pattern)
    except NoPattern as error:
        raise Misfit(f"pattern, character {error.offset + 1}", SYNTAX, error.found, error.problem) from None
