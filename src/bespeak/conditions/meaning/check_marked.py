"""What sequences, newest events and traits held for a time must be to have a meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

from bespeak.clock import MILLISECOND, Duration
from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.tree import (
    MAX_STEPS,
    MAX_WITHIN,
    MAX_WITHOUT,
    Compare,
    Condition,
    Deed,
    HalfLife,
    HasBeen,
    LastPerformed,
    Path,
    Performed,
    Quiet,
    Sequence,
    Step,
    Window,
)

Normal = Callable[[Condition], Condition]
"""Returns a condition on a person in its normal form, or refuses it."""


NAMES: dict[type, str] = {Sequence: "sequence(...)", LastPerformed: "last(...) has (...)", HasBeen: "has been"}
"""What errors call them."""


def filters(leaf: Sequence | LastPerformed | HasBeen) -> Iterator[Condition]:
    """Yield the filters on events inside a leaf."""
    match leaf:
        case LastPerformed():
            yield leaf.has
            if leaf.where is not None:
                yield leaf.where
        case Sequence():
            yield from (deed.where for deed in deeds(leaf) if deed.where is not None)
        case HasBeen():
            pass


def deeds(sequence: Sequence) -> Iterator[Deed]:
    """Yield what a sequence asks of events: of each step, and of what may not come, from left to right."""
    for step in sequence.steps:
        yield Deed(step.event, step.where)
        yield from step.without
    if sequence.after is not None:
        yield from sequence.after.without


def normal_marked(leaf: Sequence | LastPerformed | HasBeen, normal: Normal) -> Condition:
    """Return a leaf with its filters in normal form.

    Raises
    ------
    Misfit
        It has too many steps, or none; a time that is no window; or what stands in it has no meaning.
    """
    match leaf:
        case LastPerformed(event, has, where, within):
            where = _normal_where(event, where, within, normal)
            return LastPerformed(event, cast("Condition", _normal_where(event, has, None, normal)), where, within)
        case Sequence():
            return _normal_sequence(leaf, normal)
        case HasBeen():
            return _normal_has_been(leaf, normal)


def _normal_where(event: str, where: Condition | None, within: Window | None, normal: Normal) -> Condition | None:
    return cast("Performed", normal(Performed(event, where, within))).where


def _normal_sequence(sequence: Sequence, normal: Normal) -> Sequence:
    if not 1 <= len(sequence.steps) <= MAX_STEPS:
        raise Misfit("sequence", f"1 to {MAX_STEPS} steps", str(len(sequence.steps)), "write the steps that matter")
    first = sequence.steps[0]
    if first.within is not None or first.without:
        found = "within" if first.within is not None else "without"
        remedy = "there is no step before it" if found == "within" else "say for how long, if it may not follow"
        raise Misfit("first step", "no `within` and no `without`", f"`{found}`", remedy)
    steps = tuple(_normal_step(step, sequence.within, normal) for step in sequence.steps)
    return Sequence(steps, _normal_quiet(sequence, normal), sequence.within)


def _normal_step(step: Step, window: Window | None, normal: Normal) -> Step:
    where = _normal_where(step.event, step.where, window, normal)
    if step.within is not None:
        check_within(step.within)
    _check_without(step.without, least=0)
    return Step(step.event, where, step.within, _normal_deeds(step.without, normal))


def _normal_quiet(sequence: Sequence, normal: Normal) -> Quiet | None:
    after = sequence.after
    if after is None:
        return None
    check_within(after.lasting)
    _check_without(after.without, least=1)
    if isinstance(sequence.within, int) and after.lasting >= sequence.within:
        remedy = "the last step would leave it before the time has passed"
        raise Misfit("window", "a window longer than what `for` says", "one as short", remedy)
    return Quiet(_normal_deeds(after.without, normal), after.lasting)


def _normal_deeds(several: Iterable[Deed], normal: Normal) -> tuple[Deed, ...]:
    return tuple(Deed(deed.event, _normal_where(deed.event, deed.where, None, normal)) for deed in several)


def _check_without(several: tuple[Deed, ...], *, least: int) -> None:
    if not least <= len(several) <= MAX_WITHOUT:
        raise Misfit("without", f"{least} to {MAX_WITHOUT} events", str(len(several)), "ask for them where they matter")


def _normal_has_been(leaf: HasBeen, normal: Normal) -> HasBeen:
    check_within(leaf.lasting)
    if not leaf.path.startswith("traits."):
        raise Misfit("has been", "a trait such as traits.plan", repr(leaf.path)[:80], "only traits are said again")
    asked = cast("Compare", normal(Compare(Path(leaf.path), "=", leaf.value, leaf.exact)))
    return HasBeen(leaf.path, leaf.value, leaf.lasting, leaf.less, asked.exact)


def check_fading(kind: str, within: Window | None) -> None:
    """Refuse a half-life of what does not fade.

    Raises
    ------
    Misfit
        Says what does.
    """
    if isinstance(within, HalfLife) and kind not in {"count", "sum"}:
        raise Misfit(kind, "count or sum", kind, 'only these fade: write count("EVENT", half-life 7 days) >= 0.5')


def check_within(within: Duration) -> None:
    """Refuse a length of time that is empty, too long, or not whole milliseconds.

    Raises
    ------
    Misfit
        Says the bounds.
    """
    if not MILLISECOND <= within <= MAX_WITHIN or within % MILLISECOND:
        raise Misfit("window", "whole milliseconds, from 1 millisecond to 3,660 days", f"{within} microseconds")
