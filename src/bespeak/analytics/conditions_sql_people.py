"""Who is there and what they did, as views over `events`: whatever a condition reads that is no single event.

Whether an event came too late was judged against what its profile had seen by then, and a profile sees more once it is
joined with another. The log keeps which event joined whom; so lateness is worked out here from offsets, times and
joins, in the order of the log, and no row has to say it.

`judged`: the few events that were late, or were of nobody (what we did ourselves to somebody who had done nothing yet).
`heard`: all others and the late ones. `did`: what people did themselves, in time. `everybody`: who there is.
`everybodys_visits`: their sessions. `everybodys_places`: their time zones. `person` joins them all, and may be a
number; `id` of `everybody` is the profile id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from bespeak.analytics.conditions_sql_places import VIEWS
from bespeak.clock import NEVER
from bespeak.ids import ProfileId, user_profile
from bespeak.profiles import SILENT, IdentitySettings, ProfileSettings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_AT_ONCE = 20_000

PEOPLE: Final = {"people": "everybody", "places": "everybodys_places", "visits": "everybodys_visits"}
"""The views of people, by the names under which a question reads each once."""

Way = tuple[ProfileId, ProfileId, int, int]
"""An id, what it meant, from which offset on, and before which."""


def prepare(connection: DuckDBPyConnection, profiles: ProfileSettings, identity: IdentitySettings) -> None:
    """Make the views over the view `events`; the connection has been taught its words."""
    settle(connection, profiles, identity)
    connection.execute("CREATE TEMP TABLE ways (id VARCHAR, meant VARCHAR, since BIGINT, until BIGINT)")
    rows = list(ways_of(_joins(connection)))
    for start in range(0, len(rows), _AT_ONCE):
        body = msgspec.json.encode(rows[start : start + _AT_ONCE]).decode()
        connection.execute(_WAYS, [body])
    for statement in (_JUDGED, _HEARD, _DID, _PEOPLE):
        connection.execute(statement)
    for name, query in WORKED_OUT.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS {query}")


def ways_of(joins: Iterable[tuple[int, ProfileId, ProfileId]]) -> Iterator[Way]:
    """Yield what each id that ever was joined meant, and when.

    Parameters
    ----------
    joins
        In the order of the log: the offset of an event, the profile that it took in, and the id of its person.

    Examples
    --------
    >>> sorted(ways_of([(5, "a:phone", "u:ann"), (9, "u:ann", "u:bea")]))[:3]
    [('a:phone', 'a:phone', 0, 5), ('a:phone', 'u:ann', 5, 9), ('a:phone', 'u:bea', 9, 4611686018427387904)]
    """
    meant: dict[ProfileId, tuple[ProfileId, int]] = {}
    named: dict[ProfileId, list[ProfileId]] = {}
    for offset, joined, user in joins:
        into = meant.get(user, (user, 0))[0]
        for name in named.pop(joined, [joined]):
            before, since = meant.get(name, (name, 0))
            yield name, before, since, offset
            meant[name] = into, offset
            named.setdefault(into, [into]).append(name)
    for name, (person, since) in meant.items():
        yield name, person, since, NEVER


def _joins(connection: DuckDBPyConnection) -> Iterator[tuple[int, ProfileId, ProfileId]]:
    asked = connection.execute(
        "SELECT log_offset, joined, user_id FROM events WHERE joined IS NOT NULL AND user_id IS NOT NULL"
        " ORDER BY log_offset"
    )
    for offset, joined, user in asked.fetchall():
        yield int(offset), str(joined), user_profile(str(user))


def settle(connection: DuckDBPyConnection, profiles: ProfileSettings, identity: IdentitySettings) -> None:
    """Put the settings into a table of one row, so that views, which take no parameters, can read them."""
    connection.execute(
        "CREATE TEMP TABLE setting AS SELECT CAST(? AS BIGINT) AS delay, CAST(? AS BIGINT) AS gap,"
        " CAST(? AS VARCHAR) AS zone, CAST(? AS BOOLEAN) AS trusting, CAST(? AS VARCHAR[]) AS ours,"
        " CAST(? AS BIGINT) AS halflife",
        [
            profiles.delay,
            profiles.session_gap,
            profiles.time_zone,
            identity.unsigned == "merge",
            sorted(SILENT),
            profiles.interest_halflife,
        ],
    )


_WAYS: Final = (
    "INSERT INTO ways SELECT w[1], w[2], w[3]::BIGINT, w[4]::BIGINT"
    " FROM (SELECT unnest(from_json(?, '[[\"VARCHAR\"]]')) AS w)"
)

# Of an event `e`, with the settings `s`: whether we did it ourselves, whether it makes somebody known all the same, and
# the id under which it came.
IS_SILENT: Final = "list_contains(s.ours, e.name)"
DOES_SPEAK: Final = """e.joined IS NOT NULL OR coalesce(json_extract(e.context, '$.consent') ->> '$'
            NOT IN ('null', 'false', '{}', '[]', '""', '', '0', '0.0'), false)
            OR (e.name = 'List Joined' AND e.source = 'bespeak')"""
OWN_ID: Final = """CASE WHEN e.user_id IS NOT NULL AND (e.signed OR s.trusting) THEN 'u:' || e.user_id
            ELSE 'a:' || e.anonymous_id END"""

# What an event adds to what a profile has seen counts at its own place for whom its id meant then, and, from the join
# on, for whoever takes that profile in: `carried`, before the joining event is judged itself.
_JUDGED: Final = f"""
CREATE TEMP TABLE judged AS
WITH own AS (
    SELECT e.log_offset, e.person, epoch_us(e.time) AS happened, {IS_SILENT} AS silent, {DOES_SPEAK} AS speaks,
        {OWN_ID} AS id
    FROM events e, setting s WHERE e.person <> ''
), told AS (
    SELECT o.log_offset, o.happened, o.silent, o.speaks, coalesce(w.meant, o.person) AS meant,
        greatest(o.log_offset, coalesce(w.since, 0)) AS place, coalesce(w.since, 0) > o.log_offset AS carried
    FROM own o LEFT JOIN ways w ON w.id = o.id AND w.until > o.log_offset
), seen AS (
    SELECT *,
        max(CASE WHEN NOT silent THEN happened END) OVER before AS newest,
        count(CASE WHEN speaks OR NOT silent THEN 1 END) OVER before AS others
    FROM told
    WINDOW before AS (PARTITION BY meant ORDER BY place, NOT carried, log_offset
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
)
SELECT log_offset, late, unheard FROM (
    SELECT log_offset, happened < greatest(coalesce(newest, 0), 0) - delay AS late,
        silent AND NOT speaks AND others = 0 AS unheard
    FROM seen, setting WHERE NOT carried
) WHERE late OR unheard
"""  # noqa: S608 - our own text

# What conditions read of an event `e`. `tells` is false where its context has no traits, which is quicker than to look.
SAID: Final = """e.log_offset, epoch_us(e.time) AS happened, e.type, e.name, e.message_id, e.source, e.group_id,
    e.time_zone, greatest(len(e.items), 1) AS mentions, e.properties, e.context,
    coalesce(contains(e.context, '"traits":'), false) AS tells"""

_HEARD: Final = f"""
CREATE TEMP VIEW heard AS
SELECT e.person, {SAID}, coalesce(j.late, false) AS late
FROM events e LEFT JOIN judged j ON j.log_offset = e.log_offset
WHERE e.person <> '' AND NOT coalesce(j.unheard, false)
"""  # noqa: S608 - our own text

_DID: Final = """
CREATE TEMP VIEW did AS
SELECT heard.* FROM heard, setting WHERE NOT late AND NOT list_contains(ours, name)
"""

_PEOPLE: Final = """
CREATE TEMP VIEW everybody AS SELECT person, person AS id FROM (SELECT DISTINCT person FROM heard)
"""

_VISITS: Final = """
SELECT person, any_value(visits) AS visits, any_value(started) AS started, max(happened) AS ended,
    sum(mentions) FILTER (happened >= started) AS mentions
FROM (
    SELECT person, happened, mentions,
        count(*) FILTER (begins) OVER whole AS visits,
        max(happened) FILTER (begins) OVER whole AS started
    FROM (
        SELECT person, happened, mentions, coalesce(happened - lag(happened) OVER one_by_one >= gap, true) AS begins
        FROM did, setting WINDOW one_by_one AS (PARTITION BY person ORDER BY happened)
    ) WINDOW whole AS (PARTITION BY person)
) GROUP BY person
"""


def trait_of(name: str, path: str, beside: str) -> str:
    """Return a query of what people last said of a trait: person, and `said`, JSON.

    Parameters
    ----------
    name, path, beside
        SQL of the trait's name, of its path in the properties of an `identify`, and of that in a `context`.
    """
    told = "SELECT person, happened, message_id, log_offset, {} AS place, {} AS said FROM did WHERE {}"
    ways = (
        (0, f"json_extract(properties, {path})", f"type = 'identify' AND json_exists(properties, {path})"),
        (0, "coalesce(to_json(group_id), CAST('null' AS JSON))", f"type = 'group' AND {name} = 'group_id'"),
        (1, f"json_extract(context, {beside})", f"tells AND json_exists(context, {beside})"),
    )
    parts = " UNION ALL ".join(told.format(*way) for way in ways)
    newest = "first(said ORDER BY happened DESC, message_id DESC, log_offset, place)"
    return f"SELECT person, {newest} AS said FROM ({parts}) GROUP BY person"  # noqa: S608 - names and values are bound


_TIMEZONE: Final = trait_of("'timezone'", "'$.timezone'", "'$.traits.timezone'")
_PLACES: Final = f"""
SELECT p.person, coalesce(d.zone, CASE WHEN is_zone(text_of(t.said)) THEN text_of(t.said) END, s.zone) AS zone
FROM everybody p CROSS JOIN setting s
LEFT JOIN (SELECT person, first(time_zone ORDER BY happened DESC, message_id DESC, log_offset) AS zone
    FROM did WHERE time_zone IS NOT NULL GROUP BY person) d ON d.person = p.person
LEFT JOIN ({_TIMEZONE}) t ON t.person = p.person
"""  # noqa: S608 - our own text

WORKED_OUT: Final = {"everybodys_visits": _VISITS, "everybodys_places": _PLACES, **VIEWS}
"""What is worked out of all that people did, each a query over `did` and `everybody`, by the name it is read under."""
