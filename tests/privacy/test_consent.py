from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bespeak.errors import SettingsError
from bespeak.events.event import Event
from bespeak.privacy import (
    CONSENT_EVENT,
    Admitted,
    Choice,
    PrivacySettings,
    Refused,
    admit,
    consent_choices,
    consent_only,
    may,
    purpose_of,
)

OPT_OUT = PrivacySettings()
OPT_IN = PrivacySettings(mode="opt_in")
SITE = PrivacySettings(
    purposes=("analytics", "personalization", "necessary"),
    events={"Order Completed": "necessary", "Page Viewed": "analytics"},
    categories={"C0002": "analytics", "C0003": "personalization", "C0004": "personalization"},
)
MISSING = object()


def event(name="Product Viewed", preferences=MISSING, at=100, message_id="m1", **context):
    if preferences is not MISSING:
        context["consent"] = {"categoryPreferences": preferences}
    return Event(type="track", name=name, message_id=message_id, time=at, received=at, context=context)


def held(at=1, **choices):
    return {purpose: Choice(granted, at, "old") for purpose, granted in choices.items()}


def folded(*events):
    """What a profile holds after these events: of each name the newest choice."""
    consent = {}
    for name, choice in itertools.chain.from_iterable(map(consent_choices, events)):
        if name not in consent or (choice.time, choice.message_id) > (consent[name].time, consent[name].message_id):
            consent[name] = choice
    return consent


NAMES = st.sampled_from(["analytics", "personalization", "newsletter", "C1", "C2"])
PREFERENCES = st.none() | st.dictionaries(NAMES, st.booleans(), max_size=4)


# What an event says


def test_a_missing_consent_object_says_nothing():
    assert consent_choices(event()) == ()
    assert consent_choices(event(page={"url": "https://example.org"})) == ()
    assert consent_choices(event(consent={})) == ()
    assert consent_choices(event(consent={"provider": "banner"})) == ()
    assert consent_choices(event(consent=None)) == ()
    assert consent_choices(event(consent=["personalization"])) == ()
    assert consent_choices(event(preferences=None)) == ()


def test_categories_are_kept_under_the_banners_own_names():
    said = consent_choices(event(preferences={"C0002": True, "C0004": False}, at=7, message_id="m9"))
    assert said == (("C0002", Choice(granted=True, time=7, message_id="m9")), ("C0004", Choice(False, 7, "m9")))


@pytest.mark.parametrize("value", ["true", 1, 1.0, None, {}, [True], "granted"])
def test_only_the_json_value_true_is_a_yes(value):
    (_, choice), *_ = consent_choices(event(preferences={"personalization": value}))
    assert not choice.granted


def test_an_empty_object_denies_every_purpose():
    consent = folded(event(preferences={"personalization": True, "analytics": True}, at=1), event(preferences={}, at=2))
    settings = PrivacySettings(purposes=("analytics", "personalization", "newsletter"))
    assert [may(consent, purpose, settings) for purpose in settings.purposes] == [False, False, False]


def test_a_grant_after_a_no_to_everything_counts():
    consent = folded(event(preferences={}, at=1), event(preferences={"personalization": True}, at=2))
    assert may(consent, "personalization", OPT_IN)
    assert not may(consent, "newsletter", PrivacySettings(purposes=("personalization", "newsletter")))


def test_an_event_states_a_bounded_number_of_categories():
    many = {f"C{number:04}": True for number in range(1_000)}
    assert len(consent_choices(event(preferences=many))) == 50
    assert consent_choices(event(preferences={"x" * 101: True})) == ()


# May it be used


@pytest.mark.parametrize("settings, silence", [(OPT_OUT, True), (OPT_IN, False)], ids=["opt_out", "opt_in"])
def test_silence_means_what_the_mode_says(settings, silence):
    assert may({}, "personalization", settings) is silence
    assert may(held(analytics=False), "personalization", settings) is silence
    assert may(held(personalization=True), "personalization", settings)
    assert not may(held(personalization=False), "personalization", settings)


def test_a_purpose_with_several_categories_needs_all_of_them():
    assert may({}, "personalization", SITE)
    assert may(held(C0003=True, C0004=True), "personalization", SITE)
    assert not may(held(C0003=True, C0004=False), "personalization", SITE)
    assert not may(held(C0003=True), "personalization", SITE)


def test_a_mapped_purpose_is_not_its_own_category():
    assert not may(held(C0003=False, C0004=True, personalization=True), "personalization", SITE)


# May it be kept


def test_an_event_is_for_personalization_unless_the_settings_say_otherwise():
    assert purpose_of(event("Product Viewed"), SITE) == "personalization"
    assert purpose_of(event("Order Completed"), SITE) == "necessary"


# (settings, what the profile holds, what the event says, admitted)
CASES = {
    "opt_out, silence": (OPT_OUT, {}, MISSING, True),
    "opt_out, denied": (OPT_OUT, held(personalization=False), MISSING, False),
    "opt_out, another purpose denied": (OPT_OUT, held(analytics=False), MISSING, True),
    "opt_in, silence": (OPT_IN, {}, MISSING, False),
    "opt_in, granted": (OPT_IN, held(personalization=True), MISSING, True),
    "opt_in, another purpose granted": (OPT_IN, held(analytics=True), MISSING, False),
    "granted before, denied by the event": (OPT_OUT, held(personalization=True), {"personalization": False}, False),
    "denied before, granted by the event": (OPT_OUT, held(personalization=False), {"personalization": True}, True),
    "opt_in, granted by the event": (OPT_IN, {}, {"personalization": True}, True),
    "granted before, event denies everything": (OPT_OUT, held(personalization=True), {}, False),
    "the event speaks of another purpose": (OPT_OUT, {}, {"analytics": False}, True),
    "opt_in, the event speaks of another purpose": (OPT_IN, {}, {"analytics": True}, False),
    "one of two categories": (SITE, {}, {"C0003": True}, False),
    "both categories": (SITE, {}, {"C0003": True, "C0004": True}, True),
}


@pytest.mark.parametrize("settings, consent, preferences, admitted", CASES.values(), ids=CASES.keys())
def test_an_event_is_kept_where_its_purpose_is_allowed(settings, consent, preferences, admitted):
    answer = admit(event(preferences=preferences), consent, settings)
    assert isinstance(answer, Admitted if admitted else Refused), answer


@pytest.mark.parametrize(
    "consent, preferences, words",
    [
        ({}, MISSING, "nobody has given consent"),
        (held(personalization=False), MISSING, "this person has denied consent"),
        (held(personalization=True), {}, "the event's own context denies consent"),
    ],
    ids=["silence", "the profile", "the event"],
)
def test_a_refusal_names_the_purpose_and_says_who_refused(consent, preferences, words):
    answer = admit(event("Product Added", preferences=preferences), consent, OPT_IN)
    assert isinstance(answer, Refused)
    assert answer.purpose == "personalization"
    assert answer.reason == f"{words} to 'personalization', which 'Product Added' is collected for"


@pytest.mark.parametrize("settings", [OPT_OUT, OPT_IN], ids=["opt_out", "opt_in"])
@pytest.mark.parametrize("preferences", [{}, {"personalization": False}, {"personalization": True}, MISSING])
def test_a_consent_event_is_always_kept(settings, preferences):
    for consent in ({}, held(personalization=False), held(personalization=True)):
        assert isinstance(admit(event(CONSENT_EVENT, preferences=preferences), consent, settings), Admitted)


def test_only_the_track_call_is_a_consent_event():
    page = msgspec.structs.replace(event(CONSENT_EVENT), type="page")
    assert isinstance(admit(page, {}, OPT_IN), Refused)


def test_what_a_refused_event_says_about_consent_may_be_kept_alone():
    refused = msgspec.structs.replace(
        event(preferences={"personalization": False}, at=7, page={"url": "https://example.org/?email=a@b.c"}),
        user_id="1234",
        properties={"product_id": "p1"},
    )
    assert isinstance(admit(refused, {}, OPT_OUT), Refused)
    kept = consent_only(refused)
    assert kept is not None
    assert isinstance(admit(kept, {}, OPT_IN), Admitted)
    assert consent_choices(kept) == consent_choices(refused)
    assert (kept.user_id, kept.message_id, kept.time) == ("1234", "m1", 7)
    assert (kept.name, kept.properties) == (CONSENT_EVENT, {})
    assert kept.context == {"consent": {"categoryPreferences": {"personalization": False}}}


def test_an_event_that_says_nothing_about_consent_leaves_nothing():
    assert consent_only(event(page={"url": "https://example.org"})) is None
    assert consent_only(event(preferences={"x" * 101: True})) is None, "an empty one would deny everything"


@given(PREFERENCES.filter(lambda preferences: preferences is not None))
def test_consent_kept_alone_says_the_same(preferences):
    whole = event(preferences=preferences)
    assert consent_choices(consent_only(whole)) == consent_choices(whole)


EVENTS = st.lists(
    st.builds(
        lambda preferences, at, number: event(
            preferences=MISSING if preferences is None else preferences, at=at, message_id=f"m{number}"
        ),
        PREFERENCES,
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    max_size=6,
    unique_by=lambda each: (each.time, each.message_id),
)
SETTINGS = st.builds(
    PrivacySettings,
    mode=st.sampled_from(["opt_out", "opt_in"]),
    purposes=st.just(("analytics", "personalization", "newsletter")),
    categories=st.sampled_from([{}, {"C1": "personalization"}, {"C1": "personalization", "C2": "personalization"}]),
)


@given(EVENTS, st.randoms(use_true_random=False), SETTINGS, NAMES)
def test_the_order_in_which_choices_arrive_does_not_matter(events, rng, settings, purpose):
    shuffled = rng.sample(events, len(events))
    assert may(folded(*events), purpose, settings) == may(folded(*shuffled), purpose, settings)


@given(EVENTS, SETTINGS)
def test_under_opt_in_nothing_is_used_that_nobody_granted(events, settings):
    opt_in = msgspec.structs.replace(settings, mode="opt_in")
    granted = {name for each in events for name, choice in consent_choices(each) if choice.granted}
    if not granted:
        for purpose in settings.purposes:
            assert not may(folded(*events), purpose, opt_in)


@given(EVENTS, SETTINGS, NAMES)
def test_opting_in_is_never_laxer_than_opting_out(events, settings, purpose):
    consent = folded(*events)
    opt_in, opt_out = (msgspec.structs.replace(settings, mode=mode) for mode in ("opt_in", "opt_out"))
    assert may(consent, purpose, opt_out) or not may(consent, purpose, opt_in)


@given(EVENTS, SETTINGS)
def test_the_newest_no_to_everything_wins_over_all_before(events, settings):
    after = folded(*events, event(preferences={}, at=10))
    for purpose in settings.purposes:
        assert not may(after, purpose, settings)
        assert isinstance(admit(event(), after, settings), Refused)


# Settings


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"purposes": ["analytics"]}, "expected 'personalization' among them"),
        ({"events": {"Page Viewed": "ads"}}, r"privacy\.events\['Page Viewed'\].*got 'ads'"),
        ({"categories": {"C0001": "ads"}}, r"privacy\.categories\['C0001'\].*got 'ads'"),
        ({"mode": "opt_maybe"}, "opt_maybe"),
        ({"porpoises": ["analytics"]}, "porpoises"),
    ],
)
def test_settings_that_contradict_themselves_are_refused_by_name(settings, words):
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(settings, PrivacySettings)


def test_the_constructor_refuses_the_same_settings():
    with pytest.raises(SettingsError, match="got 'ads'"):
        PrivacySettings(events={"Page Viewed": "ads"})
