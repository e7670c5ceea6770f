"""What an event costs as segments become many, of which the same number depend on it; and what they take of a profile.

Segments come in groups of ten kinds, each group about an event of its own name. With ten segments there is one group,
with a thousand there are a hundred: any event concerns ten.
"""

from __future__ import annotations

import gc
import time
from random import Random

import msgspec

from bespeak.clock import DAY, SECOND, Instant, ManualClock
from bespeak.engine import Definition, Engine
from bespeak.engine.encoded import encode_profile
from bespeak.events import Event
from bespeak.settings import Settings
from bespeak.stores import MemorySettings
from bespeak.testing.bench_fold import take_all

SEED = 11
PEOPLE = 1_000
GROUP = 10

_TEXTS = (
    'count("{event}", last 7 days) >= 3',
    'count("{event}", last 30 days) >= 10',
    'count("{event}") >= 20',
    'count("{event}" where properties.price > 100, last 14 days) >= 2',
    'sum(properties.price of "{event}", last 30 days) > 900',
    'max(properties.price of "{event}", last 30 days) >= 190',
    'performed("{event}", last 3 days) and not performed("{event}" where properties.price < 50, last 3 days)',
    'not performed("{event}", last 10 days)',
    'last(properties.category of "{event}") = "category-3"',
    'distinct(properties.category of "{event}", last 30 days) >= 4',
)


class Cost(msgspec.Struct, frozen=True):
    """What a number of segments cost.

    Parameters
    ----------
    us_an_event
        Microseconds of CPU from a parsed event to profile and segments.
    bytes_a_profile
        A profile as it is written, before it is packed, on average.
    """

    segments: int
    us_an_event: float
    bytes_a_profile: float


def grouped(count: int) -> tuple[Definition, ...]:
    """Return so many segments, ten about each event."""
    found: list[Definition] = []
    for place in range(count):
        text = _TEXTS[place % GROUP].format(event=_name(place // GROUP))
        body = {"id": f"segment-{place}", "condition": text}
        found.append(Definition(kind="segments", id=f"segment-{place}", body=body, source="bench"))
    return tuple(found)


def happened(events: int, groups: int, start: Instant) -> list[Event]:
    """Return events of a thousand people, each of one of so many groups, some seconds apart."""
    rng = Random(SEED)
    found: list[Event] = []
    for place in range(events):
        group, person, price = rng.randrange(groups), rng.randrange(PEOPLE), rng.randrange(200)
        found.append(
            Event(
                type="track",
                name=_name(group),
                message_id=f"m{place}",
                time=start + place * 20 * SECOND,
                received=start + place * 20 * SECOND,
                anonymous_id=f"device-{person}",
                properties={"price": price, "category": f"category-{price % 40}"},
            )
        )
    return found


async def segment_cost(count: int, events: int, start: Instant, *, groups: int | None = None) -> Cost:
    """Fold and classify events under so many segments.

    Parameters
    ----------
    groups
        Events are of so many names; by default of all those that the segments ask for.
    """
    end = start + events * 20 * SECOND + DAY
    engine = Engine.open(Settings(store=MemorySettings()), clock=ManualClock(end), rng=Random(0))
    await engine.start()
    await engine.apply(grouped(count))
    given = happened(events, groups or count // GROUP, start)
    gc.collect()
    began = time.process_time()
    take_all(engine, given)
    took = time.process_time() - began
    sizes = [len(encode_profile(profile)) for profile in engine.profiles()]
    await engine.close()
    return Cost(count, took * 1e6 / events, sum(sizes) / len(sizes))


def _name(group: int) -> str:
    return f"Event {group}"
