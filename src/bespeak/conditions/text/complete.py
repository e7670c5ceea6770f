"""What an editor of conditions offers: what may follow at the cursor, and which names nobody knows.

The grammar itself is asked: the parser reads up to the cursor, and what it then looked for is what may follow.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias, get_args

import msgspec

from bespeak.conditions.asking.source import read_on_the_right
from bespeak.conditions.meaning.check import walk
from bespeak.conditions.meaning.check_marked import deeds
from bespeak.conditions.meaning.heads import DEVICE, ITEM, PLACE, Part
from bespeak.conditions.names import prefix_of
from bespeak.conditions.text.parser import (
    A_CONDITION,
    A_LIST,
    A_PERIOD,
    A_PROPERTY,
    A_SEGMENT,
    A_TEST,
    A_UNIT,
    A_VALUE,
    A_WINDOW,
    AN_EVENT,
    Expected,
    expected_after,
)
from bespeak.conditions.text.printer import format_operand, format_value
from bespeak.conditions.text.tokens import error_at
from bespeak.conditions.tree import (
    Aggregate,
    And,
    AnyOf,
    Asked,
    Condition,
    HasBeen,
    InList,
    InSegment,
    LastPerformed,
    Not,
    Or,
    Path,
    Performed,
    Sequence,
)

OptionKind: TypeAlias = Literal[
    "word", "trait", "property", "event", "segment", "path", "computed", "score", "list", "value"
]
NameKind: TypeAlias = Literal["event", "property", "trait", "segment", "computed trait", "score"]

OPTIONS_MAX = 100
"""Options that are offered at once."""

_OPEN = re.compile(r'"(?:[^"\\]|\\.)*\\?\Z', re.DOTALL)
_CLOSED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_PART = re.compile(r"[\w$.-]*\Z")
_AGGREGATES = ("count(", "sum(", "avg(", "min(", "max(", "distinct(", "first(", "last(", "most_frequent(")
_OF_PERSON = ("performed(", "sequence(", *_AGGREGATES, "in_segment(", "in_list(", "bucket(")
_WORDS = {
    A_CONDITION: (*_OF_PERSON, "any of", "not", "true", "false"),
    A_TEST: (
        "=", "!=", "<", "<=", ">", ">=", "in [", "not in [", "contains", "starts with", "ends with", "matches",
        "between", "has all [", "has been", "on date", "within last", "within 20 km of (", "exists", "is missing",
    ),
    A_VALUE: ("true", "false", "date", "version", "exactly"),
    A_WINDOW: (
        "last", "today", "yesterday", "this week", "last week", "this month", "last month", "this quarter",
        "last quarter", "this year", "last year", "this session", "since date", "from date", "half-life",
    ),
    A_UNIT: ("minutes", "hours", "days", "weeks", "seconds", "milliseconds"),
    A_PERIOD: ("week", "month", "quarter", "year", "session"),
}  # fmt: skip
_PATHS = {
    "person": (
        "known", "user_id", "zone", "sessions.count", "sessions.minutes", "sessions.events",
        *(f"local.{name}" for name in get_args(Part)), *(f"place.{name}" for name in PLACE),
        *(f"device.{name}" for name in DEVICE),
    ),
    "event": ("type", "context.", *(f"item.{name}" for name in ITEM), *(f"local.{name}" for name in get_args(Part))),
    "element": ("it.",),
}  # fmt: skip


class Vocabulary(msgspec.Struct, frozen=True):
    """The names that are known: properties by the event that has them, traits, segments, lists.

    Parameters
    ----------
    computed, scores
        The paths of computed traits and scores: `computed.rfm.cell`, `scores.lead.band`.
    values
        By path, the texts that stand there: the bands of a score, the cells of what is graded.
    """

    events: Mapping[str, tuple[str, ...]]
    traits: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = {}


class Option(msgspec.Struct, frozen=True):
    """What may stand between `start` and the cursor."""

    text: str
    kind: OptionKind


class Completion(msgspec.Struct, frozen=True):
    """What may follow. JSON-ready.

    Parameters
    ----------
    start, end
        The part of the text that an option takes the place of, in characters from 0.
    options
        At most `OPTIONS_MAX`, those of the vocabulary first.
    """

    start: int
    end: int
    options: tuple[Option, ...]


class Unknown(msgspec.Struct, frozen=True):
    """A name that the vocabulary does not have, and the nearest one that it has."""

    kind: NameKind
    name: str
    near: str | None

    def message(self) -> str:
        """Say it in one line."""
        hint = f": did you mean {self.near!r}?" if self.near is not None else ""
        return f"unknown {self.kind} {self.name!r}{hint}"


def complete(text: str, cursor: int, vocabulary: Vocabulary) -> Completion:
    """Return what may stand at the cursor, which counts characters from 0; nothing where the text before is wrong.

    Examples
    --------
    >>> known = Vocabulary({"Product Viewed": ("price",), "Product Added": ()}, ("country",))
    >>> complete('performed("Product V', 20, known).options
    (Option(text='"Product Viewed"', kind='event'),)
    >>> [option.text for option in complete("traits.country i", 16, known).options]
    ['in [', 'is missing']
    """
    before = text[: max(0, cursor)]
    start = _start(before)
    expected = expected_after(before[:start])
    if expected is None:
        return Completion(start, len(before), ())
    typed = before[start:].lower()
    found = [one for one in _options(expected, vocabulary) if _begins(one.text, typed)]
    return Completion(start, len(before), tuple(dict.fromkeys(found))[:OPTIONS_MAX])


def unknown(condition: Condition, vocabulary: Vocabulary) -> tuple[Unknown, ...]:
    """Return the names in a condition that the vocabulary does not have, each once.

    Examples
    --------
    >>> from bespeak.conditions.text.parser import parse
    >>> known = Vocabulary({"Product Viewed": ("price",)})
    >>> [one.message() for one in unknown(parse('performed("Product Viewd")'), known)]
    ["unknown event 'Product Viewd': did you mean 'Product Viewed'?"]
    """
    return tuple(dict.fromkeys(_unknown(condition, vocabulary)))


def point_at(text: str, one: Unknown) -> str:
    """Say that a name is unknown, with the place in the text where it stands first, as other errors do."""
    shown = format_value(one.name) if one.kind in {"event", "segment"} else format_operand(Path(one.name))
    at = max(0, text.find(shown))
    expected = f"a known {one.kind}"
    remedy = f"did you mean {format_value(one.near)}?" if one.near is not None else ""
    return str(error_at(text, at, expected, shown, remedy, length=len(shown)))


def _start(before: str) -> int:
    """Return where the word or string begins that the cursor stands in, or else the cursor."""
    bare = _CLOSED.sub(lambda found: " " * len(found[0]), before)
    quoted = _OPEN.search(bare)
    if quoted is not None:
        return quoted.start()
    part = _PART.search(bare)
    return len(before) if part is None else part.start()


def _begins(option: str, typed: str) -> bool:
    return option.lower().startswith(typed) and option.lower() != typed


def _options(expected: Expected, known: Vocabulary) -> Iterator[Option]:
    kind, where = expected.kind, expected.where
    if kind == AN_EVENT:
        yield from _named(known.events, "event")
    elif kind == A_SEGMENT:
        yield from _named(known.segments, "segment")
    elif kind == A_LIST:
        yield from _named(known.lists, "list")
    elif kind == A_PROPERTY:
        yield from _properties(known, None)
    elif kind in {A_CONDITION, A_VALUE}:
        if kind == A_VALUE and expected.operand is not None:
            yield from (Option(format_value(one), "value") for one in known.values.get(expected.operand, ()))
        if where == "person":
            yield from _names_of_person(known)
        elif where == "event":
            yield from _properties(known, expected.event)
        yield from (Option(path, "path") for path in _PATHS[where])
    for word in _WORDS.get(kind, expected.words):
        of_person = word in _OF_PERSON and where != "person"
        if not of_person and (word != "exactly" or word in expected.words):
            yield Option(word, "word")


def _named(names: Iterable[str], kind: OptionKind) -> Iterator[Option]:
    return (Option(format_value(name), kind) for name in sorted(names))


def _names_of_person(known: Vocabulary) -> Iterator[Option]:
    yield from (Option(format_operand(Path(f"traits.{name}")), "trait") for name in sorted(known.traits))
    yield from (Option(path, "computed") for path in sorted(known.computed))
    yield from (Option(path, "score") for path in sorted(known.scores))


def _properties(known: Vocabulary, event: str | None) -> Iterator[Option]:
    """Yield the properties of an event, or, where it is not known which, of all."""
    several = known.events.values() if event is None or event not in known.events else (known.events[event],)
    for name in sorted({name for names in several for name in names}):
        yield Option(format_operand(Path(f"properties.{name}")), "property")


def _unknown(condition: Condition, known: Vocabulary) -> Iterator[Unknown]:
    for one in walk(condition):
        match one:
            case InSegment(segment):
                yield from _missing("segment", segment, known.segments)
            case Performed(event, where):
                yield from _of_event(event, where, None, known)
            case LastPerformed(event, has, where):
                yield from _of_event(event, where, None, known)
                yield from _of_event(event, has, None, known)
            case Sequence():
                for deed in deeds(one):
                    yield from _of_event(deed.event, deed.where, None, known)
            case HasBeen(path):
                yield from _of_operand(Path(path), known)
            case And() | Or() | Not() | InList():
                pass
            case AnyOf(path):
                yield from _of_operand(Path(path), known)
            case _:
                for operand in (one.operand, *read_on_the_right(one)):
                    yield from _of_operand(operand, known)


def _of_operand(operand: Asked, known: Vocabulary) -> Iterator[Unknown]:
    if isinstance(operand, Aggregate):
        yield from _of_event(operand.event, operand.where, operand.of, known)
        return
    if not isinstance(operand, Path):
        return
    head, _, rest = operand.path.partition(".")
    if head == "traits" and rest not in known.traits:
        for found in _missing("trait", rest.partition(".")[0], known.traits):
            yield Unknown(found.kind, f"traits.{found.name}", found.near and f"traits.{found.near}")
    if head == "computed":
        yield from _missing("computed trait", operand.path, known.computed)
    if head == "scores":
        yield from _missing("score", operand.path, known.scores)


def _of_event(event: str, where: Condition | None, of: str | None, known: Vocabulary) -> Iterator[Unknown]:
    if prefix_of(event) is not None:
        return
    yield from _missing("event", event, known.events)
    properties = known.events.get(event)
    if properties is None:
        return
    paths = [] if of is None else [of]
    for one in () if where is None else walk(where):
        if not isinstance(one, And | Or | Not | Performed | InSegment | InList):
            paths += [side.path for side in (one.operand, *read_on_the_right(one)) if isinstance(side, Path)]
    for path in paths:
        head, _, rest = path.partition(".")
        if head == "properties" and rest not in properties:
            for found in _missing("property", rest.partition(".")[0], properties):
                yield Unknown(found.kind, f"properties.{found.name}", found.near and f"properties.{found.near}")


def _missing(kind: NameKind, name: str, names: Iterable[str]) -> Iterator[Unknown]:
    held = list(names)
    if name not in held:
        near = difflib.get_close_matches(name, held, n=1, cutoff=0.6)
        yield Unknown(kind, name, near[0] if near else None)
