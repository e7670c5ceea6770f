"""The town's people: who they are, what they like, when they come, what they allow."""

from __future__ import annotations

from random import Random
from typing import Literal

import msgspec

from bespeak.testing.world_words import COLOURS, COUNTRIES, FIRST_NAMES, KINDS, STYLES, Kind

ConsentHabit = Literal["granted", "denied", "unasked"]
LoginHabit = Literal["never", "at_order", "at_visit"]

_STYLES = tuple(sorted(STYLES))
_FAMILIES = tuple(sorted({colour.family for colour in COLOURS}))
_BY_KEY = {kind.key: kind for kind in KINDS}
_AGENTS = {
    "desktop": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36",
    "mobile": "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36",
    "tablet": "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1",
}


class Device(msgspec.Struct, frozen=True):
    """A device that somebody shops with; `anonymous_id` is what its tracker would keep in a cookie."""

    anonymous_id: str
    type: str
    user_agent: str


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One of the town's people. What is here is the truth; the engine gets to see only what they do.

    Parameters
    ----------
    user_id, email
        Who they say they are once they log in; None for those who never do.
    categories, styles, families
        Latent affinity, 0 to 1, by category, style tag and colour family.
    price_level
        Where they like prices to be: standard deviations from the median of a category.
    budget
        Most that they spend on one order, in euro.
    hour
        Hour of the day around which they come (0 to 24, local to them).
    visits_per_day, pages_per_visit
        Mean rates.
    consent
        What they answer to the banner; `unasked` clicks it away.
    """

    id: str
    first_name: str
    user_id: str | None
    email: str | None
    login: LoginHabit
    devices: tuple[Device, ...]
    country: str
    locale: str
    timezone: str
    consent: ConsentHabit
    categories: dict[str, float]
    styles: dict[str, float]
    families: dict[str, float]
    price_level: float
    budget: float
    hour: float
    visits_per_day: float
    pages_per_visit: float


def make_person(place: int, *, seed: int, rng: Random) -> Person:
    """Make one person; about 8 % deny personalization, 45 % never log in, a quarter shop on two devices."""
    login: LoginHabit = rng.choices(("never", "at_order", "at_visit"), (45, 30, 25))[0]
    name = rng.choice(FIRST_NAMES)
    known = login != "never"
    country, locale, timezone, _ = rng.choices(COUNTRIES, [row[3] for row in COUNTRIES])[0]
    consent: ConsentHabit = rng.choices(("granted", "denied", "unasked"), (84, 8, 8))[0]
    return Person(
        id=f"p{place:05d}",
        first_name=name,
        user_id=f"customer-{place:05d}" if known else None,
        email=f"{name.lower()}.{place:05d}@example.com" if known else None,
        login=login,
        devices=_devices(place, seed, rng),
        country=country,
        locale=locale,
        timezone=timezone,
        consent=consent,
        categories=_category_affinities(rng),
        styles=_style_affinities(rng),
        families={family: rng.uniform(0.3, 1.0) for family in _FAMILIES},
        price_level=rng.gauss(0.0, 0.8),
        budget=rng.lognormvariate(5.0, 0.6),
        hour=rng.gauss(18.5, 3.0) % 24,
        visits_per_day=min(1.5, rng.lognormvariate(-2.6, 0.8)),
        pages_per_visit=rng.uniform(1.5, 5.0),
    )


def _devices(place: int, seed: int, rng: Random) -> tuple[Device, ...]:
    types = rng.sample(("mobile", "desktop", "tablet"), 2 if rng.random() < 0.25 else 1)
    return tuple(Device(f"w{seed}-{place:05d}-{kind}", kind, _AGENTS[kind]) for kind in types)


def _category_affinities(rng: Random) -> dict[str, float]:
    """Return one to three favourites, mostly companions of the first, over a faint liking for the rest."""
    liking = {kind.key: rng.uniform(0.02, 0.1) for kind in KINDS}
    first: Kind = rng.choices(KINDS, [kind.appeal for kind in KINDS])[0]
    liking[first.key] = 1.0
    for low, high in ((0.5, 0.85), (0.25, 0.5))[: rng.choices((0, 1, 2), (20, 45, 35))[0]]:
        other = rng.choice(first.companions) if rng.random() < 0.7 else rng.choice(KINDS).key
        liking[other] = max(liking[_BY_KEY[other].key], rng.uniform(low, high))
    return liking


def _style_affinities(rng: Random) -> dict[str, float]:
    """Return two loved styles, two that leave the person cold, and the rest between."""
    order = rng.sample(_STYLES, len(_STYLES))
    liking = {style: rng.uniform(0.2, 0.45) for style in order}
    liking[order[0]], liking[order[1]] = 1.0, rng.uniform(0.7, 0.95)
    liking[order[-1]] = liking[order[-2]] = 0.05
    return liking
