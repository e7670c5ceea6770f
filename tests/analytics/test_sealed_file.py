"""A sealed file opens as it was written, and in no other way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bespeak.analytics import Damaged, FileKey, digest_of, open_file, open_head, seal_file
from bespeak.analytics.parquet import memory_file
from bespeak.analytics.sealed_file import BLOCK_BYTES
from bespeak.errors import StoreError

KEY = FileKey(bytes(range(32)), b"shop one.sealed ")


def written(path: Path, content: bytes, key: FileKey = KEY, head: bytes = b"head") -> tuple[int, str]:
    with memory_file("test") as descriptor:
        os.write(descriptor, content)
        return seal_file(path, key, head, descriptor)


def read(path: Path, key: FileKey = KEY) -> bytes:
    with memory_file("test") as descriptor:
        open_file(path, key, descriptor)
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
def test_what_was_sealed_opens_again(tmp_path: Path, size: int) -> None:
    path = tmp_path / "one.sealed"
    content = os.urandom(size)
    found = written(path, content)
    assert read(path) == content
    assert open_head(path, KEY) == b"head"
    assert found == digest_of(path)
    assert found[0] == path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_of_the_content_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one.sealed"
    written(path, b"zauberstab" * 100, head=b"zauberstab")
    assert b"zauberstab" not in path.read_bytes()


@settings(settings.get_profile("few"), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10_000_000), bit=st.integers(0, 7))
def test_any_bit_that_is_changed_is_found(tmp_path: Path, place: int, bit: int) -> None:
    path = tmp_path / "one.sealed"
    path.unlink(missing_ok=True)
    written(path, bytes(3_000))
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(Damaged):
        read(path)


def test_a_cut_a_lengthened_a_reordered_and_a_missing_file_are_found(tmp_path: Path) -> None:
    path = tmp_path / "one.sealed"
    written(path, os.urandom(2 * BLOCK_BYTES + 5))
    data = path.read_bytes()
    start, step = data.index(data[12:13], 12) + 4 + 16, BLOCK_BYTES + 16
    swapped = (
        data[:start] + data[start + step : start + 2 * step] + data[start : start + step] + data[start + 2 * step :]
    )
    for changed in (data[:-1], data[: start + step], data[: start + 2 * step], data[:10], b"", data + b"x", swapped):
        path.write_bytes(changed)
        with pytest.raises(Damaged):
            read(path)
    path.unlink()
    with pytest.raises(Damaged, match="cannot be read"):
        read(path)


def test_it_opens_under_no_other_key_and_no_other_name(tmp_path: Path) -> None:
    path = tmp_path / "one.sealed"
    written(path, b"content")
    for other in (FileKey(bytes(32), KEY.bound), FileKey(KEY.secret, b"shop two.sealed ")):
        with pytest.raises(Damaged, match="does not open"):
            read(path, other)


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "one.sealed"
    path.write_bytes(b"there before")
    with pytest.raises(StoreError, match="cannot write"):
        written(path, b"content")


def test_a_key_does_not_show_its_secret() -> None:
    assert "secret" not in repr(KEY)
    assert KEY.secret.hex() not in repr(KEY)
