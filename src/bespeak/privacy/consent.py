"""Consent by purpose: what a person allowed, since when, and how we know.

What a person said is kept under the names that the site's consent banner uses (Segment calls them
categories); which purpose a name stands for is a setting, read when the question is asked. So a changed
map needs no replay, and folding an event needs no settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, cast

import msgspec

from bespeak.clock import MINUTE, Duration, Instant
from bespeak.errors import SettingsError
from bespeak.events.event import Event
from bespeak.events.vocabulary import CONSENT_UPDATED

Purpose: TypeAlias = str
"""`analytics` (store and count), `personalization` (build a profile, decide by it), or a site's own."""

ANALYTICS: Purpose = "analytics"
PERSONALIZATION: Purpose = "personalization"

EVERYTHING: Purpose = "*"
"""The name under which 'nothing at all' is kept: an empty `categoryPreferences` denies every purpose."""

CONSENT_EVENT = CONSENT_UPDATED
"""The track event by which a person's choices reach us; it is always admitted."""

CATEGORIES_MAX = 50
"""Categories read from one event; a consent banner has about five. Further ones are not read."""

CATEGORY_LENGTH_MAX = 100
"""Characters of a category's name; a longer one is not read."""

REPEATED_WITHIN: Duration = MINUTE
"""How long what a person has said about consent need not be kept again."""


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


Admission: TypeAlias = Admitted | Refused


class PrivacySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which purposes there are, what each event is collected for, and what silence means.

    Parameters
    ----------
    mode
        `opt_out`: allowed until the person denies. `opt_in`: denied until the person grants.
    purposes
        The purposes that exist; `personalization` is always one of them, since profiles are built for it.
    events
        Event name to the purpose that it is collected for; what is not named is for `personalization`.
    categories
        The consent banner's category name to the purpose that it stands for. A purpose that no category names is
        its own category. A purpose with several categories is granted when all of them are.

    Raises
    ------
    SettingsError
        A purpose is named that does not exist, or `personalization` is missing.

    Examples
    --------
    >>> PrivacySettings(mode="opt_in", categories={"C0002": "analytics", "C0004": "personalization"}).mode
    'opt_in'
    """

    mode: Literal["opt_out", "opt_in"] = "opt_out"
    purposes: tuple[Purpose, ...] = (ANALYTICS, PERSONALIZATION)
    events: Mapping[str, Purpose] = {}
    categories: Mapping[str, Purpose] = {}

    def __post_init__(self) -> None:
        if PERSONALIZATION not in self.purposes:
            raise SettingsError(f"privacy.purposes: expected {PERSONALIZATION!r} among them, got {list(self.purposes)}")
        for field, mapping in (("events", self.events), ("categories", self.categories)):
            for name, purpose in mapping.items():
                if purpose not in self.purposes:
                    raise SettingsError(
                        f"privacy.{field}[{name!r}]: expected one of {list(self.purposes)}, got {purpose!r};"
                        " name it in privacy.purposes, or choose one that is there",
                    )


def stated(event: Event) -> Mapping[str, object] | None:
    """Return the `context.consent.categoryPreferences` of an event, as it stands; None when it says nothing."""
    if "consent" not in event.context:
        return None
    consent: object = event.context["consent"]
    if not isinstance(consent, dict):
        return None
    preferences = cast("dict[str, object]", consent).get("categoryPreferences")
    return cast("dict[str, object]", preferences) if isinstance(preferences, dict) else None


def consent_choices(event: Event) -> tuple[tuple[Purpose, Choice], ...]:
    """Return what the event says about consent, by category: nothing, some, or 'no' to everything.

    Segment's rules: no consent object is no statement; an empty one denies every purpose. Only the JSON value
    `true` grants: anything else, the text "true" included, is not a yes.

    Examples
    --------
    >>> context = {"consent": {"categoryPreferences": {"personalization": False}}}
    >>> event = Event(type="track", name="Product Viewed", message_id="m1", time=5, received=5, context=context)
    >>> consent_choices(event)
    (('personalization', Choice(granted=False, time=5, message_id='m1')),)
    """
    if not event.context:
        return ()
    preferences = stated(event)
    if preferences is None:
        return ()
    if not preferences:
        no = Choice(granted=False, time=event.time, message_id=event.message_id)
        return ((ANALYTICS, no), (PERSONALIZATION, no), (EVERYTHING, no))
    return tuple(
        (name, Choice(granted=granted, time=event.time, message_id=event.message_id))
        for name, granted in _read(preferences).items()
    )


def consent_only(event: Event) -> Event | None:
    """Return a consent event that says what this event says about consent, and nothing else; None when it is silent.

    A refused event leaves no trace, but the 'no' that it was stamped with must not be lost with it: this is what may
    be kept in its place. Name, properties and the rest of its context are left out; who, when and the message's id
    stay.
    """
    preferences = stated(event)
    if preferences is None:
        return None
    said = _read(preferences)
    if preferences and not said:
        return None
    return Event(
        type="track",
        name=CONSENT_EVENT,
        message_id=event.message_id,
        time=event.time,
        received=event.received,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        context={"consent": {"categoryPreferences": said}},
        source=event.source,
        signed=event.signed,
        original_time=event.original_time,
    )


def repeats(event: Event, consent: Mapping[Purpose, Choice]) -> bool:
    """Say whether an event says about consent only what is held already, said at most a minute before (or later).

    A page that goes on sending after a 'no' would else have it kept with every event. Not for longer than a minute: a
    'yes' from between two times 'no', on its way for long, must find the second one.

    Examples
    --------
    >>> context = {"consent": {"categoryPreferences": {"personalization": False}}}
    >>> event = Event(type="track", name="Product Viewed", message_id="m2", time=5, received=5, context=context)
    >>> repeats(event, {"personalization": Choice(False, 4, "m1")}), repeats(event, {})
    (True, False)
    """
    choices = consent_choices(event)
    return bool(choices) and all(
        (held := consent.get(name)) is not None
        and held.granted == choice.granted
        and choice.time - held.time < REPEATED_WITHIN
        for name, choice in choices
    )


def _read(preferences: Mapping[str, object]) -> dict[str, bool]:
    """Return the categories within their bounds, granted or not."""
    names = [name for name in preferences if len(name) <= CATEGORY_LENGTH_MAX]
    return {name: preferences[name] is True for name in names[:CATEGORIES_MAX]}


def categories_of(purpose: Purpose, settings: PrivacySettings) -> tuple[str, ...]:
    """Return the categories that must all be granted for a purpose; its own name when none is mapped to it."""
    mapped = tuple(name for name, meant in settings.categories.items() if meant == purpose)
    return mapped or (purpose,)


def verdict(consent: Mapping[Purpose, Choice], purpose: Purpose, settings: PrivacySettings) -> bool | None:
    """Return what a person has said about a purpose; None when nothing.

    Of a choice about it and a 'no' to everything the newer counts. Of several categories one denied is enough to
    deny, and one never mentioned counts as denied as soon as another was mentioned.
    """
    if not consent:
        return None
    everything = consent.get(EVERYTHING)
    found = [_newer(consent.get(name), everything) for name in categories_of(purpose, settings)]
    if not any(found):
        return None
    return all(choice is not None and choice.granted for choice in found)


def may(consent: Mapping[Purpose, Choice], purpose: Purpose, settings: PrivacySettings) -> bool:
    """Say whether a person's data may be used for a purpose; where the person has said nothing, the mode decides.

    Examples
    --------
    >>> may({}, "personalization", PrivacySettings()), may({}, "personalization", PrivacySettings(mode="opt_in"))
    (True, False)
    """
    said = verdict(consent, purpose, settings)
    return settings.mode == "opt_out" if said is None else said


def _newer(choice: Choice | None, everything: Choice | None) -> Choice | None:
    if choice is None or everything is None:
        return choice or everything
    return max(choice, everything, key=lambda held: (held.time, held.message_id))
