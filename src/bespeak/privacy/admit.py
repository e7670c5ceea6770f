"""May this event be kept? Asked once an event, before it gets its offset."""

from __future__ import annotations

from collections.abc import Mapping

from bespeak.events.event import Event
from bespeak.events.vocabulary import LIST_LEFT, OUR_SOURCE
from bespeak.privacy.consent import (
    CONSENT_EVENT,
    PERSONALIZATION,
    Admission,
    Admitted,
    Choice,
    PrivacySettings,
    Purpose,
    Refused,
    categories_of,
    stated,
    verdict,
)

_ADMITTED = Admitted()

_OWN = "the event's own context denies"
_DENIED = "this person has denied"
_SILENT = "nobody has given"


def is_consent_event(event: Event) -> bool:
    """Say whether the event is the one by which a person's choices reach us."""
    return event.name == CONSENT_EVENT and event.type == "track"


def _takes_off(event: Event) -> bool:
    """Say whether it is the owner who takes somebody off a list, which needs nobody's consent."""
    return event.name == LIST_LEFT and event.source == OUR_SOURCE


def purpose_of(event: Event, settings: PrivacySettings) -> Purpose:
    """Return the purpose that an event is collected for.

    Examples
    --------
    >>> seen = Event(type="page", name="Page Viewed", message_id="m1", time=0, received=0)
    >>> purpose_of(seen, PrivacySettings(events={"Page Viewed": "analytics"}))
    'analytics'
    """
    return settings.events.get(event.name, PERSONALIZATION)


def admit(event: Event, consent: Mapping[Purpose, Choice], settings: PrivacySettings) -> Admission:
    """Admit an event, or refuse it with the purpose that is missing and a sentence.

    What the event itself says comes first: stamped with a denial it is refused even where the profile holds a
    grant (the banner knows better than we do), and stamped with a grant it is admitted even where the profile
    holds none yet. A consent event is always admitted: it is how a 'no' reaches us.

    Parameters
    ----------
    consent
        What the person's profile holds; `{}` for somebody new.

    Examples
    --------
    >>> seen = Event(type="page", name="Page Viewed", message_id="m1", time=0, received=0)
    >>> admit(seen, {}, PrivacySettings())
    Admitted()
    >>> admit(seen, {}, PrivacySettings(mode="opt_in")).reason
    "nobody has given consent to 'personalization', which 'Page Viewed' is collected for"
    """
    if not consent and not event.context and settings.mode == "opt_out":
        return _ADMITTED
    if is_consent_event(event) or _takes_off(event):
        return _ADMITTED
    purpose = purpose_of(event, settings)
    preferences = stated(event)
    if preferences is not None:
        own = _own(preferences, purpose, settings)
        if own is not None:
            return _ADMITTED if own else Refused(purpose, _reason(event, purpose, _OWN))
    allowed = verdict(consent, purpose, settings)
    if allowed or (allowed is None and settings.mode == "opt_out"):
        return _ADMITTED
    return Refused(purpose, _reason(event, purpose, _SILENT if allowed is None else _DENIED))


def _reason(event: Event, purpose: Purpose, who: str) -> str:
    return f"{who} consent to {purpose!r}, which {event.name!r} is collected for"


def _own(preferences: Mapping[str, object], purpose: Purpose, settings: PrivacySettings) -> bool | None:
    """Return what an event's own context says about a purpose; None when it does not mention it."""
    if not preferences:
        return False
    categories = categories_of(purpose, settings)
    if not any(name in preferences for name in categories):
        return None
    return all(preferences.get(name) is True for name in categories)
