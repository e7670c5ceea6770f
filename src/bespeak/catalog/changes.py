"""Which rows have changed, so that what is derived from them is mended instead of made anew."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Mark(msgspec.Struct, frozen=True):
    """How far a reader of the changes has come."""

    epoch: int
    position: int


BEGINNING = Mark(-1, 0)
"""A reader that has read nothing."""


class Changes:
    """A bounded list of changed rows, read by several readers, each at its own pace.

    When the list is longer than a quarter of the rows (at least 1,000), it is emptied and a new epoch
    begins: a reader left behind makes its arrays anew, which is then the cheaper way.
    """

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._epoch = 0

    @property
    def mark(self) -> Mark:
        """Where a reader stands that has read everything."""
        return Mark(self._epoch, len(self._rows))

    def add(self, row: int, rows: int) -> None:
        """Note that `row` changed, in a table that now has `rows` rows."""
        if len(self._rows) >= max(1_000, rows // 4):
            self._rows.clear()
            self._epoch += 1
        self._rows.append(row)

    def since(self, mark: Mark) -> Sequence[int] | None:
        """Return the rows changed after `mark` (a row may come twice), or None when all may have."""
        if mark.epoch != self._epoch:
            return None
        return self._rows[mark.position :]
