"""Lines that were not accepted, and the file beside the import that keeps them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import msgspec

from bespeak.errors import InvalidInput, Problem

QUARANTINED = ".rejected.jsonl"
"""What the name of a file with rejected lines ends in."""


class RejectedLine(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was not accepted.

    Parameters
    ----------
    file, line
        Where it stands; lines count from 1, and a record of several lines has its first.
    reason
        A stable word, such as `invalid_cell` or `no_user_anon_id`.
    problems
        The column, what was expected there, and what was found.
    row
        The record as it was read: cells, or text where no cells could be told apart (at most 2,000 characters).
    """

    file: str
    line: int
    reason: str
    problems: tuple[Problem, ...] = ()
    row: object = None


class Quarantine:
    """Writes rejected lines to `FILE.rejected.jsonl` beside each file, created with the first of them.

    The file of an earlier import is replaced. It may hold personal data: only its owner can read it.
    """

    def __init__(self) -> None:
        self._files: dict[str, IO[bytes]] = {}

    def add(self, rejected: RejectedLine) -> None:
        """Write one line.

        Raises
        ------
        InvalidInput
            The file cannot be written.
        """
        out = self._files.get(rejected.file)
        try:
            if out is None:
                out = self._files[rejected.file] = _create(self.path(rejected.file))
            out.write(msgspec.json.encode(rejected) + b"\n")
        except OSError as error:
            raise InvalidInput(f"cannot write rejected lines to {self.path(rejected.file)}: {error.strerror}") from None

    def paths(self) -> tuple[Path, ...]:
        """Return the files that were written."""
        return tuple(self.path(file) for file in self._files)

    def close(self) -> None:
        """Close every file; idempotent."""
        for out in self._files.values():
            out.close()

    @staticmethod
    def path(file: str) -> Path:
        """Return where the rejected lines of a file are kept."""
        return Path(file + QUARANTINED)


def _create(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
