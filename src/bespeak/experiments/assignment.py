"""Who gets which variant: a pure function of the experiment, the unit's id and the visitor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias, assert_never

import msgspec

from bespeak.clock import Instant
from bespeak.conditions import Visitor
from bespeak.experiments.bucketing import choose_variation, hash_v1
from bespeak.experiments.experiment import Experiment, Setting
from bespeak.ids import hash_v2, is_blocked

Cause: TypeAlias = Literal["not_running", "no_unit", "not_eligible", "not_covered"]


class Assigned(msgspec.Struct, frozen=True, kw_only=True):
    """The unit takes part, in this variant.

    Parameters
    ----------
    propensity
        Probability that an eligible unit gets this variant: weight times coverage, more than 0, at most 1.
    reason
        A sentence: by which id, and how far into the unit interval its hash fell.
    """

    experiment: str
    variant: str
    settings: Mapping[str, Setting]
    reason: str
    propensity: float


class NotAssigned(msgspec.Struct, frozen=True, kw_only=True):
    """The unit does not take part. What it sees counts for no variant.

    Parameters
    ----------
    cause
        `not_running`, `no_unit` (the request names no such id), `not_eligible` (the condition does not hold) or
        `not_covered` (its hash fell outside the coverage).
    reason
        The same as a sentence, with values.
    """

    experiment: str
    cause: Cause
    reason: str


Assignment: TypeAlias = Assigned | NotAssigned


class Merged(msgspec.Struct, frozen=True):
    """The settings of all assignments together, and which experiment lost which setting to another."""

    settings: Mapping[str, Setting]
    conflicts: Mapping[str, tuple[str, ...]]


def assign(
    experiments: Iterable[Experiment], unit: Mapping[str, str], visitor: Visitor, at: Instant
) -> tuple[Assignment, ...]:
    """Assign one visitor to each experiment, in the order given.

    Parameters
    ----------
    unit
        The ids this request knows: `device` (anonymous id) and `user` (user id), each when there is one.
    visitor
        What conditions read.
    at
        The moment at which they are asked.
    """
    return tuple(assign_one(experiment, unit, visitor, at) for experiment in experiments)


def assign_one(experiment: Experiment, unit: Mapping[str, str], visitor: Visitor, at: Instant) -> Assignment:
    """Assign one visitor to one experiment: status, then id, then condition, then hash."""
    if experiment.status != "running":
        return _not(experiment, "not_running", f"the experiment's status is {experiment.status}")
    value = unit.get(experiment.unit)
    if value is None or is_blocked(value):
        return _not(experiment, "no_unit", _MISSING[experiment.unit])
    if experiment.compiled is not None and not experiment.compiled.holds(visitor, at):
        return _not(experiment, "not_eligible", "the condition does not hold")
    n = bucket(experiment, value)
    index = choose_variation(n, experiment.ranges)
    if index is None:
        return _not(experiment, "not_covered", f"hash {n:g} is outside the coverage of {experiment.coverage:g}")
    low, high = experiment.ranges[index]
    variant = experiment.variants[index]
    return Assigned(
        experiment=experiment.id,
        variant=variant.key,
        settings=variant.settings,
        reason=f"hash {n:g} of the {experiment.unit} is in {low:g} to {high:g}",
        propensity=experiment.coverage * experiment.weights[index],
    )


def bucket(experiment: Experiment, value: str) -> float:
    """Return where an id falls in the experiment's unit interval, 0 <= n < 1."""
    seed = experiment.seed or experiment.id
    match experiment.hash_version:
        case 1:
            return hash_v1(seed, value)
        case 2:
            return hash_v2(seed, value)
        case _:
            assert_never(experiment.hash_version)


def merge_settings(assignments: Iterable[Assignment]) -> Merged:
    """Put the settings of all assigned variants together.

    Where two experiments set the same name, the one whose id sorts first wins, whatever the order given; the
    others are named in `conflicts`, by setting, since their result is then not only their own.

    Examples
    --------
    >>> first = Assigned(experiment="a", variant="x", settings={"mmr": 0.5}, reason="", propensity=0.5)
    >>> merge_settings([msgspec.structs.replace(first, experiment="b", settings={"mmr": 1.0}), first])
    Merged(settings={'mmr': 0.5}, conflicts={'mmr': ('b',)})
    """
    settings: dict[str, Setting] = {}
    conflicts: dict[str, tuple[str, ...]] = {}
    assigned = (a for a in assignments if isinstance(a, Assigned))
    for assignment in sorted(assigned, key=lambda a: a.experiment):
        for name, value in assignment.settings.items():
            if name not in settings:
                settings[name] = value
            elif settings[name] != value:
                conflicts[name] = (*conflicts.get(name, ()), assignment.experiment)
    return Merged(settings, conflicts)


_MISSING = {
    "device": "the request names no device (anonymousId), by which this experiment assigns",
    "user": "the request names no user (userId), by which this experiment assigns",
}


def _not(experiment: Experiment, cause: Cause, reason: str) -> NotAssigned:
    return NotAssigned(experiment=experiment.id, cause=cause, reason=reason)
