"""What conditions and templates may read of a profile, by dotted path, at one instant.

`traits.NAME`, `user_id`, `known`, `zone`, `sessions.count`, `sessions.started`, `sessions.minutes`, `sessions.events`,
`interests.category.NAME`, `interests.tag.NAME`, `segments.ID`, `consent.PURPOSE`, `place`, `place.NAME`, `device.NAME`,
`local.hour`, `local.weekday`, `local.date`, `lists.ID`, `bucket.SALT`, `context.*` of the request, and what the site
works out: `computed.ID`, `scores.ID`, `scores.ID.band`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, cast

from bespeak.clock import MINUTE, Instant, format_time, zone_named
from bespeak.conditions.asking.visitor import Read
from bespeak.conditions.counting.aggregates import State
from bespeak.conditions.meaning.heads import local_part
from bespeak.conditions.values.fading import Fading
from bespeak.conditions.values.local import shown
from bespeak.ids import hash_v2
from bespeak.profiles.profile import Profile, Said
from bespeak.profiles.settings import ProfileSettings


class Look(Protocol):
    """Looks a state up by its key."""

    def __call__(self, key: str, /) -> State | None:
        """Return the state; None where no event has fed it."""
        ...


NOTHING_WORKED: Mapping[str, Read] = MappingProxyType({})
"""Of a site without computed traits and scores."""

EMPTY = Profile(id="")
"""Nobody: what a decision without consent, time or store sees. Never folded into."""


class View:
    """A profile seen at an instant, together with the context of a request. Reads; changes nothing."""

    __slots__ = ("at", "context", "profile", "settings", "state", "worked")

    def __init__(  # what is seen, and what it is seen with
        self,
        profile: Profile,
        at: Instant,
        settings: ProfileSettings,
        context: Mapping[str, Any] | None = None,
        worked: Mapping[str, Read] = NOTHING_WORKED,
    ) -> None:
        self.profile = profile
        self.at = at
        self.settings = settings
        self.context = context or {}
        self.worked = worked
        self.state: Look = profile.aggregates.get
        """Return the state of a declared aggregate, by its key; asked for by every condition, so no call in between."""

    def get(self, path: str) -> object:
        """Return the value at a dotted path; None when there is none."""
        head, _, rest = path.partition(".")
        read = self.readers.get(head)
        return None if read is None else read(self, rest)

    def _trait(self, rest: str) -> object:
        trait = self.profile.traits.get(rest)
        if trait is not None:
            return trait.value
        name, _, deeper = rest.partition(".")
        held = self.profile.traits.get(name)
        return None if held is None or not deeper else dig(held.value, deeper)

    def _context(self, rest: str) -> object:
        return dig(self.context, rest)

    def _sessions(self, rest: str) -> object:
        session = self.profile.session
        if rest == "count":
            return self.profile.sessions
        if session is None:
            return None
        if rest == "started":
            return format_time(session.started)
        return {"minutes": (session.ended - session.started) / MINUTE, "events": session.events}.get(rest)

    def fading(self, path: str) -> Fading | None:
        """Return the interest at a path such as `interests.category.shoes`; None when there is none."""
        _, _, rest = path.partition(".")
        kind, _, name = rest.partition(".")
        value = self.profile.interests.get(f"{kind}:{name}")
        return None if value is None else Fading(value.value, value.time, self.settings.interest_halflife)

    def _interest(self, rest: str) -> object:
        fading = self.fading("interests." + rest)
        return None if fading is None else fading.worth(self.at)

    def _zone(self, _rest: str) -> object:
        if self.profile.zone is not None:
            return self.profile.zone.name
        trait = self.profile.traits.get("timezone")
        if trait is not None and isinstance(trait.value, str) and zone_named(trait.value) is not None:
            return trait.value
        return self.settings.time_zone

    def _place(self, rest: str) -> object:
        return _said(self.profile.place, rest)

    def _device(self, rest: str) -> object:
        return _said(self.profile.device, rest)

    def _local(self, rest: str) -> object:
        part = local_part("local." + rest)
        return None if part is None else shown(part, self.at, self._zone(""))

    def _list(self, rest: str) -> object:
        held = self.profile.lists.get(rest)
        return held is not None and held.joined

    def _bucket(self, rest: str) -> object:
        """Deal the person into one of 10,000 buckets; nobody is in none."""
        return hash_v2(rest, self.profile.id) if self.profile.id else None

    def _segment(self, rest: str) -> object:
        return rest in self.profile.segments

    def _consent(self, rest: str) -> object:
        choice = self.profile.consent.get(rest)
        return None if choice is None else choice.granted

    def _user_id(self, _rest: str) -> object:
        return self.profile.user_id

    def _known(self, _rest: str) -> object:
        return self.profile.user_id is not None

    def _computed(self, rest: str) -> object:
        read = self.worked.get("computed." + rest)
        return None if read is None else read(self, self.at)

    def _score(self, rest: str) -> object:
        read = self.worked.get("scores." + rest)
        return None if read is None else read(self, self.at)

    readers: ClassVar[dict[str, Callable[[View, str], object]]] = {
        "traits": _trait,
        "context": _context,
        "sessions": _sessions,
        "interests": _interest,
        "segments": _segment,
        "consent": _consent,
        "user_id": _user_id,
        "known": _known,
        "zone": _zone,
        "place": _place,
        "device": _device,
        "local": _local,
        "lists": _list,
        "bucket": _bucket,
        "computed": _computed,
        "scores": _score,
    }


PATHS: tuple[str, ...] = tuple(View.readers)
"""The heads of the paths that a profile answers."""


def _said(held: Said | None, name: str) -> object:
    """Return what was said under a name; without one, all of it."""
    if held is None:
        return None
    return held.values.get(name) if name else dict(held.values)


def dig(value: object, path: str) -> object:
    """Follow a dotted path into nested mappings; None where it ends early."""
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = cast("Mapping[str, object]", value).get(name)
    return value
