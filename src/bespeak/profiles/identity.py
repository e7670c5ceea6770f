"""Whose event it is, and which two profiles it joins.

Known beats anonymous, the surviving id is stable, old ids keep resolving, and two known people are never joined by
an event that merely carries both a device and a user (a shared computer): the device stays with the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from bespeak.events import Event
from bespeak.ids import ProfileId, anonymous_profile, user_profile
from bespeak.profiles.profile import Profile
from bespeak.profiles.settings import IdentitySettings

Aliases = Mapping[ProfileId, ProfileId]


class Identified(Protocol):
    """Whatever says who it is about."""

    @property
    def user_id(self) -> str | None:
        """The user id it names."""
        ...

    @property
    def anonymous_id(self) -> str | None:
        """The anonymous id it names."""
        ...


class Resolved(msgspec.Struct, frozen=True, gc=False):
    """The profile that an event is about; `claimed` is a user id that it names without proof."""

    profile: ProfileId
    claimed: str | None = None


class Unresolved(msgspec.Struct, frozen=True, gc=False):
    """It is about nobody; `reason` is a sentence for the sender."""

    reason: str


class Join(msgspec.Struct, frozen=True, gc=False):
    """`other` is the same person as `into`, and is taken into it."""

    into: ProfileId
    other: ProfileId


class Apart(msgspec.Struct, frozen=True, gc=False):
    """Nothing is joined; `reason` says why, or is empty when there is nothing to join."""

    reason: str = ""


def canonical(profile_id: ProfileId, aliases: Aliases) -> ProfileId:
    """Return the profile that an id resolves to: itself, unless it was merged away."""
    return aliases.get(profile_id, profile_id)


def names_of(event: Event) -> tuple[ProfileId, ...]:
    """Return every profile id that an event names: of the person, the device, and whom an `alias` says they were."""
    names = [] if event.user_id is None else [user_profile(event.user_id)]
    if event.anonymous_id is not None:
        names.append(anonymous_profile(event.anonymous_id))
    if event.previous_id is not None:
        names += [user_profile(event.previous_id), anonymous_profile(event.previous_id)]
    return tuple(names)


def resolve(event: Identified, aliases: Aliases, settings: IdentitySettings, *, signed: bool) -> Resolved | Unresolved:
    """Look up whose event it is; changes nothing."""
    trusted = signed or settings.unsigned == "merge"
    if event.user_id is not None and trusted:
        return Resolved(canonical(user_profile(event.user_id), aliases))
    if event.anonymous_id is not None:
        return Resolved(canonical(anonymous_profile(event.anonymous_id), aliases), claimed=event.user_id)
    if event.user_id is not None:
        return Unresolved(
            "userId is not proven: send userSignature, use the secret key, or set identity.unsigned = merge"
        )
    return Unresolved("neither userId nor anonymousId")


def joins(
    event: Event, aliases: Aliases, settings: IdentitySettings, known: Callable[[ProfileId], bool]
) -> Join | Apart:
    """Say which two profiles this event joins: the device's into the person's, or those that an `alias` names.

    `known` says whether a profile of that id is held.
    """
    if event.user_id is None or not (event.signed or settings.unsigned == "merge"):
        return Apart()
    into = canonical(user_profile(event.user_id), aliases)
    if event.type == "alias" and event.previous_id is not None:
        previous = user_profile(event.previous_id)
        person = canonical(previous, aliases)
        if person == into and previous in aliases:
            return Apart()
        if person != into and known(person):
            return _join_people(into, person, signed=event.signed)
        return _join_device(into, canonical(anonymous_profile(event.previous_id), aliases))
    if event.anonymous_id is None:
        return Apart()
    return _join_device(into, canonical(anonymous_profile(event.anonymous_id), aliases))


def _join_device(into: ProfileId, device: ProfileId) -> Join | Apart:
    if device == into:
        return Apart()
    if device.startswith("u:"):
        return Apart("the device belongs to another known person")
    return Join(into, device)


def _join_people(into: ProfileId, person: ProfileId, *, signed: bool) -> Join | Apart:
    if not signed:
        return Apart("two user ids are joined only with the secret key")
    return Join(into, person)


def within_bounds(into: Profile, other: Profile, settings: IdentitySettings) -> bool:
    """Say whether the joined person would stay within the bound of ids of each kind."""
    names = {*into.aliases, *other.aliases, other.id} - {into.id}
    devices = sum(1 for name in names if name.startswith("a:"))
    return max(devices, len(names) - devices) <= settings.aliases_max
