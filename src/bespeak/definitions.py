"""Reading one definition strictly: what people write in YAML or send as JSON becomes a frozen value, or is refused.

An unknown field, a wrong type or a broken condition is refused with the file, the field, what was found
and what would do, so that a typing error is an error message and never a rule that silently does nothing.

Examples
--------
>>> class Greeting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
...     text: str
...     priority: int = 0
>>> read({"text": "Hello", "prioritty": 3}, Greeting, what="greeting", source="hello.yaml")
Traceback (most recent call last):
    ...
bespeak.errors.DefinitionError: hello.yaml: prioritty: unknown field; did you mean 'priority'? ...
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Mapping
from typing import TypeVar, cast

import msgspec

from bespeak import conditions
from bespeak.clock import Instant, from_datetime, parse_time
from bespeak.errors import ConditionError, DefinitionError, InvalidInput, Problem

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_AT = re.compile(r"^(?P<message>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+|\.\.\.)\]")
_SHOWN = 80


def check_id(identifier: str, what: str) -> None:
    """Refuse an id that could not stand in a file name, a URL and a log line.

    Raises
    ------
    ValueError
        Not 1 to 100 letters, digits and `_ . : -`, beginning with a letter or a digit.
    """
    if not _ID.fullmatch(identifier):
        raise ValueError(
            f"{what} id must have 1 to 100 letters, digits or '_', '.', ':', '-', and begin with a letter or digit, "
            f"got {identifier!r}"
        )


def read(  # each says which part of the file means what
    raw: object,
    kind: type[T],
    *,
    what: str,
    source: str,
    conditions_in: tuple[str, ...] = (),
    times_in: tuple[str, ...] = (),
    extra: Mapping[str, object] | None = None,
) -> T:
    """Read one definition.

    Parameters
    ----------
    raw
        What YAML or JSON gave.
    kind
        The frozen type, or union of tagged types, that it must fit; unknown fields are refused by the type.
    what
        The word for it in messages: `experiment`.
    source
        Where it was written: a file name, or the address of the call.
    conditions_in
        Fields that hold a condition, as text or in its JSON form.
    times_in
        Fields that hold an instant: ISO 8601 text, or what YAML makes of it.
    extra
        Fields that the writer cannot give and the caller adds, such as `version`.

    Raises
    ------
    DefinitionError
        Something does not fit; `problems` has the field, what was expected there and what was found.
    """
    if not isinstance(raw, Mapping):
        raise DefinitionError(f"{source}: expected {what} as a mapping of fields, found {_show(raw)}")
    given = cast("Mapping[object, object]", raw)
    fields: dict[object, object] = dict(given)
    for name in extra or {}:
        if name in fields:
            raise _refusal(source, name, "no such field: it is counted by the store", fields[name], "leave it out")
    fields.update(extra or {})
    for name in conditions_in:
        if fields.get(name) is not None:
            fields[name] = _condition(fields[name], name, source)
    for name in times_in:
        if fields.get(name) is not None:
            fields[name] = _instant(fields[name], name, source)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _explain(error, given, kind, what, source) from None


def _condition(value: object, field: str, source: str) -> conditions.Condition:
    if not isinstance(value, str | Mapping):
        raise _refusal(source, field, "a condition", value, 'write text, such as: traits.country = "DE"')
    written = cast("str | Mapping[str, object]", value)
    try:
        return conditions.load(written)
    except InvalidInput as error:
        message = f"{source}: {field}: {error.message}"
        raise ConditionError(
            message, problems=error.problems or (Problem(field, "a condition", _show(written)),)
        ) from None


def _instant(value: object, field: str, source: str) -> Instant:
    if isinstance(value, datetime.datetime):
        return from_datetime(value)
    if isinstance(value, datetime.date):
        return from_datetime(datetime.datetime(value.year, value.month, value.day, tzinfo=datetime.UTC))
    if isinstance(value, str):
        try:
            return parse_time(value)
        except InvalidInput:
            pass  # refused below, in the words of a definition
    raise _refusal(source, field, "a time", value, "write ISO 8601, such as 2026-01-31T12:00:00Z")


def _explain(
    error: msgspec.ValidationError, raw: Mapping[object, object], kind: object, what: str, source: str
) -> DefinitionError:
    """Turn msgspec's message into file, field, what was expected, what was found and what would do."""
    match = _AT.fullmatch(str(error))
    message, path = (match["message"], match["path"] or "$") if match else (str(error), "$")
    steps = tuple(step["name"] or step["index"] for step in _STEP.finditer(path))
    where = path.removeprefix("$").removeprefix(".")
    if unknown := _UNKNOWN.fullmatch(message):
        names = _fields_at(kind, raw, steps)
        close = difflib.get_close_matches(unknown["field"], names, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        found = _value_at(raw, (*steps, unknown["field"]))
        field = f"{where}.{unknown['field']}" if where else unknown["field"]
        return _refusal(source, field, "unknown field", found, f"{guess}the fields here are {', '.join(names)}")
    if missing := _MISSING.fullmatch(message):
        field = f"{where}.{missing['field']}" if where else missing["field"]
        problem = Problem(field, "a value", "nothing")
        return DefinitionError(f"{source}: {field}: is missing; every {what} needs it", problems=(problem,))
    return _refusal(source, where or what, message[:1].lower() + message[1:], _value_at(raw, steps), None)


def _refusal(source: str, field: str, expected: str, found: object, remedy: str | None) -> DefinitionError:
    shown = _show(found)
    tail = f"; {remedy}" if remedy else ""
    if expected == "unknown field" and remedy:
        text = f"{source}: {field}: unknown field; {remedy} (found {shown})"
    elif " got " in expected:
        text = f"{source}: {field}: {expected}{tail}"
    else:
        expected = expected if expected.startswith(("expected ", "no ")) else f"expected {expected}"
        text = f"{source}: {field}: {expected}, found {shown}{tail}"
    return DefinitionError(text, problems=(Problem(field, expected.removeprefix("expected "), shown),))


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."


def _value_at(raw: object, steps: tuple[str, ...]) -> object:
    """Return what stands at the place; the mapping around it where there is nothing."""
    for step in steps:
        if isinstance(raw, Mapping):
            mapping = cast("Mapping[object, object]", raw)
            raw = (
                next(iter(mapping.values()), None)
                if step == "..." and len(mapping) == 1
                else mapping.get(step, mapping)
            )
        elif isinstance(raw, list | tuple) and step.isdigit():
            raw = cast("list[object]", raw)[int(step)]
    return raw  # pyright: ignore[reportUnknownVariableType]  # whatever stands there


def _fields_at(kind: object, raw: object, steps: tuple[str, ...]) -> list[str]:
    """Return the field names that may stand at the place, as they are written."""
    node = msgspec.inspect.type_info(kind)
    for step in (*steps, None):
        if isinstance(node, msgspec.inspect.UnionType):
            node = _member(node, raw)
        if step is None:
            break
        if isinstance(node, msgspec.inspect.StructType):
            node = next((f.type for f in node.fields if f.encode_name == step), node)
        elif isinstance(node, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
            node = node.item_type
        elif isinstance(node, msgspec.inspect.DictType):
            node = node.value_type
        raw = _value_at(raw, (step,))
    return [f.encode_name for f in node.fields] if isinstance(node, msgspec.inspect.StructType) else []


def _member(union: msgspec.inspect.UnionType, raw: object) -> msgspec.inspect.Type:
    structs = [t for t in union.types if isinstance(t, msgspec.inspect.StructType)]
    if isinstance(raw, Mapping):
        mapping = cast("Mapping[object, object]", raw)
        for struct in structs:
            if struct.tag_field is not None and mapping.get(struct.tag_field) == struct.tag:
                return struct
    return structs[0] if structs else union
