"""The settings of profiles and identity."""

from __future__ import annotations

from typing import Literal

import msgspec

from bespeak.clock import DAY, HOUR, MINUTE, Duration, zone_named


class IdentitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may say who somebody is.

    Parameters
    ----------
    unsigned
        What an `identify` by write key does when its user id is not proven by a `userSignature`: `merge` joins
        the device to that person at once, as Segment does; `claim` keeps it on the device's own profile.
    aliases_max
        How many anonymous ids, and how many other user ids, one person may have (1 to 1,000).
    """

    unsigned: Literal["merge", "claim"] = "merge"
    aliases_max: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.aliases_max <= 1_000:
            raise ValueError(f"identity.aliases_max must be 1 to 1,000, got {self.aliases_max}")


class ProfileSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a profile holds, and how fast it forgets.

    Parameters
    ----------
    traits_max
        Traits of one person (1 to 10,000); further ones are ignored.
    names_max
        Event names counted for one person (10 to 100,000); further names are not.
    recent_max
        Recent events kept (10 to 100,000): sessions and recommenders read them.
    items_max
        Bought and hidden items kept, each (10 to 100,000); the oldest go first.
    interests_max
        Interests kept (10 to 10,000); the weakest go first.
    interest_halflife_days
        Time in which an interest loses half its weight.
    session_gap_minutes
        A pause this long ends a session.
    late_hours
        The allowed delay, judged against the profile's newest event: later ones count in 'ever' aggregates only.
    time_zone
        The time zone of people of whom neither a device (`context.timezone`) nor a trait (`traits.timezone`) names one:
        their days, weeks and months begin there. A name of the tz database, such as `Europe/Vienna`. Set to another,
        the next start asks again whoever that may move.
    live_max
        Profiles kept in RAM (100 or more); the others rest in the store.
    """

    traits_max: int = 200
    names_max: int = 1_000
    recent_max: int = 1_000
    items_max: int = 1_000
    interests_max: int = 200
    interest_halflife_days: float = 14.0
    session_gap_minutes: float = 30.0
    late_hours: float = 24.0
    time_zone: str = "UTC"
    live_max: int = 50_000

    def __post_init__(self) -> None:
        for name, low, high in (
            ("traits_max", 1, 10_000),
            ("names_max", 10, 100_000),
            ("recent_max", 10, 100_000),
            ("items_max", 10, 100_000),
            ("interests_max", 10, 10_000),
            ("interest_halflife_days", 0.01, 3_650),
            ("session_gap_minutes", 0.1, 1_440),
            ("late_hours", 0, 8_760),
            ("live_max", 100, 10_000_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"profiles.{name} must be {low:,} to {high:,}, got {value}")
        if zone_named(self.time_zone) is None:
            raise ValueError(f"profiles.time_zone must be a name such as Europe/Vienna, got {self.time_zone!r}")

    @property
    def session_gap(self) -> Duration:
        """The pause that ends a session, in microseconds."""
        return round(self.session_gap_minutes * MINUTE)

    @property
    def delay(self) -> Duration:
        """The allowed delay in microseconds."""
        return round(self.late_hours * HOUR)

    @property
    def interest_halflife(self) -> Duration:
        """The half-life of an interest in microseconds."""
        return round(self.interest_halflife_days * DAY)
