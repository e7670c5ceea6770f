"""Files as rows: whatever their delimiter, encoding and compression; what is no row is told by its line."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bespeak.errors import InvalidInput, NotFound
from bespeak.sources import ImportLimits, ImportMap, RejectedLine, Row, read_rows


def section(**members: Any) -> dict[str, Any]:
    return {"target": "items", "item": {"id": "id"}, **members}


def the_map(*sections: dict[str, Any]) -> ImportMap:
    return msgspec.convert({"name": "m", "sections": sections}, ImportMap)


def read(path: Path, limits: ImportLimits | None = None, **members: Any) -> list[Row | RejectedLine]:
    return list(read_rows([path], the_map(section(**members)), limits=limits))


def values(path: Path, **members: Any) -> list[list[Any]]:
    rows = read(path, **members)
    assert all(isinstance(row, Row) for row in rows), rows
    return [list(row.values.values()) for row in rows if isinstance(row, Row)]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content, members",
    [
        (b"id,name\n1,Ada\n2,Bob\n", {}),
        (b"id,name\r\n1,Ada\r\n2,Bob", {}),
        (b"\xef\xbb\xbfid,name\n1,Ada\n\n2,Bob\n", {}),
        (b'id;name\n"1";Ada\n2;"Bob"\n', {"delimiter": ";"}),
        (b"id\tname\n1\tAda\n2\tBob\n", {"delimiter": "\t"}),
        (b"id::name\n1::Ada\n2::Bob\n", {"delimiter": "::"}),
        (b"  id   name\n 1  Ada\n 2 \tBob \n", {"delimiter": "whitespace"}),
        (b"1,Ada\n2,Bob\n", {"header": False, "columns": ["id", "name"]}),
        (b"# made by X\n\nNR,NAME\n1,Ada\n2,Bob\n", {"skip_lines": 2, "columns": ["id", "name"]}),
        (b'{"id":"1","name":"Ada"}\n\n{"id":"2","name":"Bob"}\n', {"format": "json_lines"}),
        ("id,name\n1,Ada\n2,Bob\n".encode("utf-16"), {"encoding": "utf-16"}),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_the_same_rows_in_every_dress(tmp_path: Path, content: bytes, members: dict[str, Any], packed: bool) -> None:
    path = write(tmp_path / "people.data", gzip.compress(content) if packed else content)
    assert values(path, **members) == [["1", "Ada"], ["2", "Bob"]]


def test_line_numbers_are_those_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "f", b'# top\nid,name\n1,"two\nlines"\n\n2,Bob\n')
    rows = read(path, skip_lines=1)
    assert [(row.line_number, row.values["name"]) for row in rows if isinstance(row, Row)] == [
        (3, "two\nlines"),
        (6, "Bob"),
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8"])
def test_names_come_out_of_their_encoding(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "f", "id,name\n1,Café Müller\n".encode(encoding))
    assert values(path, encoding=encoding) == [["1", "Café Müller"]]


def test_a_line_that_is_not_in_the_encoding_is_rejected_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "f", b"id,name\n1,Caf\xe9\n2,Bob\n")
    bad, good = read(path)
    assert isinstance(bad, RejectedLine)
    assert (bad.line, bad.reason, bad.problems[0].expected) == (2, "unreadable_line", "text in utf-8")
    assert isinstance(good, Row)
    assert good.values == {"id": "2", "name": "Bob"}


def test_a_row_with_other_cells_than_columns_is_rejected_with_both_counts(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "f", b"id,name\n1,2,3\n4\n5,6\n"))
    told = [
        (row.line, row.problems[0].expected, row.problems[0].found) for row in rows if isinstance(row, RejectedLine)
    ]
    assert told == [(2, "2 cells", "3"), (3, "2 cells", "1")]


def test_a_line_that_is_too_long_is_rejected_and_the_next_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "f", b"id,name\n1," + b"x" * 5_000 + b"\n2,Bob\n")
    long, good = read(path, limits=ImportLimits(line_bytes=1_000))
    assert isinstance(long, RejectedLine)
    assert (long.line, long.problems[0].expected) == (2, "at most 1,000 characters in a line")
    assert isinstance(good, Row)
    assert (good.line_number, good.values["id"]) == (3, "2")


def test_a_line_that_is_no_json_object_is_rejected_alone(tmp_path: Path) -> None:
    deep = b'{"id":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    path = write(tmp_path / "f", b'{"id":1}\n[1]\n{"id":\n' + deep + b'\n{"id":NaN}\n{"id":2}\n')
    rows = read(path, format="json_lines")
    assert [row.values["id"] for row in rows if isinstance(row, Row)] == [1, 2]
    assert [(row.line, row.reason) for row in rows if isinstance(row, RejectedLine)] == [
        (line, "not_json") for line in (2, 3, 4, 5)
    ]


def test_what_is_not_there_is_said_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        read(tmp_path / "absent.csv")
    with pytest.raises(InvalidInput, match="no column id; there are key, name"):
        read(write(tmp_path / "f", b"key,name\n1,Ada\n"))
    with pytest.raises(InvalidInput, match="names a more than once"):
        read(write(tmp_path / "f", b"id,a,a\n1,2,3\n"))
    with pytest.raises(InvalidInput, match="names 2 columns, the header 3"):
        read(write(tmp_path / "f", b"id,a,b\n1,2,3\n"), columns=["id", "a"])
    with pytest.raises(InvalidInput, match=r"map m reads \*\.csv \(items\)"):
        read(write(tmp_path / "f.txt", b""), files=["*.csv"])


@pytest.mark.parametrize("content", [gzip.compress(b"id\n" + b"1\n" * 999, mtime=0)[:-20], b"\x1f\x8b\x08" + b"x" * 90])
def test_a_broken_archive_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"f\.gz: cannot be read"):
        read(write(tmp_path / "f.gz", content))


def test_a_folder_stands_for_its_files_by_section_and_not_for_rejected_lines(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv.gz", "a.txt", "b.csv.rejected.jsonl"):
        content = f"id\n{name}\n".encode()
        write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    sections = [section(name="text", files=["*.txt"]), section(name="rest", files=["*.csv"])]
    rows = list(read_rows([tmp_path], the_map(*sections)))
    assert [row.values["id"] for row in rows if isinstance(row, Row)] == ["a.txt", "a.csv.gz", "b.csv"]
    everything = list(read_rows([tmp_path], the_map(section())))
    assert len(everything) == 3


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path / "f", b"")) == []
    assert read(write(tmp_path / "f", b"id,name\n")) == []


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
tables = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), max_size=6))


@settings.get_profile("few")
@given(tables, st.sampled_from(",;\t|"), st.sampled_from(["utf-8", "utf-16"]), st.booleans())
def test_what_the_csv_module_wrote_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], delimiter: str, encoding: str, packed: bool
) -> None:
    width = len(table[0]) if table else 1
    names = ["id", *map(str, range(1, width))]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([names, *table])
    raw = out.getvalue().encode(encoding)
    path = tmp_path_factory.getbasetemp() / "table"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    expected = [row for row in table if row != [""]]
    assert values(path, delimiter=delimiter, encoding=encoding) == expected


@settings.get_profile("few")
@given(st.binary(max_size=120), st.sampled_from([{}, {"format": "json_lines"}, {"delimiter": "whitespace"}]))
def test_any_bytes_are_rows_or_rejected_lines(
    tmp_path_factory: pytest.TempPathFactory, body: bytes, members: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(b"\n" if members.get("format") else b"id\n")  # so it is no archive, broken or whole
    with path.open("ab") as out:
        out.write(body)
    for row in read(path, **members):
        assert 1 <= (row.line_number if isinstance(row, Row) else row.line) <= 200
        assert msgspec.json.encode(row)
