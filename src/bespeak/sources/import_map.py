"""The import map: how the columns of somebody's files become events, traits and items. Data only, no code."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

from bespeak.clock import parse_duration

Scalar = str | int | float | bool
Cast = Literal["text", "int", "float", "bool", "lower", "upper", "strip", "abs"]
Target = Literal["events", "traits", "items", "table"]
_PLACE = re.compile(r"\{([^{}]+)\}")
_Casts = Annotated[tuple[Cast, ...], msgspec.Meta(max_length=8)]


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One arm of a `choose`: when `column` is as said, the value is `then`. Exactly one test.

    Parameters
    ----------
    equals, one_of, starts_with
        The cell is this text, one of these, or begins with it.
    present
        The cell holds something (true), or nothing (false).
    """

    column: str
    then: Scalar
    equals: str | None = None
    one_of: tuple[str, ...] | None = None
    starts_with: str | None = None
    present: bool | None = None

    def __post_init__(self) -> None:
        tests = (self.equals, self.one_of, self.starts_with, self.present)
        if sum(test is not None for test in tests) != 1:
            raise ValueError("a choice has exactly one of equals, one_of, starts_with, present")


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"cast": "as"}):
    """Where one value comes from. Exactly one of `column`, `template`, `value`, `choose`.

    Parameters
    ----------
    column
        A column; in JSON lines a member, or a path of members such as `user.id`.
    template
        Text with columns in braces, `{year}-{month}-{day}`; absent when one of them is.
    value
        A constant.
    choose, otherwise
        The first choice that holds; `otherwise` when none does (absent when that is not given).
    values
        What is written for what the cell holds: `{1: trousers}`. A cell that is not here stays as it is.
    cast
        In YAML `as`: `text`, `int`, `float`, `bool`, `lower`, `upper`, `strip`, `abs`, one or several in order.
        A cell that cannot be cast rejects its row.
    required
        Reject the row when there is no value.
    """

    column: str | None = None
    template: str | None = None
    value: Scalar | None = None
    choose: tuple[Choice, ...] | None = None
    otherwise: Scalar | None = None
    values: dict[str | int | float | bool, Scalar] = {}
    cast: Cast | _Casts = ()
    required: bool = False

    def __post_init__(self) -> None:
        ways = (self.column, self.template, self.value, self.choose)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("a field has exactly one of column, template, value, choose")
        if self.otherwise is not None and self.choose is None:
            raise ValueError("otherwise belongs to choose")
        if self.template is not None and not _PLACE.search(self.template):
            raise ValueError("a template names at least one column in braces; a constant is value")

    def columns(self) -> Iterator[str]:
        """Yield every column that the value is made of."""
        if self.column is not None:
            yield self.column
        if self.template is not None:
            yield from _PLACE.findall(self.template)
        for choice in self.choose or ():
            yield choice.column


class LabelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several labels from one row: exactly one of `flags`, `split`.

    Parameters
    ----------
    flags
        Columns of 0 and 1, each a label when it is 1 (or true, yes): their names, or labels by column.
    split
        A column that holds several labels, with `by` between them.
    """

    flags: tuple[str, ...] | dict[str, str] | None = None
    split: str | None = None
    by: str = "|"

    def __post_init__(self) -> None:
        if (self.flags is None) == (self.split is None):
            raise ValueError("labels have exactly one of flags, split")
        if not self.by:
            raise ValueError("by must be the text between two labels")

    def labels(self) -> dict[str, str]:
        """Return the label of each flag column."""
        return dict(self.flags) if isinstance(self.flags, dict) else {name: name for name in self.flags or ()}


Field = str | FieldSpec
"""A column by its name, or the longer form."""
Labels = LabelSpec | tuple[Field, ...]
"""Several labels from one row."""


class Time(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a row happened. Exactly one of `column`, `template`, `value`.

    Parameters
    ----------
    format
        `iso`, `unix` (seconds), `unix_ms`, or strptime's directives (`%d-%b-%Y`); of several the first that fits.
    zone
        The zone of times that name none, as in the tz database.
    """

    column: str | None = None
    template: str | None = None
    value: str | None = None
    format: str | tuple[str, ...] = "iso"
    zone: str = "UTC"

    def __post_init__(self) -> None:
        ways = (self.column, self.template, self.value)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("a time has exactly one of column, template, value")
        for layout in (self.format,) if isinstance(self.format, str) else self.format:
            if layout not in {"iso", "unix", "unix_ms"} and "%" not in layout:
                raise ValueError(f"a time format is iso, unix, unix_ms or has % directives, got {layout!r}")

        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"no time zone {self.zone!r}") from None

    def spec(self) -> FieldSpec:
        """Return where the text of the time comes from."""
        return FieldSpec(column=self.column, template=self.template, value=self.value, required=True)


class Sequence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of whole numbers that orders rows of the same time; with `step`, it is added to the time in such steps.

    `{column: order, step: 1 second}` makes the third click of a day happen three seconds into it.
    """

    column: str
    step: str | None = None

    def __post_init__(self) -> None:
        if self.step is not None:
            parse_duration(self.step)


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Consecutive rows that are one event: the lines of an order.

    Parameters
    ----------
    by
        Rows that follow each other with the same value here belong together.
    into
        The property that lists the members.
    members
        What each row adds to the list.
    totals
        Property > members that are multiplied in each row, and added over the rows, rounded to 6 decimals.
    """

    by: str
    members: dict[str, Field]
    into: str = "products"
    totals: dict[str, tuple[str, ...]] = {}

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("a group has at least one member")
        for name, factors in self.totals.items():
            unknown = sorted(set(factors) - set(self.members))
            if unknown or not factors:
                raise ValueError(f"total {name!r} multiplies members of the group; {unknown or 'nothing'} is none")


class ItemSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a row describes an item; the members are those of `catalog.Item`."""

    id: Field
    title: Field | None = None
    url: Field | None = None
    image: Field | None = None
    brand: Field | None = None
    price: Field | None = None
    stock: Field | None = None
    hidden: Field | None = None
    categories: Labels = ()
    tags: Labels = ()
    created: Time | None = None
    properties: dict[str, Field] = {}


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one kind of file is read, and what its rows become.

    Parameters
    ----------
    target
        `events` (one a row or group), `traits` (an `identify` a row), `items`, or `table`: rows that others look up.
    name
        Tells sections of a map apart; the target when not given. It is part of the message ids.
    files
        Patterns of file names (`*.csv`); a name may end in `.gz` besides. All files when not given.
    format
        `delimited`, or `json_lines`: one object a line.
    delimiter
        One character (then `quote` applies), several (`::`), or `whitespace` for any run of blanks.
    quote
        What cells may be wrapped in; empty when nothing is.
    header
        Whether the first line (after `skip_lines`) names the columns.
    columns
        The names, in order, where no header does; with a header they replace its names.
    encoding
        As Python names it; a byte order mark is skipped.
    missing
        Cells that mean: no value.
    lines
        In a file whose lines are of several kinds, told by their first cell: the kind that is read. Needs `columns`.
    under
        What a row has of the lines above it: kind of line > column > which cell of the nearest such line, from 1.
    join
        Tables whose columns each row has, too, as `TABLE.COLUMN`: table > the column that holds its key.
    key, take
        Of a table: the column by which its rows are looked up, and the columns that others read of it.
    time, sequence
        When it happened. Needed for events; traits without it are known from the moment of the import.
    user_id, anonymous_id
        Who; events and traits need at least one.
    event
        The event name of a row.
    properties, traits
        Name > where it comes from. Absent values are left out.
    group
        Consecutive rows that are one event.
    item
        The item of a row. For `events`: what else the row says of the item it is about; the first row that
        names an item describes it.
    """

    target: Target
    name: str = ""
    files: tuple[str, ...] = ("*",)
    format: Literal["delimited", "json_lines"] = "delimited"
    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    columns: tuple[str, ...] = ()
    encoding: str = "utf-8"
    skip_lines: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    missing: tuple[str, ...] = ("",)
    lines: str = ""
    under: dict[str, dict[str, Annotated[int, msgspec.Meta(ge=1)]]] = {}
    join: dict[str, str] = {}
    key: str = ""
    take: tuple[str, ...] = ()
    time: Time | None = None
    sequence: str | Sequence | None = None
    user_id: Field | None = None
    anonymous_id: Field | None = None
    event: Field | None = None
    properties: dict[str, Field] = {}
    traits: dict[str, Field] = {}
    group: Group | None = None
    item: ItemSpec | None = None

    def __post_init__(self) -> None:
        self._check_reading()
        self._check_target()

    @property
    def label(self) -> str:
        """The name, else the target."""
        return self.name or self.target

    def reads(self, file_name: str) -> bool:
        """Say whether a file of this name belongs to the section."""
        return any(
            fnmatchcase(name, pattern) for pattern in self.files for name in (file_name, file_name.removesuffix(".gz"))
        )

    def named_columns(self) -> frozenset[str]:
        """Return every column that the section reads by name, and that its own lines must have."""
        named = frozenset(_columns_of_section(self))
        return named - self.joined_columns() - {column for above in self.under.values() for column in above}

    def joined_columns(self) -> frozenset[str]:
        """Return every column that the section reads of tables, as `TABLE.COLUMN`."""
        tables = tuple(f"{table}." for table in self.join)
        return frozenset(column for column in _columns_of_section(self) if column.startswith(tables))

    def _check_reading(self) -> None:
        if not self.delimiter:
            raise ValueError("delimiter must be a character, several, or 'whitespace'")
        if len(self.quote) > 1:
            raise ValueError(f"quote must be one character or empty, got {self.quote!r}")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise ValueError(f"no encoding {self.encoding!r}") from None
        if self.format == "delimited" and not self.header and not self.columns:
            raise ValueError("without a header, columns must name the columns")
        if self.under and not self.lines:
            raise ValueError("under belongs to lines")
        if self.lines and (self.format != "delimited" or self.header):
            raise ValueError("lines are told apart in delimited files without a header")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("columns must differ from each other")
        unknown = self.named_columns() - set(self.columns)
        if self.format == "delimited" and self.columns and unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: not among the columns {', '.join(self.columns)}")

    def _check_target(self) -> None:
        who = self.user_id is not None or self.anonymous_id is not None
        if self.target == "table":
            wanted = {"key": bool(self.key), "take": bool(self.take)}
        elif self.target == "items":
            wanted = {"item": self.item is not None}
        elif self.target == "traits":
            wanted = {"user_id or anonymous_id": who, "traits": bool(self.traits)}
        else:
            wanted = {"user_id or anonymous_id": who, "event": self.event is not None, "time": self.time is not None}
        for name, given in wanted.items():
            if not given:
                raise ValueError(f"a section of {self.target} needs {name}")
        if self.group is not None and self.target != "events":
            raise ValueError("group belongs to a section of events")
        if self.target != "table" and (self.key or self.take):
            raise ValueError("key and take belong to a table")


class ImportMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole map: a name, which is part of the message ids, and one section for each kind of file."""

    name: str
    sections: tuple[Section, ...]
    about: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 100:
            raise ValueError("name must have 1 to 100 characters")
        if not self.sections:
            raise ValueError("a map has at least one section")
        labels = [section.label for section in self.sections]
        if len(set(labels)) != len(labels):
            raise ValueError(f"sections must have different names, got {', '.join(labels)}")
        for section in self.sections:
            self._check_joins(section)

    def patterns(self) -> str:
        """Return the file names that the map knows, as a sentence part."""
        return ", ".join(f"{', '.join(section.files)} ({section.label})" for section in self.sections)

    def _check_joins(self, section: Section) -> None:
        tables = {one.label: one for one in self.sections if one.target == "table"}
        unknown = sorted(section.join.keys() - tables.keys())
        if unknown:
            raise ValueError(f"section {section.label!r} joins {unknown[0]!r}, which is no section of target table")
        for table in section.join:
            known = {f"{table}.{column}" for column in tables[table].take}
            read = {column for column in section.joined_columns() if column.startswith(f"{table}.")}
            if read - known:
                raise ValueError(
                    f"section {section.label!r} reads {min(read - known)!r}, which {table!r} does not take"
                )


def as_spec(field: Field) -> FieldSpec:
    """Return the long form of a field."""
    return FieldSpec(column=field) if isinstance(field, str) else field


def _columns_of_section(section: Section) -> Iterator[str]:
    yield from _columns_of(section.properties)
    yield from _columns_of(section.traits)
    for field in (section.user_id, section.anonymous_id, section.event):
        if field is not None:
            yield from as_spec(field).columns()
    yield from section.join.values()
    yield from (section.key, *section.take) if section.target == "table" else ()
    if section.time is not None:
        yield from section.time.spec().columns()
    if section.sequence is not None:
        yield section.sequence if isinstance(section.sequence, str) else section.sequence.column
    if section.group is not None:
        yield section.group.by
        yield from _columns_of(section.group.members)
    if section.item is not None:
        yield from _columns_of_item(section.item)


def _columns_of_item(item: ItemSpec) -> Iterator[str]:
    for field in (item.id, item.title, item.url, item.image, item.brand, item.price, item.stock, item.hidden):
        if field is not None:
            yield from as_spec(field).columns()
    for labels in (item.categories, item.tags):
        if isinstance(labels, LabelSpec):
            yield from labels.labels()
            if labels.split is not None:
                yield labels.split
            continue
        for field in labels:
            yield from as_spec(field).columns()
    if item.created is not None:
        yield from item.created.spec().columns()
    yield from _columns_of(item.properties)


def _columns_of(fields: Mapping[str, Field]) -> Iterator[str]:
    for field in fields.values():
        yield from as_spec(field).columns()
