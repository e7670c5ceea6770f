"""SQL over the events: one statement that reads, with bounds on memory, time and rows, and no way to any file."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bespeak.analytics.parquet import Table, connect, copy_to, path_of, quoted
from bespeak.analytics.rows import Row
from bespeak.analytics.settings import ArchiveSettings
from bespeak.errors import InvalidInput, StoreError
from bespeak.ids import ProfileId

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ALIASES_AT_ONCE = 20_000


class Answer(msgspec.Struct, frozen=True):
    """What was asked for: names and SQL types of the columns, the rows, and whether there were more."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    more: bool


def ask(
    sql: str,
    files: Sequence[int],
    tail: Iterable[Row],
    aliases: Mapping[ProfileId, ProfileId],
    settings: ArchiveSettings,
    *,
    threads: int = 2,
) -> Answer:
    """Ask over the view `events`: the files, and the rows that are in none of them yet.

    Parameters
    ----------
    files
        Descriptors of Parquet files in memory.
    aliases
        Profile ids that mean another by now; `events.person` is what they mean, and the table `aliases` has them.

    Raises
    ------
    InvalidInput
        It is not one statement that reads, SQL says what is wrong with it, or it needs more than the settings allow.
    """
    import duckdb

    with closing(connect(threads=threads, mib=settings.query_mib)) as connection:
        try:
            _read_only(sql)
            view(connection, files, tail, aliases)
            _shut(connection, files)
            return _bounded(connection, sql, settings)
        except duckdb.OutOfMemoryException as error:
            raise _too_large(settings, error) from None
        except duckdb.Error as error:
            raise InvalidInput(f"SQL: {error}") from None


@contextmanager
def limited(connection: DuckDBPyConnection, settings: ArchiveSettings, *, memory: str | None = None) -> Generator[None]:
    """Let what is asked inside take no longer, and no more memory, than the settings allow.

    Parameters
    ----------
    memory
        What bounds the memory of the connection, for a message; `archive.query_mib` unless told.

    Raises
    ------
    InvalidInput
        It took more.
    """
    import duckdb

    timer = threading.Timer(settings.query_seconds, connection.interrupt)
    timer.start()
    try:
        yield
    except duckdb.InterruptException:
        raise InvalidInput(
            f"the question took longer than archive.query_seconds ({settings.query_seconds:g} s);"
            " ask for less, or raise it"
        ) from None
    except duckdb.OutOfMemoryException as error:
        raise _too_large(settings, error, memory) from None
    finally:
        timer.cancel()


@contextmanager
def answerable(settings: ArchiveSettings, *, memory: str | None = None) -> Generator[None]:
    """Let a question of ours that DuckDB fails at be an error of whoever asked it, and of nobody who asks next.

    Of why only the kind is said: its own words may quote what events say. After an error of its own making it answers
    nothing any more; such a one goes on as it is.

    Parameters
    ----------
    memory
        As `limited`.

    Raises
    ------
    InvalidInput
        It needs more memory than the settings allow, or has no answer.
    """
    import duckdb

    try:
        yield
    except (duckdb.FatalException, duckdb.InternalException):
        raise
    except duckdb.OutOfMemoryException as error:
        raise _too_large(settings, error, memory) from None
    except duckdb.Error as error:
        raise InvalidInput(
            f"SQL fails at the question ({type(error).__name__}; what it says of it is left out, since it may quote"
            " events). A time or a number that leads out of range does that: ask for another one"
        ) from None


def _too_large(settings: ArchiveSettings, error: Exception, memory: str | None = None) -> InvalidInput:
    memory = memory or f"archive.query_mib ({settings.query_mib:,} MiB)"
    return InvalidInput(f"the question needs more than {memory}; ask for less, or raise it: {error}")


def export(
    path: Path,
    files: Sequence[int],
    tail: Iterable[Row],
    aliases: Mapping[ProfileId, ProfileId],
    settings: ArchiveSettings,
    *,
    where: str,
) -> int:
    """Write the view `events` to one Parquet file that anybody can read who may read the file; returns its rows.

    Parameters
    ----------
    path
        It is not there yet, and is mode 0600.
    where
        Which rows, as SQL; ours, not a caller's.

    Raises
    ------
    InvalidInput
        It needs more memory than `archive.query_mib`.
    StoreError
        It cannot be written.
    """
    import duckdb

    with closing(connect(threads=2, mib=settings.query_mib)) as connection:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            view(connection, files, tail, aliases)
            copy_to(connection, f"SELECT * FROM events WHERE {where}", str(path))  # noqa: S608
            counted = connection.execute(f"SELECT count(*) FROM read_parquet({quoted(str(path))})").fetchone()  # noqa: S608
        except duckdb.OutOfMemoryException as error:
            raise InvalidInput(f"it needs more than archive.query_mib ({settings.query_mib:,} MiB): {error}") from None
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        except duckdb.Error as error:
            raise StoreError(f"cannot write {path}: {error}") from error
    return 0 if counted is None else int(counted[0])


def view(
    connection: DuckDBPyConnection, files: Sequence[int], tail: Iterable[Row], aliases: Mapping[ProfileId, ProfileId]
) -> None:
    """Make the view `events`, and the table `aliases`, which the tail may still add to while it is read."""
    recent = Table(connection=connection, name="recent")
    for row in tail:
        recent.add(row)
    recent.flush()
    connection.execute("CREATE TABLE aliases (alias VARCHAR, person VARCHAR)")
    pairs = list(aliases.items())
    for start in range(0, len(pairs), _ALIASES_AT_ONCE):
        body = msgspec.json.encode(pairs[start : start + _ALIASES_AT_ONCE]).decode()
        connection.execute(
            "INSERT INTO aliases SELECT p[1], p[2] FROM (SELECT unnest(from_json(?, '[[\"VARCHAR\"]]')) AS p)", [body]
        )
    stored = "SELECT * FROM recent"
    if files:
        stored = f"SELECT * FROM read_parquet({_paths(files)}) UNION ALL {stored}"  # noqa: S608  our own descriptors
    if pairs:
        stored = (
            "SELECT e.* REPLACE (coalesce(a.person, e.person) AS person)"  # noqa: S608
            f" FROM ({stored}) e LEFT JOIN aliases a ON e.person = a.alias"
        )
    connection.execute(f"CREATE VIEW events AS {stored}")


def _shut(connection: DuckDBPyConnection, files: Sequence[int]) -> None:
    """Shut the connection off from every file but those, for good."""
    connection.execute(f"SET allowed_paths = {_paths(files)}")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _paths(files: Sequence[int]) -> str:
    return "[" + ", ".join(quoted(path_of(one)) for one in files) + "]"


def _read_only(sql: str) -> None:
    import duckdb

    statements = duckdb.extract_statements(sql)
    allowed = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
    if len(statements) != 1 or statements[0].type not in allowed:
        raise InvalidInput("expected one SELECT (or EXPLAIN) statement over the view `events`")


def _bounded(connection: DuckDBPyConnection, sql: str, settings: ArchiveSettings) -> Answer:
    with limited(connection, settings):
        answered = connection.execute(sql)
        described = answered.description or []
        rows = answered.fetchmany(settings.query_rows + 1)
    more = len(rows) > settings.query_rows
    return Answer(
        tuple(str(one[0]) for one in described),
        tuple(str(one[1]) for one in described),
        tuple(tuple(row) for row in rows[: settings.query_rows]),
        more,
    )
