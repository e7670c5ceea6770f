"""Files as rows: any delimiter, encoding and compression, with or without header; or JSON lines.

What cannot be read as a row is yielded as a `RejectedLine`, and reading goes on with the next line.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bespeak.errors import InvalidInput, NotFound, Problem
from bespeak.events.wire import values
from bespeak.sources.import_map import ImportMap, Section
from bespeak.sources.limits import ImportLimits
from bespeak.sources.rejected import QUARANTINED, RejectedLine

_GZIP = b"\x1f\x8b"
_UNDECODED = re.compile("[\udc80-\udcff]")
_SHOWN = 2_000
_DEPTH = 8


class Position:
    """How many bytes of a file have been read."""

    def __init__(self) -> None:
        self.bytes_read = 0


class Row(msgspec.Struct, frozen=True):
    """One row: where it stands (its first line, from 1), and its values by column."""

    file: str
    line_number: int
    values: dict[str, Any]


class Reading(msgspec.Struct, frozen=True):
    """One file, read as one section of a map says."""

    section: Section
    path: Path


def readings(files: Sequence[str | Path], import_map: ImportMap) -> tuple[Reading, ...]:
    """Return which file is read by which section, in the order of the files; a folder stands for its files.

    Raises
    ------
    NotFound
        There is no such file.
    InvalidInput
        No section of the map reads a file, or none of a folder.
    """
    found: list[Reading] = []
    for name in files:
        path = Path(name)
        if not path.exists():
            raise NotFound(f"no file {str(path)!r}")
        candidates = _files_in(path) if path.is_dir() else [path]
        matched = [
            Reading(section, file) for section in import_map.sections for file in candidates if section.reads(file.name)
        ]
        if not matched:
            raise InvalidInput(f"{path}: map {import_map.name} reads {import_map.patterns()}")
        found += matched
    return tuple(found)


def _files_in(folder: Path) -> list[Path]:
    """Return the files of a folder by name, without those that earlier imports left of rejected lines."""
    return sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.endswith(QUARANTINED))


def read_rows(
    files: Sequence[str | Path], import_map: ImportMap, *, limits: ImportLimits | None = None
) -> Iterator[Row | RejectedLine]:
    """Yield every row of the files, file by file; what is no row as a `RejectedLine`.

    Raises
    ------
    NotFound, InvalidInput
        As `readings`; or a file cannot be read, is not in its encoding, or lacks a column that the map names.
    """
    for reading in readings(files, import_map):
        yield from read_file(reading, limits or ImportLimits())


def read_file(reading: Reading, limits: ImportLimits, position: Position | None = None) -> Iterator[Row | RejectedLine]:
    """Yield the rows of one file; `position` is kept up to date about every thousand rows."""
    section, file = reading.section, str(reading.path)
    try:
        with _opened(reading.path, section.encoding) as (text, tell):
            lines = _Lines(text, file, limits.line_bytes)
            for _ in range(section.skip_lines):
                lines.skip()
            rows = _json_rows(lines, file) if section.format == "json_lines" else _delimited_rows(lines, file, section)
            for count, row in enumerate(rows):
                if position is not None and count % 1_000 == 0:
                    position.bytes_read = tell()
                yield row
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except UnicodeError as error:
        raise InvalidInput(f"{file}: not in {section.encoding}: {error}; name its encoding in the map") from None


@contextmanager
def _opened(path: Path, encoding: str) -> Generator[tuple[io.TextIOWrapper, Callable[[], int]]]:
    with path.open("rb") as raw:
        packed = raw.peek(2).startswith(_GZIP)
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        name = "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
        with io.TextIOWrapper(stream, encoding=name, errors="surrogateescape", newline="") as text:
            yield text, raw.tell


class _Lines:
    """The lines of a file with their numbers; lines that are too long or not in the encoding are marked."""

    def __init__(self, text: io.TextIOWrapper, file: str, longest: int) -> None:
        self._text = text
        self._longest = longest
        self.file = file
        self.number = 0
        self.bad: Problem | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._longest)
        if not line:
            raise StopIteration
        self.number += 1
        if not line.isascii() and _UNDECODED.search(line):
            self.bad = Problem("", f"text in {self._text.encoding.removesuffix('-sig')}", "bytes that are none")
        if len(line) == self._longest and line[-1] not in "\r\n":
            self.bad = Problem("", f"at most {self._longest:,} characters in a line", "more")
            self._rest_of_line()
        return line

    def skip(self) -> None:
        """Pass over one line, whatever it holds."""
        next(self, "")
        self.bad = None

    def _rest_of_line(self) -> None:
        while (more := self._text.readline(self._longest)) and more[-1] not in "\r\n":
            pass

    def rejected(self, line: int, row: object) -> RejectedLine:
        """Return the rejection of what was marked, and clear the mark."""
        problem, self.bad = self.bad, None
        text = repr(row)[:_SHOWN]
        return RejectedLine(
            file=self.file, line=line, reason="unreadable_line", problems=(problem,) if problem else (), row=text
        )


def _json_rows(lines: _Lines, file: str) -> Iterator[Row | RejectedLine]:
    mapping: Any = dict
    decoder: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(mapping[str, values(_DEPTH - 1)])
    for line in lines:
        if lines.bad is not None:
            yield lines.rejected(lines.number, line[:_SHOWN])
        elif line.strip():
            try:
                yield Row(file, lines.number, decoder.decode(line))
            except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
                problem = Problem("", f"a JSON object of at most {_DEPTH} levels", str(error))
                yield RejectedLine(
                    file=file, line=lines.number, reason="not_json", problems=(problem,), row=line[:_SHOWN]
                )


def _delimited_rows(lines: _Lines, file: str, section: Section) -> Iterator[Row | RejectedLine]:
    cells = _SplitRows(lines, section)
    columns = _columns(cells, file, section) if section.header else section.columns
    if lines.bad is not None:
        raise InvalidInput(f"{file}: the header: expected {lines.bad.expected}, found {lines.bad.found}")
    width = len(columns)
    kinds = _Kinds(section)
    while True:
        try:
            first, row = next(cells)
        except StopIteration:
            return
        except csv.Error as error:
            lines.bad = Problem("", "a row", str(error))
            yield lines.rejected(lines.number, "")
            continue
        if lines.bad is not None:
            yield lines.rejected(first, row)
        elif not row or row == [""] or not kinds.wants(row):
            continue
        elif len(row) == width:
            yield Row(file, first, {**dict(zip(columns, row, strict=True)), **kinds.above})
        else:
            problem = Problem("", f"{width} cells", f"{len(row)}")
            yield RejectedLine(file=file, line=first, reason="wrong_cells", problems=(problem,), row=row)


class _Kinds:
    """Tells the lines of a section from those of other kinds, and keeps what it has of the lines above.

    Attributes
    ----------
    above
        The columns of the nearest lines of the kinds that it stands under; empty text where there was none, as in
        a cell.
    """

    def __init__(self, section: Section) -> None:
        self._lines = section.lines
        self._under = section.under
        self.above: dict[str, str] = {column: "" for cells in section.under.values() for column in cells}

    def wants(self, row: list[str]) -> bool:
        """Say whether a row is of the section; one that others stand under is taken note of."""
        if not self._lines:
            return True
        for column, place in self._under.get(row[0], {}).items():
            self.above[column] = row[place - 1] if place <= len(row) else ""
        return row[0] == self._lines


class _SplitRows:
    """Yields the first line number and the cells of each row; goes on after an error, as no generator can."""

    def __init__(self, lines: _Lines, section: Section) -> None:
        self._lines = lines
        delimiter = None if section.delimiter == "whitespace" else section.delimiter
        if delimiter is not None and len(delimiter) == 1:
            self._rows: Iterator[list[str]] = (
                csv.reader(lines, delimiter=delimiter, quotechar=section.quote)
                if section.quote
                else csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
            )
        else:
            self._rows = (line.rstrip("\r\n").split(delimiter) for line in lines)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        return self

    def __next__(self) -> tuple[int, list[str]]:
        first = self._lines.number + 1
        return first, next(self._rows)


def _columns(cells: Iterator[tuple[int, list[str]]], file: str, section: Section) -> tuple[str, ...]:
    try:
        _, header = next(cells)
    except (StopIteration, csv.Error):
        return section.columns or ()
    header = [name.strip() for name in header]
    if section.columns:
        if len(section.columns) != len(header):
            raise InvalidInput(f"{file}: the map names {len(section.columns)} columns, the header {len(header)}")
        return section.columns
    if len(set(header)) != len(header):
        twice = sorted({name for name in header if header.count(name) > 1})
        raise InvalidInput(f"{file}: the header names {', '.join(twice)} more than once; name columns in the map")
    absent = sorted(section.named_columns() - set(header))
    if absent:
        raise InvalidInput(f"{file}: no column {', '.join(absent)}; there are {', '.join(header)}")
    return tuple(header)
