"""From the cells of a row to one value: fields of a map made into functions, once a file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from bespeak.errors import Problem
from bespeak.sources.import_map import Cast, Choice, Field, FieldSpec, Labels, LabelSpec, Section, as_spec

Values = Mapping[str, Any]
Read = Callable[[Values], Any]
"""Gives the value of a field in a row, None when there is none; raises `CellError`."""

_PLACE = re.compile(r"\{([^{}]+)\}")
_TRUE = frozenset({"1", "true", "t", "yes", "y"})
_FALSE = frozenset({"0", "false", "f", "no", "n"})
_LARGEST = 2**63 - 1
_REMEMBERED = 4_096
_UNREAD = object()


class CellError(ValueError):
    """A cell is not what the map says it is; the row is rejected for `reason`."""

    def __init__(self, path: str, expected: str, found: str, *, reason: str = "invalid_cell") -> None:
        super().__init__(f"{path}: expected {expected}, found {found}")
        self.reason = reason
        self.problem = Problem(path, expected, found)


def reader(field: Field, section: Section) -> Read:
    """Return the function that reads a field."""
    spec = as_spec(field)
    read = _slow_reader(spec, section)
    if spec.column is None or section.format == "json_lines":
        return read
    return _remembering(read, spec.column)


def _slow_reader(spec: FieldSpec, section: Section) -> Read:
    source = _source(spec, section)
    where = spec.column or spec.template or "choose"
    steps = [_CASTS[name] for name in ((spec.cast,) if isinstance(spec.cast, str) else spec.cast)]
    names = {str(key): value for key, value in spec.values.items()}

    def read(values: Values) -> Any:  # noqa: ANN401 - a cell may be any JSON value
        value = source(values)
        if value is None:
            if spec.required:
                raise CellError(where, "a value", "nothing")
            return None
        if names:
            value = names.get(str(value), value)
        for step in steps:
            value = step(value, where)
        return value

    return read


def _remembering(read: Read, column: str) -> Read:
    """Return a reader of one column of text that reads each text once: most columns repeat themselves."""
    known: dict[Any, Any] = {}

    def remembered(values: Values) -> Any:  # noqa: ANN401 - a cell may be any JSON value
        cell = values[column]
        found = known.get(cell, _UNREAD)
        if found is _UNREAD:
            found = read(values)
            if len(known) < _REMEMBERED:
                known[cell] = found
        return found

    return remembered


def text_reader(field: Field, section: Section) -> Callable[[Values], str | None]:
    """Return the function that reads a field as text, numbers included; None when it is absent or empty."""
    read = reader(field, section)
    where = as_spec(field).column or "the field"

    def text(values: Values) -> str | None:
        value = read(values)
        return None if value is None or value == "" else _text(value, where)

    return text


def readers(fields: Mapping[str, Field], section: Section) -> tuple[tuple[str, Read], ...]:
    """Return the functions that read each field of an object."""
    return tuple((name, reader(field, section)) for name, field in fields.items())


def read_all(fields: tuple[tuple[str, Read], ...], values: Values) -> dict[str, Any]:
    """Return the object that the fields make of a row, without those that are absent."""
    return {name: value for name, read in fields if (value := read(values)) is not None}


def labels_reader(labels: Labels, section: Section) -> Callable[[Values], tuple[str, ...]]:
    """Return the function that reads several labels, each once, in the order of the map."""
    if isinstance(labels, LabelSpec):
        return _split_reader(labels, section) if labels.split is not None else _flags_reader(labels, section)
    each = [text_reader(field, section) for field in labels]
    return lambda values: tuple(dict.fromkeys(label for read in each if (label := read(values)) is not None))


def _flags_reader(spec: LabelSpec, section: Section) -> Callable[[Values], tuple[str, ...]]:
    flags = [(label, reader(FieldSpec(column=column, cast="bool"), section)) for column, label in spec.labels().items()]
    return lambda values: tuple(label for label, read in flags if read(values))


def _split_reader(spec: LabelSpec, section: Section) -> Callable[[Values], tuple[str, ...]]:
    read = reader(spec.split or "", section)
    where = spec.split or ""

    def split(values: Values) -> tuple[str, ...]:
        value = read(values)
        if value is None:
            return ()
        found = _list(value) if isinstance(value, list) else _text(value, where).split(spec.by)
        return tuple(dict.fromkeys(label for part in found if (label := _text(part, where).strip())))

    return split


def _list(value: Any) -> Sequence[object]:  # noqa: ANN401 - known to be a list, of what JSON holds
    found: list[object] = value
    return found


def _source(spec: FieldSpec, section: Section) -> Read:
    if spec.column is not None:
        return _column(spec.column, section)
    if spec.template is not None:
        return _template(spec.template, section)
    if spec.choose is not None:
        return _choose(spec.choose, spec.otherwise, section)
    constant = spec.value
    return lambda _: constant


def _column(name: str, section: Section) -> Read:
    missing = frozenset(section.missing)
    path = name.split(".") if section.format == "json_lines" else [name]

    def column(values: Values) -> Any:  # noqa: ANN401 - a cell may be any JSON value
        value = values.get(name)
        if value is None and len(path) > 1:
            value = _member(values, path)
        return None if isinstance(value, str) and value in missing else value

    return column


def _member(values: Values, path: list[str]) -> Any:  # noqa: ANN401 - a cell may be any JSON value
    found: Any = values
    for name in path:
        if not isinstance(found, dict):
            return None
        found = cast("dict[str, Any]", found).get(name)
    return found


def _template(template: str, section: Section) -> Read:
    parts = _PLACE.split(template)
    columns = [_column(name, section) for name in parts[1::2]]

    def fill(values: Values) -> str | None:
        cells = [read(values) for read in columns]
        if any(cell is None for cell in cells):
            return None
        middle = "".join(_text(cell, template) + text for cell, text in zip(cells, parts[2::2], strict=True))
        return parts[0] + middle

    return fill


def _choose(choices: tuple[Choice, ...], otherwise: object, section: Section) -> Read:
    arms = [(_test(choice, section), choice.then) for choice in choices]

    def choose(values: Values) -> object:
        for holds, then in arms:
            if holds(values):
                return then
        return otherwise

    return choose


def _test(choice: Choice, section: Section) -> Callable[[Values], bool]:
    read = _column(choice.column, section)
    if choice.present is not None:
        wanted = choice.present
        return lambda values: (read(values) is not None) == wanted
    if choice.starts_with is not None:
        start = choice.starts_with
        return lambda values: (value := read(values)) is not None and str(value).startswith(start)
    accepted = frozenset(choice.one_of if choice.one_of is not None else (choice.equals or "",))
    return lambda values: (value := read(values)) is not None and str(value) in accepted


def shown(value: object) -> str:
    """Return what was found, short enough for a message."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if value == int(value) else str(value)
    raise CellError(where, "text or a number", shown(value))


def _int(value: object, where: str) -> int:
    try:
        if isinstance(value, str | int) and not isinstance(value, bool) and "_" not in str(value):
            number = int(value)
            if abs(number) <= _LARGEST:
                return number
        elif isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST:
            return int(value)
    except ValueError:
        pass  # not a number: said below
    raise CellError(where, "a whole number", shown(value))


def _float(value: object, where: str) -> float:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool) and "_" not in str(value):
            number = float(value)
            if math.isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass  # not a number: said below
    raise CellError(where, "a number", shown(value))


def _bool(value: object, where: str) -> bool:
    folded = str(value).strip().lower()
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    raise CellError(where, "1 or 0, true or false, yes or no", shown(value))


def _abs(value: object, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return abs(value)
    raise CellError(where, "a number (cast it before abs)", shown(value))


_CASTS: dict[Cast, Callable[[Any, str], Any]] = {
    "text": _text,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "lower": lambda value, where: _text(value, where).lower(),
    "upper": lambda value, where: _text(value, where).upper(),
    "strip": lambda value, where: _text(value, where).strip(),
    "abs": _abs,
}
