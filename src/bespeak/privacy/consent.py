"""Consent by purpose: what a person allowed, since when, and how we know."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from bespeak.clock import Instant

Purpose: TypeAlias = str
"""`analytics` (store and count), `personalization` (build a profile, decide by it), or a site's own."""


class Choice(msgspec.Struct, frozen=True, array_like=True):
    """One purpose granted or denied, with the message that said so. The newest (time, message_id) wins."""

    granted: bool
    time: Instant
    message_id: str


class Admitted(msgspec.Struct, frozen=True):
    """The event may be kept and folded."""


class Refused(msgspec.Struct, frozen=True):
    """The event may not be kept; `reason` is a sentence for the sender."""

    purpose: Purpose
    reason: str


Admission = Admitted | Refused
