"""Events held in memory and followed, as previews ask them, held against SQL that reads everything anew each time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bespeak.analytics import COLUMNS, Row
from bespeak.analytics.conditions_sql import Rules, sql_of_counts
from bespeak.analytics.warm import KEPT_MAX, WarmEvents
from bespeak.clock import NEVER, Instant
from bespeak.conditions import Condition
from bespeak.engine import Engine
from bespeak.engine.archive_reading import rows_in
from bespeak.engine.previewing import reads_items
from bespeak.ids import ProfileId
from bespeak.settings import Settings

MOST = 1_000
"""People that are compared; more than any of these tests has."""

_NAMES = tuple(column.name for column in COLUMNS)
_JOINED, _PERSON = _NAMES.index("joined"), _NAMES.index("person")

Memberships = dict[ProfileId, frozenset[str]]
"""The segments that each person is in."""


class Disagreement(AssertionError):
    """Two witnesses differ; the message says about whom and what, and what each says."""


class Held:
    """What is held of a log so far; close it in the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._events = WarmEvents(Rules(settings.profiles, settings.identity), mib=512, threads=1)
        self._aliases: dict[ProfileId, ProfileId] = {}
        self._upto = 0

    def close(self) -> None:
        """Let go of it."""
        self._events.close()

    def compare(
        self, engine: Engine, conditions: Mapping[str, Condition], expected: Mapping[Instant, Memberships]
    ) -> None:
        """Take in what the log has more by now, and compare who is in what with what SQL said, at some instants.

        Raises
        ------
        Disagreement
            It is not the same.
        """
        self._follow(engine)
        names = [name for name, one in conditions.items() if not reads_items(one)]  # what items were is not held
        for at, memberships in expected.items():
            for name in names:
                others = {other: conditions[other] for other in names if other != name}
                query = sql_of_counts(conditions[name], others, at, most=MOST, keeps=KEPT_MAX)
                people, size, sample, *pairs = self._events.ask(query, self._settings.archive)
                held = {person for person, inside in memberships.items() if name in inside}
                both = [sum(1 for one in held if other in memberships[one]) for other in others]
                alone = [sum(1 for inside in memberships.values() if other in inside) for other in others]
                told = (people, size, set(sample or ()), pairs[::2], pairs[1::2])
                if told != (len(memberships), len(held), held, alone, both):
                    raise Disagreement(f"at {at}, {name}: held events say {told}, SQL {(held, alone, both)}")

    def _follow(self, engine: Engine) -> None:
        last = engine.store.last_offset()
        spans = [(self._upto + 1, last)]
        rows = rows_in(self._settings, engine.store, engine.vault, spans, self._aliases, known=NEVER)
        self._events.add_rows(self._renamed(rows), merged=0)
        self._upto = last

    def _renamed(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            if row[_JOINED]:
                joined, person = str(row[_JOINED]), str(row[_PERSON])
                names = [alias for alias, meant in self._aliases.items() if meant == joined]
                self._aliases.update(dict.fromkeys((*names, joined), person))
            yield row
