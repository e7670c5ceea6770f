"""The settings of decisions."""

from __future__ import annotations

import msgspec


class DecideSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a decision may take, and what it leaves behind.

    Parameters
    ----------
    deadline_ms
        Milliseconds after which the slots that are left get their default content (1 to 10,000).
    items_default
        Items of a slot that neither says how many nor has a content block (0 to 200).
    record
        Whether each decision is written to the log as the event `Decision Made`, with source, scores, variant and
        propensity: experiments, exposure and training need it.
    """

    deadline_ms: float = 250.0
    items_default: int = 10
    record: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.deadline_ms <= 10_000:
            raise ValueError(f"decide.deadline_ms must be 1 to 10,000, got {self.deadline_ms}")
        if not 0 <= self.items_default <= 200:
            raise ValueError(f"decide.items_default must be 0 to 200, got {self.items_default}")
