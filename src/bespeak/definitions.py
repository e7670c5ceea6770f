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
from msgspec import inspect

from bespeak import conditions
from bespeak.clock import Instant, from_datetime, parse_time
from bespeak.errors import ConditionError, DefinitionError, InvalidInput, Problem

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_AT = re.compile(r"^(?P<message>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`")
_INVALID = re.compile(r"Invalid (?:enum )?value '?(?P<found>.*?)'?")
_TYPE = re.compile(r"Expected (?P<type>.*?)(?:, got .*)?")
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
            raise _refusal(source, name, "no such field", fields[name], "it is counted by the store: leave it out")
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
        message = _name_keys(str(error), fields, kind)
        raise _explain(message, given, kind, what, source) from None


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


def _name_keys(message: str, fields: dict[object, object], kind: type[T]) -> str:
    """Put the key in the place of the `[...]` that msgspec writes for a mapping: it is found by trying each alone."""
    match = _AT.fullmatch(message)
    before, dots, behind = ((match["path"] or "") if match else "").partition("[...]")
    steps = tuple(step["name"] or step["index"] for step in _STEP.finditer(before))
    mapping = _value_at(fields, steps)
    if not dots or not isinstance(mapping, Mapping):
        return message
    for key, value in cast("Mapping[object, object]", mapping).items():
        try:
            msgspec.convert(_replaced(fields, steps, {key: value}), kind)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return message.replace(f"{before}[...]{behind}", f"{before}.{key}{behind}")
    return message


def _replaced(raw: object, steps: tuple[str, ...], value: object) -> object:
    if not steps:
        return value
    if isinstance(raw, Mapping):
        fields = cast("Mapping[str, object]", raw)
        return {**fields, steps[0]: _replaced(fields[steps[0]], steps[1:], value)}
    elements = list(cast("list[object]", raw))
    elements[int(steps[0])] = _replaced(elements[int(steps[0])], steps[1:], value)
    return elements


def _explain(error: str, raw: Mapping[object, object], kind: object, what: str, source: str) -> DefinitionError:
    """Turn msgspec's message into file, field, what was expected, what was found and what would do."""
    match = _AT.fullmatch(error)
    message, path = (match["message"], match["path"] or "$") if match else (error, "$")
    steps = tuple(step["name"] or step["index"] for step in _STEP.finditer(path))
    where = path.removeprefix("$").removeprefix(".")
    if unknown := _UNKNOWN.fullmatch(message):
        name = unknown["field"]
        names = [known for known in _fields_at(kind, raw, steps) if known != "version"]
        close = difflib.get_close_matches(name, names, n=1)
        guess = f"did you mean {close[0]!r}? " if close else ""
        field = _join(where, name)
        text = f"{source}: {field}: unknown field; {guess}the fields here are {', '.join(names)}"
        return DefinitionError(text, problems=(Problem(field, f"one of {', '.join(names)}", name),))
    if missing := _MISSING.fullmatch(message):
        field = _join(where, missing["field"])
        choices = _choices_at(kind, raw, (*steps, missing["field"]))
        remedy = f" and is one of {', '.join(choices)}" if choices else ""
        text = f"{source}: {field}: is missing; every {what} has it{remedy}"
        return DefinitionError(text, problems=(Problem(field, "a value", "nothing"),))
    if invalid := _INVALID.fullmatch(message):
        expected = f"one of {', '.join(_choices_at(kind, raw, steps))}"
        return _refusal(source, where, expected, invalid["found"])
    found = _value_at(raw, steps)
    if mistyped := _TYPE.fullmatch(message):
        return _refusal(source, where or what, _in_words(mistyped["type"]), found)
    text = f"{source}: {where}: {message}" if where else f"{source}: {message}"
    return DefinitionError(text, problems=(Problem(where or what, message, _show(found)),))


_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "a mapping",
    "str": "text",
}


def _in_words(types: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in types.strip("`").split(" | "))


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _refusal(source: str, field: str, expected: str, found: object, remedy: str = "") -> DefinitionError:
    shown = _show(found)
    text = f"{source}: {field}: expected {expected}, found {shown}" + (f"; {remedy}" if remedy else "")
    return DefinitionError(text, problems=(Problem(field, expected, shown),))


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."


def _value_at(raw: object, steps: tuple[str, ...]) -> object:
    """Return what stands at the place; the mapping around it where there is nothing."""
    for step in steps:
        if isinstance(raw, Mapping):
            mapping = cast("Mapping[object, object]", raw)
            raw = mapping.get(step, mapping)
        elif isinstance(raw, list | tuple) and step.isdigit():
            raw = cast("list[object]", raw)[int(step)]
    return raw  # pyright: ignore[reportUnknownVariableType]  # whatever stands there


def _fields_at(kind: object, raw: object, steps: tuple[str, ...]) -> list[str]:
    """Return the names of the fields that may stand at the place, as they are written."""
    node = _node_at(kind, raw, steps)
    return [field.encode_name for field in node.fields] if isinstance(node, inspect.StructType) else []


def _choices_at(kind: object, raw: object, steps: tuple[str, ...]) -> list[str]:
    """Return the words that may stand at the place; of a union's tag field, the tags."""
    node = inspect.type_info(kind)
    if isinstance(node, inspect.UnionType):
        tags = [(t.tag_field, str(t.tag)) for t in node.types if isinstance(t, inspect.StructType)]
        if steps and all(field == steps[-1] for field, _ in tags):
            return [tag for _, tag in tags]
    node = _node_at(kind, raw, steps)
    return [str(value) for value in node.values] if isinstance(node, inspect.LiteralType) else []


def _node_at(kind: object, raw: object, steps: tuple[str, ...]) -> inspect.Type:
    """Follow the path through the types, and through the value where a union asks which member it is."""
    node = _member(inspect.type_info(kind), raw)
    for step in steps:
        if isinstance(node, inspect.StructType):
            node = next((field.type for field in node.fields if field.encode_name == step), node)
        elif isinstance(node, inspect.VarTupleType | inspect.ListType):
            node = node.item_type
        elif isinstance(node, inspect.DictType):
            node = node.value_type
        raw = _value_at(raw, (step,))
        node = _member(node, raw)
    return node


def _member(node: inspect.Type, raw: object) -> inspect.Type:
    """Return the struct of a union that the value's tag names, or the only one; else the node as it is."""
    if not isinstance(node, inspect.UnionType):
        return node
    structs = [member for member in node.types if isinstance(member, inspect.StructType)]
    if isinstance(raw, Mapping):
        given = cast("Mapping[object, object]", raw)
        structs = [s for s in structs if s.tag_field is None or given.get(s.tag_field) == s.tag]
    return structs[0] if len(structs) == 1 else node
