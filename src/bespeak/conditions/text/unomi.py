"""Conditions of Apache Unomi, read into ours: what they mean, and what they can only come near to.

References
----------
[^1]: Apache Unomi 3, "Conditions": an object of a `type` and its `parameterValues`, of which a value may be
   `parameter::NAME`, which is that of the condition around it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Literal, cast

import msgspec

from bespeak.clock import DAY
from bespeak.conditions.meaning.check import check
from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.text.unomi_places import by_point, in_place, near, on_lists
from bespeak.conditions.text.unomi_values import (
    Parameters,
    as_string,
    date_in,
    list_in,
    number_in,
    string_in,
    text_in,
    value_in,
    values_in,
)
from bespeak.conditions.text.wire import check_nesting
from bespeak.conditions.tree import (
    MAX_DEPTH,
    MAX_NODES,
    Aggregate,
    And,
    AnyOf,
    Between,
    Compare,
    Condition,
    Exists,
    FromTo,
    HasAll,
    In,
    InSegment,
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
    Text,
    Value,
    Window,
)

EVENTS: Mapping[str, str] = {"view": "Page Viewed", "identify": "Identified"}
"""What Unomi's types of events are called here; others keep their names."""

_SHORTCUTS = {
    "profileUpdatedEventCondition": "profileUpdated",
    "sessionCreatedEventCondition": "sessionCreated",
    "updatePropertiesEventCondition": "updateProperties",
    "cdpSessionEventCondition": "cdpSession",
    "updateListsEventCondition": "updateLists",
    "updateConsentEventCondition": "updateConsent",
}
_REFUSED = {
    "idsCondition": "ids of profiles differ; ask for `user_id in [...]`",
    "goalMatchCondition": "write the goal's event: performed(...)",
    "newVisitorCondition": "when the visit before began is not kept; that there was none is sessions.count = 1",
    "returningVisitorCondition": "when the visit before began is not kept; that there was one is sessions.count > 1",
    "profileAliasesPropertyCondition": "aliases are followed by themselves",
    "topicPropertyCondition": "topics are interests: interests.category.NAME > 1",
    "userListPropertyCondition": "write in_list(...)",
    "sourceEventPropertyCondition": "ask for what the event itself has: where context.page.path = ...",
}
"""What Unomi ships and there is no counterpart for, and what would do; `docs/conditions.md` has the same."""

_COMPARED: dict[str, Operator] = {
    "equals": "=",
    "notEquals": "!=",
    "lessThan": "<",
    "lessThanOrEqualTo": "<=",
    "greaterThan": ">",
    "greaterThanOrEqualTo": ">=",
}
_HOWS: dict[str, Literal["contains", "starts", "ends"]] = {
    "contains": "contains",
    "startsWith": "starts",
    "endsWith": "ends",
}
_LOOKS_MAX = 10 * MAX_NODES
"""How often parts are looked at: those of events twice, and what a parameter brings in once more each time."""


class Imported(msgspec.Struct, frozen=True):
    """A condition that was read, and in which points it is not quite what it was."""

    condition: Condition
    notes: tuple[str, ...]


def from_unomi(value: Mapping[str, object], *, events: Mapping[str, str] = EVENTS) -> Imported:
    """Read a condition of Unomi, as JSON was read into.

    Parameters
    ----------
    events
        What types of events are called here.

    Raises
    ------
    ConditionError
        It has a type or a parameter that has no counterpart; the message names the place, and what would do.

    Examples
    --------
    >>> from bespeak.conditions.text.printer import format_condition
    >>> old = {"type": "pastEventCondition", "parameterValues": {"numberOfDays": 30, "minimumEventCount": 3,
    ...        "eventCondition": {"type": "eventTypeCondition", "parameterValues": {"eventTypeId": "view"}}}}
    >>> format_condition(from_unomi(old).condition)
    'count("Page Viewed", last 30 days) >= 3'
    """
    check_nesting(value)
    reader = _Reader(events)
    condition = reader.read(value, {}, "top", depth=1)
    return Imported(check(condition), tuple(dict.fromkeys(reader.notes)))


class _Reader:
    def __init__(self, events: Mapping[str, str]) -> None:
        self._events = events
        self._path: Callable[[str, str], str] = _profile_path
        self._looks = 0
        self.notes: list[str] = []
        self._readers: dict[str, Callable[[Parameters, str, int], Condition]] = {
            "booleanCondition": self._boolean,
            "notCondition": lambda given, at, depth: Not(self._inner(given, "subCondition", at, depth)),
            "matchAllCondition": lambda _given, _at, _depth: And(()),
            "nestedCondition": self._nested,
            "profilePropertyCondition": lambda given, at, _depth: self._property(given, at, _profile_path),
            "sessionPropertyCondition": lambda given, at, _depth: self._property(given, at, self._session_path),
            "eventPropertyCondition": self._lone_event_property,
            "profileSegmentCondition": self._segments,
            "scoringCondition": self._score,
            "pastEventCondition": self._past_event,
            "sessionDurationCondition": self._session_duration,
            "geoLocationSessionCondition": lambda given, at, _depth: self._placed(in_place(given, at)),
            "geoLocationByPointSessionCondition": lambda given, at, _depth: self._placed(by_point(given, at)),
            "profileUserListCondition": lambda given, at, _depth: on_lists(given, at),
        }

    def read(self, value: object, outer: Parameters, at: str, *, depth: int) -> Condition:
        self._look(at, depth)
        kind, given = _parts(value, outer, at)
        reader = self._readers.get(kind)
        if reader is not None:
            return reader(given, f"{at} ({kind})", depth)
        if kind in _REFUSED:
            raise Misfit(at, "a condition that has a counterpart here", f"`{kind}`", _REFUSED[kind])
        event = self._event(kind, given, at, depth)
        if event is not None:
            return Performed(*event)
        close = difflib.get_close_matches(kind, [*self._readers, *_EVENT_KINDS, *_SHORTCUTS], n=1, cutoff=0.7)
        advice = f"did you mean `{close[0]}`?" if close else "only the types that Unomi ships are known"
        raise Misfit(at, "a type of condition", f"`{kind[:80]}`", advice)

    def _look(self, at: str, depth: int) -> None:
        """Note that a part is looked at: what parameters bring in again and again would have no end."""
        self._looks += 1
        if depth > MAX_DEPTH:
            raise Misfit(at, f"at most {MAX_DEPTH} levels", "more")
        if self._looks > _LOOKS_MAX:
            raise Misfit(at, f"at most {MAX_NODES} parts", "many more", "split it into segments")

    def _inner(self, given: Parameters, name: str, at: str, depth: int) -> Condition:
        return self.read(given.get(name), given, f"{at}.{name}", depth=depth + 1)

    def _boolean(self, given: Parameters, at: str, depth: int) -> Condition:
        parts = given.get("subConditions", [])
        if not isinstance(parts, list):
            raise Misfit(f"{at}.subConditions", "a list", repr(parts)[:80])
        read = tuple(
            self.read(part, given, f"{at}.subConditions[{place}]", depth=depth + 1)
            for place, part in enumerate(cast("list[object]", parts))
        )
        operator = str(given.get("operator", "and")).lower()
        if operator not in {"and", "or"}:
            raise Misfit(f"{at}.operator", "and or or", repr(operator)[:80])
        return And(read) if operator == "and" else Or(read)

    def _nested(self, given: Parameters, at: str, depth: int) -> Condition:
        named = text_in(given, "path", at)
        path, outer = self._path(named, at), self._path

        def of_element(name: str, _at: str) -> str:
            return f"it.{name.removeprefix(named + '.').removeprefix('properties.')}"

        self._path = of_element
        where = self._inner(given, "subCondition", at, depth)
        self._path = outer
        return AnyOf(path, where)

    def _property(self, given: Parameters, at: str, path: Callable[[str, str], str]) -> Condition:
        named = text_in(given, "propertyName", at)
        use = path if self._path is _profile_path else self._path
        return _tested(Path(use(named, f"{at}.propertyName")), given, at)

    def _session_path(self, name: str, _at: str) -> str:
        if name == "size":
            return "sessions.events"
        self.notes.append(f"session property {name}: asked of the request, as context; segments do not know it")
        return f"context.{name.removeprefix('properties.')}"

    def _lone_event_property(self, given: Parameters, at: str, _depth: int) -> Condition:
        if self._path is _profile_path:
            raise Misfit(at, "an event around it", "a property of an event", "put it into a pastEventCondition")
        return self._property(given, at, _event_path)

    def _segments(self, given: Parameters, at: str, _depth: int) -> Condition:
        parts = tuple(InSegment(str(one)) for one in list_in(given, "segments", at))
        match given.get("matchType", "in"):
            case "in":
                return Or(parts)
            case "notIn":
                return Not(Or(parts))
            case "all":
                return And(parts)
            case other:
                raise Misfit(f"{at}.matchType", "in, notIn or all", repr(other)[:80])

    def _score(self, given: Parameters, at: str, _depth: int) -> Condition:
        operator = str(given.get("comparisonOperator", "greaterThanOrEqualTo"))
        if operator not in _COMPARED:
            raise Misfit(f"{at}.comparisonOperator", ", ".join(_COMPARED), repr(operator)[:80])
        plan = Path(f"scores.{text_in(given, 'scoringPlanId', at)}")
        return Compare(plan, _COMPARED[operator], number_in(given, "scoreValue", at))

    def _session_duration(self, given: Parameters, at: str, _depth: int) -> Condition:
        bounds: list[Condition] = []
        for name, op in (("minimumDuration", ">="), ("maximumDuration", "<=")):
            if given.get(name) is not None:
                minutes = number_in(given, name, at) / 60
                bounds.append(Compare(Path("sessions.minutes"), cast("Operator", op), minutes))
        return And(tuple(bounds))

    def _placed(self, condition: Condition) -> Condition:
        self.notes.append("location: asked of the person, by their newest event that says where they are")
        return condition

    # Events.

    def _past_event(self, given: Parameters, at: str, depth: int) -> Condition:
        kind, inner = _parts(given.get("eventCondition"), given, f"{at}.eventCondition")
        found = self._event(kind, inner, f"{at}.eventCondition", depth)
        if found is None:
            raise Misfit(f"{at}.eventCondition", "a condition on events of one type", f"`{kind[:80]}`")
        event, where = found
        within = self._window(given, at)
        if given.get("operator") == "eventsNotOccurred":
            return Not(Performed(event, where, within))
        least = max(1, int(number_in(given, "minimumEventCount", at))) if given.get("minimumEventCount") else 1
        count = Aggregate("count", event, None, where, within)
        if given.get("maximumEventCount") is not None:
            return Between(count, least, int(number_in(given, "maximumEventCount", at)))
        return Compare(count, ">=", least)

    def _window(self, given: Parameters, at: str) -> Window | None:
        if given.get("numberOfDays") is not None:
            return int(number_in(given, "numberOfDays", at)) * DAY
        start, end = (date_in(given, name, at) for name in ("fromDate", "toDate"))
        if start is None and end is None:
            return None
        if start is not None and end is None:
            return Since(start)
        if end is not None:
            self.notes.append("toDate: the instant itself is out")
        return FromTo(start or "0001-01-01", cast("str", end))

    def _event(self, kind: str, given: Parameters, at: str, depth: int) -> tuple[str, Condition | None] | None:
        """Return the name and the filter of a condition on events of one type; None where it is none."""
        self._look(at, depth)
        if kind == "eventTypeCondition":
            return self._named(text_in(given, "eventTypeId", at)), None
        if kind in _SHORTCUTS:
            return self._named(_SHORTCUTS[kind]), None
        if kind in _EVENT_KINDS:
            named, fields = _EVENT_KINDS[kind]
            parts = tuple(
                Compare(Path(path), "=", str(given[name]))
                for name, path in fields.items()
                if given.get(name) is not None
            )
            return self._named(named), And(parts) if parts else None
        if kind == "booleanCondition" and str(given.get("operator", "and")).lower() == "and":
            return self._bound(given, at, depth)
        return None

    def _bound(self, given: Parameters, at: str, depth: int) -> tuple[str, Condition | None] | None:
        """Return an `and` of a type and of filters as one event."""
        names: list[str] = []
        filters: list[Condition] = []
        outer, self._path = self._path, _event_path
        for place, part in enumerate(list_in(given, "subConditions", at)):
            kind, inner = _parts(part, given, f"{at}.subConditions[{place}]")
            found = self._event(kind, inner, at, depth + 1)
            if found is None:
                filters.append(self.read(part, given, f"{at}.subConditions[{place}]", depth=depth + 1))
            else:
                names.append(found[0])
                filters += [found[1]] if found[1] is not None else []
        self._path = outer
        if len(set(names)) != 1:
            return None
        return names[0], And(tuple(filters)) if filters else None

    def _named(self, kind: str) -> str:
        return self._events.get(kind, kind)


_EVENT_KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "formEventCondition": (
        "form",
        {"formId": "properties.target.itemId", "pagePath": "properties.source.properties.pageInfo.pagePath"},
    ),
    "videoViewEventCondition": (
        "video",
        {"videoId": "properties.target.itemId", "pagePath": "properties.source.properties.pageInfo.pagePath"},
    ),
    "hoverEventCondition": (
        "hover",
        {"targetId": "properties.target.itemId", "targetPath": "properties.target.properties.pageInfo.pagePath"},
    ),
    "modifyConsentEventCondition": (
        "modifyConsent",
        {"consentTypeId": "properties.consent.typeIdentifier", "consentStatus": "properties.consent.status"},
    ),
    "modifyAnyConsentEventCondition": ("modifyConsent", {}),
}
"""Conditions on events of one type: what it is, and the paths of what they ask for."""


def _parts(value: object, outer: Parameters, at: str) -> tuple[str, Parameters]:
    """Return the type of a condition and its parameters, those taken from outside filled in."""
    if not isinstance(value, Mapping):
        raise Misfit(at, 'a condition such as {"type": ..., "parameterValues": {...}}', repr(value)[:80])
    held = cast("Mapping[str, object]", value)
    kind = held.get("type")
    given: object = held.get("parameterValues")
    if given is None:
        given = dict[str, object]()
    if not isinstance(kind, str) or not isinstance(given, Mapping):
        raise Misfit(at, "`type` and `parameterValues`", repr(held)[:80])
    filled: dict[str, object] = {}
    for name, one in cast("Mapping[str, object]", given).items():
        if isinstance(one, str) and one.startswith("script::"):
            raise Misfit(f"{at}.{name}", "a value", "a script", "conditions are data; write the test itself")
        taken = isinstance(one, str) and one.startswith("parameter::")
        filled[name] = outer.get(str(one).removeprefix("parameter::")) if taken else one
    return kind, filled


def _profile_path(name: str, at: str) -> str:
    known = {"properties.nbOfVisits": "sessions.count", "properties.pageViewCount": "traits.pageViewCount"}
    if name in known:
        return known[name]
    head, _, rest = name.partition(".")
    if head == "scores" and rest:
        return f"scores.{rest}"
    if head != "properties" or not rest:
        raise Misfit(at, "properties.NAME or scores.NAME", f"`{name[:80]}`", "inner fields of Unomi are not kept here")
    return f"traits.{rest}"


def _event_path(name: str, _at: str) -> str:
    for head in ("properties.", "flattenedProperties."):
        if name.startswith(head):
            return f"properties.{name.removeprefix(head)}"
    return f"properties.{name}"


def _tested(operand: Operand, given: Parameters, at: str) -> Condition:
    """Return the test that a property condition makes."""
    operator = str(given.get("comparisonOperator", "equals"))
    match operator:
        case "exists":
            return Exists(operand)
        case "missing":
            return Not(Exists(operand))
        case "distance":
            return near(operand, given, at)
        case "equals" | "notEquals" | "lessThan" | "lessThanOrEqualTo" | "greaterThan" | "greaterThanOrEqualTo":
            return Compare(operand, _COMPARED[operator], value_in(given, at))
        case "isDay":
            return Compare(operand, "on", value_in(given, at, dated=True))
        case "isNotDay":
            return And((Exists(operand), Not(Compare(operand, "on", value_in(given, at, dated=True)))))
        case "between":
            ends = values_in(given, at)
            if len(ends) != 2:
                raise Misfit(f"{at}.propertyValues", "two values", str(len(ends)))
            return Between(operand, ends[0], ends[1])
        case "contains" | "startsWith" | "endsWith":
            return Text(operand, _HOWS[operator], (string_in(given, at),))
        case "matchesRegex":
            return Matches(operand, string_in(given, at))
        case _:
            return _tested_for_many(operand, operator, given, at)


def _tested_for_many(operand: Operand, operator: str, given: Parameters, at: str) -> Condition:
    match operator:
        case "notContains":
            return And((Exists(operand), Not(Text(operand, "contains", (string_in(given, at),)))))
        case "in" | "hasSomeOf":
            return _one_of(operand, values_in(given, at))
        case "notIn" | "hasNoneOf":
            return Not(_one_of(operand, values_in(given, at)))
        case "all":
            values = values_in(given, at)
            return HasAll(operand, cast("tuple[Value, ...]", values))
        case "inContains":
            return Text(operand, "contains", tuple(map(as_string, values_in(given, at))))
        case _:
            raise Misfit(f"{at}.comparisonOperator", "an operator of Unomi", repr(operator)[:80])


def _one_of(operand: Operand, values: tuple[Right, ...]) -> Condition:
    dates = [value for value in values if isinstance(value, Moment)]
    if dates:
        return Or(tuple(Compare(operand, "=", date) for date in dates))
    return In(operand, cast("tuple[Value, ...]", values))
