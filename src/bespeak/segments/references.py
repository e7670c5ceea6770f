"""What definitions name: segments, computed traits and scores stand for what they are, as if it stood in their place.

So nothing has to be asked in an order, no flip waits for another at the same instant, and whoever looks at what a
segment depends on sees all of it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias, cast

import msgspec

from bespeak.computed import FIGURES, Borders, RfmPlan, ScorePlan, Trait
from bespeak.conditions import Aggregate, And, AnyOf, Between, Compare, Condition, InSegment, Not, Operand, Or, Path
from bespeak.conditions.asking.source import as_test, read_on_the_right
from bespeak.conditions.derived import (
    Band,
    Derived,
    Difference,
    Elapsed,
    Grade,
    Orders,
    Ratio,
    Rfm,
    Same,
    Score,
    Term,
    Worked,
    operands_of,
    unfolded,
)
from bespeak.conditions.text.printer import format_operand
from bespeak.conditions.tree import Asked, HalfLife, Leaf, Performed, Within
from bespeak.errors import DefinitionError
from bespeak.segments.segment import Segment

NamedKind: TypeAlias = Literal["segments", "traits", "scores"]

PARTS_MAX = 2_000
"""Parts that a segment, a computed trait or a score may have with all that it names."""

_HEADS: dict[str, NamedKind] = {"computed": "traits", "scores": "scores"}
_WORDS: dict[NamedKind, str] = {"segments": "segment", "traits": "computed trait", "scores": "score"}
_FADING = "interests."
_RFM_PARTS = (*FIGURES, "cell")
_TRIED = "what is tried"
"""Stands for a condition without a name where a message says who names what is not there; no segment has this id."""


class Named(msgspec.Struct, frozen=True):
    """What names stand for: segments by id, computed traits and scores by path (`computed.x`, `scores.y.band`)."""

    conditions: Mapping[str, Condition]
    operands: Mapping[str, Operand]


def inlined(
    segments: Iterable[Segment],
    traits: Iterable[Trait] = (),
    scores: Iterable[ScorePlan] = (),
    borders: Iterable[Borders] = (),
) -> Named:
    """Return what each definition asks or is, with what others are in the place of their names.

    Raises
    ------
    DefinitionError
        One names another that is not there, or itself by way of others; or it is too large with all that it names.
    """
    return _Inliner(segments, traits, scores, borders).everything()


def filled(
    condition: Condition,
    segments: Iterable[Segment],
    traits: Iterable[Trait] = (),
    scores: Iterable[ScorePlan] = (),
    borders: Iterable[Borders] = (),
) -> Condition:
    """Return a condition that nobody has defined yet, with what others are in the place of their names.

    Raises
    ------
    DefinitionError
        It names what is not there.
    """
    return _Inliner(segments, traits, scores, borders).tried(condition)


def named_in(value: object) -> Iterator[tuple[NamedKind, str]]:
    """Yield what a definition, a condition, or any part of one names, by kind and id."""
    if isinstance(value, InSegment):
        yield "segments", value.segment
    elif isinstance(value, Path | AnyOf):
        yield from named_by(value.path)
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from named_in(getattr(value, field))
    elif isinstance(value, tuple | list):
        for one in cast("Iterable[object]", value):
            yield from named_in(one)
    elif isinstance(value, Mapping):
        for one in cast("Mapping[str, object]", value).values():
            yield from named_in(one)


def named_by(path: str) -> Iterator[tuple[NamedKind, str]]:
    """Yield the computed trait or the score that a path reads.

    Examples
    --------
    >>> list(named_by("scores.intent.band")), list(named_by("traits.plan"))
    ([('scores', 'intent')], [])
    """
    head, _, rest = path.partition(".")
    if head in _HEADS:
        yield _HEADS[head], rest.partition(".")[0]


def unknown(kind: NamedKind, name: str, known: Iterable[str]) -> str:
    """Say that there is no such definition, and which was meant."""
    close = difflib.get_close_matches(name, list(known), n=1)
    there = f"there is no {_WORDS[kind]} {name!r}"
    if kind == "segments":
        return f"{there} to be in; {f'did you mean {close[0]!r}?' if close else 'define it, or repeat its condition'}"
    return f"{there}; {f'did you mean {close[0]!r}?' if close else f'define it in {kind}/'}"


class _Inliner:
    """Puts what names stand for in their place, each once; `way` is by which names one came here."""

    def __init__(
        self,
        segments: Iterable[Segment],
        traits: Iterable[Trait],
        scores: Iterable[ScorePlan],
        borders: Iterable[Borders],
    ) -> None:
        self._segments = {one.id: one for one in segments}
        self._traits = {one.id: one for one in traits}
        self._scores = {one.id: one for one in scores}
        self._borders = {one.id: one for one in borders}
        self._conditions: dict[str, Condition] = {}
        self._operands: dict[str, Operand] = {}
        self._parts: dict[str, int] = {}

    def everything(self) -> Named:
        for trait_id, trait in self._traits.items():
            parts = ("", *_RFM_PARTS) if isinstance(trait.value, RfmPlan) else ("",)
            for part in parts:
                self._operand(Path(f"computed.{trait_id}{part and '.'}{part}"), ())
        for score_id, plan in self._scores.items():
            self._operand(Path(f"scores.{score_id}"), ())
            if plan.bands:
                self._operand(Path(f"scores.{score_id}.band"), ())
        for segment_id in self._segments:
            self._segment(segment_id, ())
        return Named(self._conditions, self._operands)

    def tried(self, condition: Condition) -> Condition:
        return self._condition(condition, (_TRIED,))

    def _segment(self, segment_id: str, way: tuple[str, ...]) -> Condition:
        if segment_id in self._conditions:
            return self._conditions[segment_id]
        _refuse_circle(segment_id, way)
        if segment_id not in self._segments:
            raise DefinitionError(f"{_told(way[-1])}: {unknown('segments', segment_id, self._segments)}")
        found = self._condition(self._segments[segment_id].condition, (*way, segment_id))
        self._bound(segment_id, self._size(found))
        self._conditions[segment_id] = found
        return found

    def _operand(self, path: Path, way: tuple[str, ...]) -> Operand:
        """Return what a path stands for; any other path as it is."""
        head, _, rest = path.path.partition(".")
        if head not in _HEADS:
            return path
        if path.path not in self._operands:
            _refuse_circle(path.path, way)
            onwards = (*way, path.path)
            found = self._trait(rest, onwards) if head == "computed" else self._score(rest, onwards)
            if isinstance(found, Worked):
                self._bound(path.path, self._size_of(found.derived))
            self._operands[path.path] = found
        return self._operands[path.path]

    def _trait(self, rest: str, way: tuple[str, ...]) -> Operand:
        name, dot, part = rest.partition(".")
        if name not in self._traits:
            raise DefinitionError(f"{_told(way[-2])}: {unknown('traits', name, self._traits)}")
        value = self._traits[name].value
        if dot and not (isinstance(value, RfmPlan) and part in _RFM_PARTS):
            has = [f"computed.{name}", *(f"computed.{name}.{one}" for one in _RFM_PARTS if isinstance(value, RfmPlan))]
            raise DefinitionError(f"{_told(way[-2])}: there is no {way[-1]!r}; there is {', '.join(has)}")
        match value:
            case RfmPlan():
                return Worked(way[-1], self._rfm(name, value, part, way))
            case Path():
                return self._operand(value, way)
            case Aggregate():
                return value
            case Ratio() | Difference():
                both = (one if isinstance(one, Aggregate) else self._operand(one, way) for one in operands_of(value))
                found = type(value)(*both)
                _check_still(found, way[-1])
                return Worked(way[-1], found)
            case Elapsed() | Orders():
                return Worked(way[-1], value)

    def _rfm(self, name: str, plan: RfmPlan, part: str, way: tuple[str, ...]) -> Grade | Rfm:
        """Return a grade, or what all three make, with the borders that are in force."""
        borders = self._borders.get(name)
        grades = {
            figure: Grade(
                one if isinstance(one := getattr(plan, figure), Aggregate) else self._operand(one, way),
                () if borders is None else getattr(borders, figure),
                falling=figure == "recency",
            )
            for figure in FIGURES
        }
        return grades[part] if part in grades else Rfm(**grades, read="cell" if part == "cell" else "code")

    def _score(self, rest: str, way: tuple[str, ...]) -> Worked:
        name, dot, part = rest.partition(".")
        if name not in self._scores:
            raise DefinitionError(f"{_told(way[-2])}: {unknown('scores', name, self._scores)}")
        plan = self._scores[name]
        if dot:
            if part != "band" or not plan.bands:
                has = f"scores.{name}" + (f" and scores.{name}.band" if plan.bands else ": it has no bands")
                raise DefinitionError(f"{_told(way[-2])}: there is no {way[-1]!r}; there is {has}")
            score = cast("Worked", self._operand(Path(f"scores.{name}"), way))
            return Worked(way[-1], Band(cast("Score", score.derived), plan.bands))
        terms = tuple(self._term(term, way) for term in plan.score.terms)
        return Worked(way[-1], Score(terms, plan.score.floor, plan.score.cap))

    def _term(self, term: Term, way: tuple[str, ...]) -> Term:
        if term.condition is None:
            return term
        return msgspec.structs.replace(term, condition=self._condition(term.condition, way))

    def _condition(self, condition: Condition, way: tuple[str, ...]) -> Condition:
        match condition:
            case And(parts):
                return And(tuple(self._condition(part, way) for part in parts))
            case Or(parts):
                return Or(tuple(self._condition(part, way) for part in parts))
            case Not(part):
                return Not(self._condition(part, way))
            case InSegment(segment_id):
                return self._segment(segment_id, way)
            case _:
                return self._leaf(condition, way) if any(True for _ in named_in(condition)) else condition

    def _leaf(self, leaf: Leaf, way: tuple[str, ...]) -> Condition:
        """Put what computed traits and scores are in the place of their paths, on either side."""
        if isinstance(leaf, Performed | InSegment):
            return leaf
        if isinstance(leaf, AnyOf):
            found = self._operand(Path(leaf.path), way)
            if isinstance(found, Worked | Aggregate):
                raise DefinitionError(f"{_told(way[-1])}: {leaf.path!r} is no list of objects, as `any of` needs")
            return AnyOf(found.path, leaf.where)
        sides = ("value",) if isinstance(leaf, Compare) else ("low", "high") if isinstance(leaf, Between) else ()
        changed: dict[str, object] = {}
        for field in ("operand", *sides):
            side: object = getattr(leaf, field)
            if isinstance(side, Path):
                changed[field] = self._operand(side, way)
        if isinstance(leaf, Within) and isinstance(changed["operand"], Aggregate):
            changed["operand"] = Worked(leaf.operand.path, Same(changed["operand"]))
            self._parts[leaf.operand.path] = 1
        replaced = cast("Leaf", msgspec.structs.replace(leaf, **changed))
        _check_sides(replaced, way[-1])
        return replaced

    def _bound(self, name: str, parts: int) -> None:
        self._parts[name] = parts
        if parts > PARTS_MAX:
            raise DefinitionError(
                f"{_told(name)}: with all that it names it has {parts:,} parts, expected at most {PARTS_MAX:,}"
            )

    def _size(self, condition: Condition) -> int:
        match condition:
            case And(parts) | Or(parts):
                return sum(map(self._size, parts))
            case Not(part):
                return self._size(part)
            case leaf:
                test = as_test(leaf)
                return 1 + sum(self._size_of_operand(one) for one in (test.operand, *read_on_the_right(test)))

    def _size_of(self, derived: Derived) -> int:
        if isinstance(derived, Band):
            return self._size_of(derived.score)
        conditions = [term.condition for term in derived.terms] if isinstance(derived, Score) else []
        return sum(map(self._size_of_operand, operands_of(derived))) + sum(
            self._size(condition) for condition in conditions if condition is not None
        )

    def _size_of_operand(self, operand: Asked) -> int:
        return self._parts[operand.path] if isinstance(operand, Worked) else 1


def _refuse_circle(name: str, way: tuple[str, ...]) -> None:
    if name in way:
        around = (*way[way.index(name) :], name)
        remedy = "take one of these names out" if any("." in one for one in around) else "take one in_segment(...) out"
        raise DefinitionError(f"{_told(name)}: it asks for itself: {' > '.join(around)}; {remedy}")


def _check_still(derived: Ratio | Difference, name: str) -> None:
    """Refuse to work a figure out of what rises or falls by itself: it would turn unseen."""
    for part in unfolded(operands_of(derived)):
        if _moves_alone(part) or (isinstance(part, Worked) and isinstance(part.derived, Score | Band | Grade | Rfm)):
            shown = part.path if isinstance(part, Path) else f"{format_operand(part)}"
            expected = f"{derived.__struct_config__.tag}: expected what events alone change"
            text = f"{_told(name)}: {expected}, found {shown}, which fades or runs by itself"
            raise DefinitionError(f"{text}; write a window such as last 90 days")


def _check_sides(leaf: Leaf, name: str) -> None:
    test = as_test(leaf)
    sides = (test.operand, *read_on_the_right(test))
    if any(isinstance(side, Worked) for side in sides) and [_moves_alone(side) for side in sides].count(True) > 1:
        shown = " and ".join(map(format_operand, sides))
        raise DefinitionError(
            f"{_told(name)}: {shown} fade or run by themselves, and only one side of a comparison may; "
            "compare each with a number"
        )


def _moves_alone(operand: Asked) -> bool:
    """Say whether a figure rises or falls by itself, and not only as events leave a window."""
    if isinstance(operand, Worked):
        return isinstance(operand.derived, Elapsed) or (
            isinstance(operand.derived, Score) and any(map(_moves_alone, operands_of(operand.derived)))
        )
    if isinstance(operand, Path):
        return operand.path.startswith(_FADING)
    return isinstance(operand, Aggregate) and isinstance(operand.within, HalfLife)


def _told(name: str) -> str:
    head, _, rest = name.partition(".")
    return f"{_WORDS[_HEADS[head]]} {rest.partition('.')[0]!r}" if rest else f"segment {name!r}"
