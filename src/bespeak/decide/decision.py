"""What is asked for a page, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bespeak.clock import Instant
from bespeak.recommend.scored import Scored

MAX_SLOTS = 100
MAX_ITEMS = 200


class SlotRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One place on the page.

    Parameters
    ----------
    id
        Name of the slot; blocks and rules refer to it.
    n
        How many items, 0 to 200. Default: 0 where a content block names this slot, else 10.
    item
        The item that the page is about: it is scored as the newest thing the person looked at, and left out.
    category
        Only items of this category.
    exclude
        Item ids that the page shows already.
    """

    id: str
    n: int | None = None
    item: str | None = None
    category: str | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.id) <= 100:
            raise ValueError("slot id must have 1 to 100 characters")
        if self.n is not None and not 0 <= self.n <= MAX_ITEMS:
            raise ValueError(f"slot {self.id!r}: n must be 0 to {MAX_ITEMS}, got {self.n}")


class DecideRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Body of `POST /v1/decide`. `events` are in Segment's wire shape and are folded first."""

    user_id: str | None = None
    anonymous_id: str | None = None
    user_signature: str | None = None
    slots: tuple[SlotRequest, ...] = ()
    context: dict[str, Any] = {}
    events: tuple[msgspec.Raw, ...] = ()
    durable: bool = False
    explain: bool = False

    def __post_init__(self) -> None:
        if len(self.slots) > MAX_SLOTS:
            raise ValueError(f"a decision has at most {MAX_SLOTS} slots, got {len(self.slots)}")
        if len({slot.id for slot in self.slots}) != len(self.slots):
            raise ValueError("slot ids must be unique within a decision")


class BlockAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The content of a slot: rendered HTML, which block and version, and why this one."""

    block: str
    version: int
    html: str
    reason: str
    fallback: bool = False


class SlotAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The answer for one slot; `reason` says in a sentence what it rests on."""

    reason: str
    items: tuple[Scored, ...] = ()
    content: BlockAnswer | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The answer for one page.

    Parameters
    ----------
    experiments
        Variant key by experiment key.
    personalized
        False when the profile was not used: no consent, nobody known, no time left or no store.
    reasons
        Only with `explain`: the live profile, segments with their reasons, experiments, rules, milliseconds by step.
    """

    decision_id: str
    at: Instant
    slots: Mapping[str, SlotAnswer]
    segments: tuple[str, ...] = ()
    stage: str | None = None
    experiments: Mapping[str, str] = {}
    personalized: bool = True
    reason: str = ""
    reasons: Mapping[str, Any] | None = None
