"""What must hold of an engine at any moment, asked of everybody at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from bespeak.clock import Instant, ManualClock
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import KINDS, Engine, rebuild, replay
from bespeak.engine.ledger import Ledger
from bespeak.engine.quarantine import subject_in
from bespeak.engine.vault import STORE
from bespeak.ids import ProfileId
from bespeak.privacy import Key
from bespeak.profiles import Profile, View, faded
from bespeak.settings import Settings
from bespeak.testing.world_traces import found_in
from bespeak.testing.world_truth import Truth, facts, members

CLOSE = 1e-9


class BrokenPromise(AssertionError):
    """Something is not as it must be; the message says what, whose, what was expected and what was found."""


def same(what: str, found: object, expected: object) -> None:
    """Raise `BrokenPromise` at the first place where two plain values differ, floats by more than 1e-9."""
    if isinstance(found, dict) and isinstance(expected, dict):
        one, other = cast("dict[object, object]", found), cast("dict[object, object]", expected)
        for name in sorted({*one, *other}, key=str):
            same(f"{what}.{name}", one.get(name), other.get(name))
    elif isinstance(found, list | tuple) and isinstance(expected, list | tuple):
        first, second = cast("list[object]", found), cast("list[object]", expected)
        if len(first) != len(second):
            raise BrokenPromise(f"{what}: expected {len(second)}, found {len(first)}: {second!r:.400} | {first!r:.400}")
        for place, (left, right) in enumerate(zip(first, second, strict=True)):
            same(f"{what}[{place}]", left, right)
    elif isinstance(found, float) and isinstance(expected, float):
        if not math.isclose(found, expected, rel_tol=CLOSE, abs_tol=CLOSE):
            raise BrokenPromise(f"{what}: expected {expected!r}, found {found!r}")
    elif found != expected:
        raise BrokenPromise(f"{what}: expected {expected!r:.400}, found {found!r:.400}")


def everything(ledger: Ledger, at: Instant) -> dict[str, Any]:
    """Return all that a ledger knows, once it knows that it is `at`; what was learned only as long as it can be."""
    ledger.sequencer.ask()
    ledger.sequencer.advance(at)
    return {
        "profiles": {profile.id: msgspec.to_builtins(profile) for profile in ledger.sequencer.live.all()},
        "sizes": ledger.segment_sizes(),
        "count": ledger.sequencer.profiles,
        "items": {item.id: msgspec.to_builtins(item) for item in ledger.catalog.items()},
        "definitions": {
            f"{kind}/{one.id}": msgspec.to_builtins(one) for kind in KINDS for one in ledger.registry.all(kind)
        },
        "models": {}
        if ledger.vault.newest >= 0 or ledger.store.dropped()
        else {one.name: one.dump() for one in ledger.models.recommenders},
    }


def log_is_live(engine: Engine, settings: Settings, clock: ManualClock, at: Instant) -> None:
    """What is in RAM, what a start would read, and what the log says (behind a snapshot: the rest of it) are one.

    Raises
    ------
    BrokenPromise
        They are not; the message names the first difference.
    """
    anew = rebuild(settings, engine.store, clock=clock)
    same("live, as the log from its start says it", everything(engine, at), everything(anew, at))
    found = replay(settings, engine.store, clock=clock)
    if found.difference is not None:
        raise BrokenPromise(f"replay: {found.difference}")


def truth_is_live(engine: Engine, truth: Truth, settings: Settings, at: Instant) -> None:
    """Profiles, memberships, sizes, aliases, catalog and definitions are what plain counting makes of the log.

    Where rows were dropped, memberships are left out: what was defined later counts only in what there was of the log.

    Raises
    ------
    BrokenPromise
        They are not; the message names whose, and what.
    """
    engine.sequencer.ask()
    engine.sequencer.advance(at)
    segments = truth.segments()
    beings, live = truth.beings, {profile.id: profile for profile in engine.profiles()}
    same("profiles", sorted(live), sorted(beings))
    sizes = dict.fromkeys(segments, 0)
    for name, being in beings.items():
        profile = live[name]
        now = max(at, profile.as_of)
        known = facts(being, settings, now)
        same(name, _plain(profile, settings, now), known)
        expected = set(profile.segments)
        if not engine.store.dropped():
            expected = members(being, known, segments, now, settings, truth.defined())
        same(f"{name}: segments", sorted(profile.segments), sorted(expected))
        if profile.next_flip_at <= now:
            raise BrokenPromise(f"{name}: a flip was due at {profile.next_flip_at}, it is {now}")
        for segment in expected:
            sizes[segment] += 1
    same("sizes of segments", engine.segment_sizes(), sizes)
    for alias, whose in truth.aliases.items():
        same(f"alias {alias}", engine.sequencer.aliases.get(alias), whose)
    same("items", {item.id: item for item in engine.catalog.items()}, truth.items)
    same("definitions", {(one.kind, one.id): one.body for one in _definitions(engine)}, truth.definitions)


def _definitions(engine: Engine) -> Iterable[Any]:
    return (one for kind in KINDS for one in engine.definitions(kind))


def _plain(profile: Profile, settings: Settings, at: Instant) -> dict[str, Any]:
    """Return what is known under the names of `facts`."""
    session, halflife = profile.session, settings.profiles.interest_halflife
    return {
        "user_id": profile.user_id,
        "claimed_user_id": profile.claimed_user_id,
        "aliases": profile.aliases,
        "first_seen": profile.first_seen,
        "last_seen": profile.last_seen,
        "late": profile.late,
        "counts": profile.counts,
        "last": profile.last,
        "traits": {name: trait.value for name, trait in profile.traits.items()},
        "zone": View(profile, at, settings.profiles).get("zone"),
        "consent": {name: choice.granted for name, choice in profile.consent.items()},
        "recent": [row.place() for row in profile.recent],
        "sessions": profile.sessions,
        "session": None if session is None else (session.started, session.ended),
        "bought": profile.bought,
        "hidden": profile.hidden,
        "interests": {name: faded(value, at, halflife) for name, value in profile.interests.items()},
    }


class Gone(msgspec.Struct, frozen=True):
    """Somebody who was erased: their names, words that only they had, and the keys that opened what was theirs."""

    names: tuple[ProfileId, ...]
    words: tuple[str, ...]
    wrapped: tuple[bytes, ...]
    at: Instant


def nothing_answers(engine: Engine, gone: Gone, key: Key, shown: Iterable[object], folder: Path | None) -> None:
    """Nobody who was just erased is known anywhere.

    Parameters
    ----------
    key
        A secret key, which may ask everything.
    shown
        What a watcher of the live feed gets to see after the erasure.
    folder
        The data directory, every byte of which is searched; None where there is none.

    Raises
    ------
    BrokenPromise
        A place still answers; the message says which.
    """
    for name in gone.names:
        for asked in (name, name[2:]):
            _nobody(engine, asked, gone)
        same(f"alias {name}", engine.sequencer.aliases.get(name), None)
        _no_decision(engine, name, key)
    # What is one person's user id may be another's device id.
    ids = {name[2:] for name in gone.names} - {name[2:] for name in _names(engine)}
    quarantine = (one for one in engine.rejected(1_000_000) if subject_in(one.data) in {STORE, *gone.names})
    for place, answers, words in (
        ("the live feed", map(str, shown), {*ids, *gone.words}),
        ("the quarantine", map(str, quarantine), ids),
        ("another profile", [_without_claims(engine, profile) for profile in engine.profiles()], {*ids, *gone.words}),
    ):
        same(place, [(word, text) for text in answers for word in sorted(words) if word in text], [])
    if folder is not None:
        same("files", found_in(folder, [*ids, *gone.words, *gone.wrapped]), [])


def _nobody(engine: Engine, asked: str, gone: Gone) -> None:
    found = engine.profile(asked)
    if found is not None and {found["id"], *found["aliases"]} & {*gone.names}:
        raise BrokenPromise(f"profile {asked}: expected none, found {found!r:.400}")
    if found is None:
        same(f"segments of {asked}", engine.explain_segments(asked), None)


def _names(engine: Engine) -> Iterator[ProfileId]:
    for profile in engine.profiles():
        yield from (profile.id, *profile.aliases)


def _without_claims(engine: Engine, profile: Profile) -> str:
    """Return all that a profile answers; a user id that it merely claimed is another's word, and stands there."""
    answer: Mapping[str, object] = engine.profile(profile.id) or {}
    return str({name: value for name, value in answer.items() if name != "claimedUserId"})


def _no_decision(engine: Engine, name: ProfileId, key: Key) -> None:
    user, device = (name[2:], None) if name.startswith("u:") else (None, name[2:])
    request = DecideRequest(user_id=user, anonymous_id=device, slots=(SlotRequest(id="home"),), explain=True)
    decision = engine.decide(request, key=key)
    same(f"decision for {name}", (decision.personalized, decision.segments), (False, ()))
