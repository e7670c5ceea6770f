"""The bounds of one import."""

from __future__ import annotations

import msgspec

_LARGEST = 2**40


class ImportLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one import holds at most. Its records stand in memory, packed, while they are put in order of time.

    Parameters
    ----------
    records
        Records of one import; each takes 40 bytes besides its own.
    record_bytes
        Bytes of all records together, packed.
    items
        Different items, and rows of a table that is looked up.
    line_bytes
        Characters of one line; a longer one is rejected.
    group_rows
        Rows that one event may be made of.
    event_bytes
        Bytes of one event. An order of a thousand lines is no rare thing in a file, so it is more than by wire.
    """

    records: int = 5_000_000
    record_bytes: int = 2 * 1024**3
    items: int = 1_000_000
    line_bytes: int = 1024**2
    group_rows: int = 10_000
    event_bytes: int = 1024**2

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value: int = getattr(self, name)
            if not 1 <= value <= _LARGEST:
                raise ValueError(f"import limit {name} must be 1 to {_LARGEST:,}, got {value:,}")
