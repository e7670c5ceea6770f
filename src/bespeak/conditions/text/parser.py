"""Text to condition: a recursive descent that never goes deeper than a condition may.

condition   := conjunction ("or" conjunction)*
conjunction := negation ("and" negation)*
negation    := "not" negation | "(" condition ")" | "true" | "false" | leaf
leaf        := "performed" "(" event ")" | ("in_segment" | "in_list") "(" STRING ")" | operand ["not"] test
             | "any" "of" PATH "where" "(" condition ")"
             | "last" "(" event ")" "has" "(" condition ")"
             | "sequence" "(" step ("then" step)* ["without" deeds "for" NUMBER UNIT] ["," window] ")"
step        := deed ["within" NUMBER UNIT] ["without" deeds]
deeds       := deed ("," deed)*
deed        := STRING ["where" condition]
operand     := PATH | "bucket" "(" STRING ")" | "count" "(" event ")" | KIND "(" PATH "of" event ")"
event       := STRING ["where" condition] ["," window]
window      := "last" NUMBER UNIT | "today" | "yesterday" | ("this" | "last") PERIOD | "this" "session"
             | "since" date | "from" date "to" date | "half-life" NUMBER UNIT
test        := ("=" | "!=") ["exactly"] right | ("<" | "<=" | ">" | ">=" | "on") right
             | ("in" | "has" "all") ["exactly"] list
             | ("contains" | "starts" "with" | "ends" "with") ["exactly"] (STRING | "any" list)
             | "matches" STRING | "between" right "and" right | "within" "last" NUMBER UNIT
             | "within" NUMBER ("km" | "miles" | "metres") "of" "(" NUMBER "," NUMBER ")"
             | "exists" | "is" "missing"
             | "has" "been" ["exactly"] value "for" ["less" "than"] NUMBER UNIT
list        := "[" value ("," value)* "]"
right       := value | date | NUMBER UNIT "ago" | "version" STRING | operand
date        := "date" STRING
value       := STRING | NUMBER | "true" | "false"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar, cast, get_args

from bespeak.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND, WEEK, Duration
from bespeak.conditions.meaning.check import HEADS, Where, check, check_leaf
from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.text.cursor import Cursor, keyword_advice, quote_advice
from bespeak.conditions.text.parser_marked import Parts, read_has_been, read_last_performed, read_sequence
from bespeak.conditions.text.parser_places import begins_bucket, begins_near, read_bucket, read_near
from bespeak.conditions.text.places_in import place_of_date, place_of_pattern, place_of_version, read_version
from bespeak.conditions.text.tokens import Token, error_at
from bespeak.conditions.tree import (
    MAX_NODES,
    Aggregate,
    And,
    AnyOf,
    Between,
    Calendar,
    Compare,
    Condition,
    Deed,
    Exists,
    FromTo,
    HalfLife,
    HasAll,
    In,
    InList,
    InSegment,
    Kind,
    Leaf,
    Matches,
    Moment,
    Not,
    Operand,
    Operator,
    Or,
    Path,
    Performed,
    Right,
    Since,
    Test,
    Text,
    ThisSession,
    Unit,
    Value,
    Version,
    Window,
    Within,
)
from bespeak.conditions.values.moments import read_instant, read_moment
from bespeak.conditions.values.patterns import full_match
from bespeak.errors import ConditionError

T = TypeVar("T")

_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
_PERIODS: dict[str, Unit] = {unit: unit for unit in get_args(Unit)}
_LITERALS: dict[str, Value] = {"true": True, "false": False}
_HOWS: dict[str, Literal["starts", "ends"]] = {"starts": "starts", "ends": "ends"}
_UNITS: dict[str, Duration] = {
    "millisecond": MILLISECOND,
    "second": SECOND,
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "week": WEEK,
}
_AGO = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w", "month": "M", "year": "y"}
AN_EVENT = "the name of an event in double quotes"
A_SEGMENT = "the id of a segment in double quotes"
A_LIST = "the id of a list in double quotes"
A_PROPERTY = "a property such as properties.revenue"
A_CONDITION = 'a condition such as traits.country = "DE"'
A_VALUE = 'a value such as "DE", 5 or true'
A_TEST = "=, !=, <, <=, >, >=, in, contains, between, exists or is missing"
A_WINDOW = "a window such as last 30 days, this month or since date"
A_UNIT = "weeks, days, hours, minutes, seconds or milliseconds"
A_PERIOD = "week, month, quarter, year or session, or a number of days"


def parse(text: str) -> Condition:
    """Read a condition from its text.

    Raises
    ------
    ConditionError
        The text is no condition; the message gives line and column, what was expected and found, and what would do.

    Examples
    --------
    >>> parse('traits.country in ["DE", "FR"]')
    In(operand=Path(path='traits.country'), values=('DE', 'FR'), exact=False)
    """
    return check(_Parser(text).whole())


class Expected(NamedTuple):
    """What may follow a text that is the beginning of a condition.

    Parameters
    ----------
    words
        Words and signs that the grammar looked for.
    kind
        What else may stand there: the beginning of a condition, a test, a window, a string of some kind, ...
    where
        What the condition is about at that place.
    event
        The name of the event whose filter it is in, or whose property is named.
    operand
        The path that stands on the left of the test that it is in; None where no path does.
    """

    words: tuple[str, ...]
    kind: str
    where: Where
    event: str | None
    operand: str | None = None


def expected_after(text: str) -> Expected | None:
    """Return what may follow a text; None where it is wrong before its end.

    Examples
    --------
    >>> expected_after("traits.age >= 18 ").words
    ('or', 'and')
    """
    try:
        parser = _Parser(text)
    except ConditionError:
        return None
    return parser.expected()


class _Parser:
    def __init__(self, text: str) -> None:
        self._at = Cursor(text)
        self._leaves = 0
        self._where: Where = "person"
        self._event_name: str | None = None
        self._left: str | None = None
        self._parts = Parts(self._at, self._deed, self._filter, self._duration, self._windowed, self._value)

    def whole(self) -> Condition:
        condition = self._condition()
        if self._at.next.kind != "end":
            raise self._at.error("`and`, `or` or the end")
        return condition

    def expected(self) -> Expected | None:
        """Return what may follow the whole text."""
        kind = ""
        try:
            self.whole()
        except ConditionError as error:
            kind = error.problems[0].expected
            if self._at.next.kind != "end":
                return None
        return Expected(tuple(reversed(self._at.wanted)), kind, self._where, self._event_name, self._left)

    def _condition(self) -> Condition:
        parts = self._list(self._conjunction, "or")
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _conjunction(self) -> Condition:
        parts = self._list(self._negation, "and")
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _list(self, part: Callable[[], T], separator: str) -> list[T]:
        parts = [part()]
        while self._at.takes(separator):
            parts.append(part())
        return parts

    def _negation(self) -> Condition:
        at = self._at
        if at.next.text == "not":
            with at.deeper():
                at.advance()
                return Not(self._negation())
        if at.next.text == "(":
            with at.deeper():
                at.advance()
                condition = self._condition()
                at.expect(")", "`and`, `or` or `)`")
                return condition
        return self._leaf()

    def _leaf(self) -> Condition:
        self._leaves += 1
        if self._leaves > MAX_NODES:
            raise self._at.error(f"at most {MAX_NODES} parts", "split it into segments")
        if self._at.takes("true"):
            return And(())
        if self._at.takes("false"):
            return Or(())
        first = self._at.next
        negated, leaf = self._plain_leaf()
        leaf = self._checked(leaf, first)
        return Not(leaf) if negated else leaf

    def _checked(self, leaf: Leaf, first: Token) -> Leaf:
        try:
            return check_leaf(leaf, self._where)
        except Misfit as misfit:
            length = self._at.end - first.at
            expected, found, remedy = misfit.expected, misfit.found, misfit.remedy
            raise error_at(self._at.text, first.at, expected, found, remedy, length=length) from None

    def _plain_leaf(self) -> tuple[bool, Leaf]:
        at = self._at
        if at.takes("performed"):
            return False, Performed(*at.bracketed(self._event))
        if at.takes("in_segment"):
            return False, InSegment(at.bracketed(lambda: at.string(A_SEGMENT)))
        if at.takes("in_list"):
            return False, InList(at.bracketed(lambda: at.string(A_LIST)))
        if at.takes("any"):
            return False, self._any_of()
        if at.takes("sequence"):
            return False, at.bracketed(lambda: read_sequence(self._parts))
        if at.next.text == "last" and at.after(1).text == "(" and at.after(2).kind == "string":
            return False, read_last_performed(self._parts)
        first, self._left = at.next, None
        operand = self._operand(A_CONDITION)
        self._left = operand.path if isinstance(operand, Path) else None
        if not at.takes("not"):
            return self._test(operand, first)
        test = self._word_test(operand)
        if test is None:
            raise at.error("in, contains, starts with, ends with, matches, between, has all, on or within")
        return True, test

    def _any_of(self) -> AnyOf:
        self._at.expect("of", "`of` and a list", 'write any of traits.addresses where (it.city = "Wien")')
        path = self._at.path("a list such as traits.addresses")
        self._at.expect("where", "`where` and a condition on `it` in brackets")
        return AnyOf(path, self._within_where("element", lambda: self._at.bracketed(self._condition, "`(`")))

    def _operand(self, expected: str) -> Operand:
        kind = _KINDS.get(self._at.next.text)
        if kind is None and begins_bucket(self._at):
            return read_bucket(self._at)
        if kind is None:
            return Path(self._at.path(expected))
        self._at.advance()
        return self._at.bracketed(lambda: self._aggregate(kind))

    def _aggregate(self, kind: Kind) -> Aggregate:
        of = None
        if kind != "count":
            of = self._at.path(A_PROPERTY, f'write {kind}(properties.NAME of "EVENT")')
            self._at.expect("of", "`of` and the name of an event")
        event, where, within = self._event()
        return Aggregate(kind, event, of, where, within)

    def _event(self) -> tuple[str, Condition | None, Window | None]:
        deed = self._deed()
        return deed.event, deed.where, self._windowed()

    def _deed(self) -> Deed:
        event = self._event_name = self._at.string(AN_EVENT)
        return Deed(event, self._filter() if self._at.takes("where") else None)

    def _filter(self) -> Condition:
        return self._within_where("event", self._condition)

    def _windowed(self) -> Window | None:
        at = self._at
        if at.next.text in {"last", "today", "yesterday", "this", "since", "from", "half-life"}:
            raise at.error("`,` before the window", f"write a comma before `{at.next.text}`")
        return self._window() if at.takes(",") else None

    def _within_where(self, where: Where, inside: Callable[[], Condition]) -> Condition:
        outer, self._where = self._where, where
        condition = inside()
        self._where = outer
        return condition

    def _window(self) -> Window:
        at = self._at
        if at.takes("today"):
            return Calendar("day")
        if at.takes("yesterday"):
            return Calendar("day", 1)
        if at.takes("this"):
            return ThisSession() if at.takes("session") else Calendar(self._period("today"))
        if at.takes("since"):
            return Since(self._instant())
        if at.takes("from"):
            start = self._instant()
            at.expect("to", '`to` and a date, as in to date "2026-02-01"')
            return FromTo(start, self._instant())
        if at.takes("half-life"):
            return HalfLife(self._duration())
        at.expect("last", A_WINDOW, "write `last` before the number" if at.next.kind == "number" else "")
        if at.next.kind == "name":
            return Calendar(self._period("yesterday, or last 1 day"), 1)
        return self._duration()

    def _period(self, day: str) -> Unit:
        token = self._at.next
        unit = _PERIODS.get(token.text)
        if unit is None:
            raise self._at.error(A_PERIOD)
        if unit == "day":
            raise self._at.error("week, month, quarter or year", f"write {day}")
        self._at.advance()
        return unit

    def _duration(self) -> Duration:
        number, token = self._at.number("a whole number of days, hours, minutes or seconds")
        if not isinstance(number, int) or number <= 0:
            raise self._at.error("a whole number above zero", at=token)
        unit = self._at.next.text.removesuffix("s")
        if unit not in _UNITS:
            remedy = f"write this {unit} or last {unit}, or a number of days" if unit in _PERIODS else ""
            raise self._at.error(A_UNIT, remedy)
        self._at.advance()
        return number * _UNITS[unit]

    def _instant(self) -> str:
        self._at.expect("date", 'a date such as date "2026-01-31"')
        return self._at.read_string("a date in double quotes", read_instant, place_of_date)

    def _test(self, operand: Operand, first: Token) -> tuple[bool, Test]:
        """Return the test that follows an operand, and whether it is negated."""
        at, token = self._at, self._at.next
        if token.text in _OPERATORS and token.kind == "sign":
            at.advance()
            op = cast("Operator", token.text)
            exact = op in {"=", "!="} and at.takes("exactly")
            return False, Compare(operand, op, self._right(), exact)
        if at.takes("exists"):
            return False, Exists(operand)
        if at.takes("is"):
            at.expect("missing", "`missing`", "write `is missing` or `exists`, or `=` and a value")
            return True, Exists(operand)
        test = self._word_test(operand)
        if test is not None:
            return False, test
        advice = keyword_advice(first)
        if advice:
            raise at.error("a condition", advice, at=first)
        raise at.error(A_TEST, _flag_advice(operand))

    def _word_test(self, operand: Operand) -> Test | None:
        """Return the test that begins with a word, if one does."""
        at, word = self._at, self._at.next.text
        match word:
            case "in":
                at.advance()
                return In(operand, exact=at.takes("exactly"), values=self._values())
            case "has":
                at.advance()
                if at.takes("been"):
                    return read_has_been(self._parts, operand)
                at.expect("all", "`all` and a list, or `been` and a value", "write `=` or `in` to ask for one of them")
                return HasAll(operand, exact=at.takes("exactly"), values=self._values())
            case "contains":
                at.advance()
                return self._text(operand, "contains")
            case "starts" | "ends":
                at.advance()
                at.expect("with", "`with` and a string")
                return self._text(operand, _HOWS[word])
            case "matches":
                at.advance()
                return Matches(operand, at.read_string("a pattern in double quotes", full_match, place_of_pattern))
            case "between":
                at.advance()
                low = self._right()
                at.expect("and", "`and` and the upper end")
                return Between(operand, low, self._right())
            case "on":
                at.advance()
                return Compare(operand, "on", self._right())
            case "within" if begins_near(at):
                return read_near(at, operand)
            case "within":
                return self._within(operand)
            case _:
                return None

    def _text(self, operand: Operand, how: Literal["contains", "starts", "ends"]) -> Text:
        at = self._at
        exact = at.takes("exactly")
        if not at.takes("any"):
            if at.next.text == "[":
                raise at.error("a string", "write `any` before a list")
            return Text(operand, how, (at.string("a string in double quotes"),), exact)
        values = self._list_of(lambda: at.string("a string in double quotes"))
        return Text(operand, how, tuple(values), exact)

    def _within(self, operand: Operand) -> Within:
        if not isinstance(operand, Path):
            raise self._at.error(
                A_TEST, "`within` asks of a date on the profile; windows of events stand after a comma"
            )
        self._at.advance()
        self._at.expect("last", "`last` and a duration such as 30 days, or a distance such as 20 km")
        return Within(operand, self._duration())

    def _values(self) -> tuple[Value, ...]:
        return tuple(self._list_of(self._value))

    def _list_of(self, value: Callable[[], T]) -> list[T]:
        at = self._at
        at.expect("[", 'a list such as ["DE", "FR"]')
        if at.next.text == "]":
            raise at.error("at least one value")
        values = self._list(value, ",")
        at.expect("]", "`,` or `]`")
        return values

    def _right(self) -> Right:
        """Return what stands on the right: a value, a date, a version, or a path or an aggregate to compare with."""
        at, token = self._at, self._at.next
        if token.kind == "number" and at.after(2).text == "ago":
            return self._ago()
        if token.kind != "name" or token.text in _LITERALS or token.text == "null":
            return self._value()
        if at.takes("date"):
            return Moment(at.read_string("a date in double quotes", read_moment, place_of_date))
        if at.takes("version"):
            return Version(at.read_string("a version in double quotes", read_version, place_of_version))
        if token.text == "exactly":
            raise at.error(A_VALUE, "only `=`, `!=`, `in`, `has all`, `contains`, `starts` and `ends with` fold")
        if token.text in _KINDS or token.text.partition(".")[0] in HEADS:
            return self._operand(A_VALUE)
        raise at.error(A_VALUE, quote_advice(token))

    def _ago(self) -> Moment:
        number, token = self._at.number("a number of days")
        unit = self._at.next.text.removesuffix("s")
        if unit not in _AGO or not isinstance(number, int) or number < 0:
            raise self._at.error("a whole number of seconds, minutes, hours, days, weeks, months or years", at=token)
        self._at.advance()
        self._at.advance()
        return Moment(f"now-{number}{_AGO[unit]}")

    def _value(self) -> Value:
        at, token = self._at, self._at.next
        if token.text in _LITERALS and token.kind == "name":
            at.advance()
            return _LITERALS[token.text]
        if token.kind == "string":
            return at.string("a string")
        if token.text == "null":
            raise at.error("a string, a number, true or false", "write `is missing` or `exists`")
        return at.number(A_VALUE, quote_advice(token))[0]


def _flag_advice(operand: Operand) -> str:
    return f"to test a flag, write {operand.path} = true" if isinstance(operand, Path) else "such as >= 5"
