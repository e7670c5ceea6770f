"""The bounds of what one sender may put on the wire, each a setting."""

from __future__ import annotations

import msgspec

from bespeak.clock import SECOND, Duration

_RANGES: dict[str, tuple[int, int]] = {
    "event_bytes": (256, 1 << 20),
    "batch_bytes": (256, 64 << 20),
    "batch_events": (1, 100_000),
    "expanded_bytes": (256, 256 << 20),
    "properties": (1, 10_000),
    "depth": (1, 16),
    "name_length": (1, 10_000),
    "id_length": (1, 10_000),
    "message_id_length": (1, 1_000),
    "future_seconds": (0, 86_400),
}


class EventLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bounds of incoming events. One that is over a bound of its own is rejected alone; a body is refused whole.

    Parameters
    ----------
    event_bytes
        Bytes of one event as it was sent (256 to 1 MiB).
    batch_bytes
        Bytes of one request body, after decompression (256 to 64 MiB).
    batch_events
        Events in one request (1 to 100,000).
    expanded_bytes
        Bytes of a batch once its batch-level `context` and `integrations` stand in every event: without it,
        a small body would write a large log.
    properties
        Members of `properties` or `traits` at their top (1 to 10,000).
    depth
        Levels of `properties`, `traits` and `context`, themselves included (1 to 16).
    name_length
        Characters of an event name.
    id_length
        Characters of a user, anonymous, previous or group id.
    message_id_length
        Characters of a message id.
    future_seconds
        How far after its arrival an event may say it happened; beyond, the time is clamped and the original kept.

    Raises
    ------
    ValueError
        A bound is out of its range (from the wire: `msgspec.ValidationError`).

    Examples
    --------
    >>> EventLimits(depth=0)
    Traceback (most recent call last):
        ...
    ValueError: events.depth must be 1 to 16, got 0
    """

    event_bytes: int = 32 * 1024
    batch_bytes: int = 500 * 1024
    batch_events: int = 2_500
    expanded_bytes: int = 4 * 1024 * 1024
    properties: int = 255
    depth: int = 8
    name_length: int = 200
    id_length: int = 200
    message_id_length: int = 100
    future_seconds: int = 60

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value: int = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"events.{name} must be {low:,} to {high:,}, got {value:,}")

    @property
    def future(self) -> Duration:
        """`future_seconds` as a duration in microseconds."""
        return self.future_seconds * SECOND
