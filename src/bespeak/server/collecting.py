"""The garbage collector, kept from looking at everything again and again.

A full collection looks at every object there is: with tens of thousands of profiles in RAM that takes some tenths of a
second, in which nobody is answered, and it comes the more often the more events do. What has lived for some seconds is
therefore put aside, where no collection looks at it; it goes as ever when nothing refers to it any more. Only what
refers to itself in a circle needs the collector, and for that all is looked at once a day. And what is young is
looked at when there is more of it than Python waits for: a batch of events alone makes some hundred objects, nearly
all of which go by themselves when it is answered.
"""

from __future__ import annotations

import asyncio
import gc

PUT_ASIDE_SECONDS = 10.0
"""How often what has lived so long is put aside."""

YOUNG = 5_000
"""New objects, less those gone, after which the young ones are looked at: half a millisecond. Python's own is 700."""

NEVER_ALL = 1_000_000_000
"""After so many collections of what is not quite young, Python itself looks at everything: never."""

ALL_EVERY = 8_640
"""After how many times everything is looked at: once a day."""


def put_aside(*, everything: bool) -> None:
    """Collect young garbage (all garbage, if `everything`) and put aside what is left."""
    if everything:
        gc.unfreeze()
        gc.collect()
    else:
        gc.collect(1)
    gc.freeze()


async def keep_aside() -> None:
    """Put aside what lives, and look at young objects more rarely, for as long as it runs; then all is as before."""
    before = gc.get_threshold()
    gc.set_threshold(YOUNG, 10, NEVER_ALL)
    try:
        times = 0
        while True:
            await asyncio.sleep(PUT_ASIDE_SECONDS)
            times += 1
            put_aside(everything=times % ALL_EVERY == 0)
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
