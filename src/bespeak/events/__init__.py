"""What happened: events, how they are read from the wire, and the names they go by.

`parse_batch` turns a request body into events; `vocabulary` holds the event names that mean something here.
"""

from __future__ import annotations

from bespeak.events import vocabulary
from bespeak.events.build import EventRejected
from bespeak.events.event import EVENT_TYPES, NAMES, Event, EventType
from bespeak.events.inflate import inflate
from bespeak.events.limits import EventLimits
from bespeak.events.parse import Parsed, Rejection, parse_batch, parse_message
from bespeak.events.vocabulary import ITEM_WEIGHTS, item_ids

__all__ = [
    "EVENT_TYPES",
    "ITEM_WEIGHTS",
    "NAMES",
    "Event",
    "EventLimits",
    "EventRejected",
    "EventType",
    "Parsed",
    "Rejection",
    "inflate",
    "item_ids",
    "parse_batch",
    "parse_message",
    "vocabulary",
]
