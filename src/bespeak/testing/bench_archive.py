"""What the archive costs: events written to sealed Parquet files, and a file written anew without a person."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from bespeak.analytics import ArchiveSettings, open_file, seal_file
from bespeak.analytics.parquet import memory_file
from bespeak.engine import Engine
from bespeak.engine.archive import file_key, folder_of, key_of, listed, next_span
from bespeak.engine.archive_writing import without, write_span
from bespeak.engine.records import SealedRecord, decode, open_event
from bespeak.engine.vault import Vault
from bespeak.ids import ProfileId
from bespeak.privacy.masters import KEY_FILE, KeyFile
from bespeak.settings import Settings
from bespeak.stores import SqliteSettings, SqliteSnapshot

_NOBODY: Mapping[ProfileId, ProfileId] = {}


def archive_rates(bodies: Iterable[bytes]) -> tuple[float, float]:
    """Return events a second of CPU that are written to files, and that are merely read from the log and opened."""
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(folder)
        asyncio.run(_fill(settings, bodies, files=False))
        with closing(SqliteSnapshot(Path(folder) / SqliteSettings().path)) as store:
            count, took = 0, 0.0
            vault = _vault(settings, store)
            span = next_span(store, settings, 0, everything=True)
            assert span is not None  # noqa: S101  there are events
            gc.collect()
            began = time.process_time()
            count = write_span(store, vault, settings, span, _NOBODY, _never).file.rows
            took = time.process_time() - began
            vault = _vault(settings, store)
            began = time.process_time()
            for row in store.read(0):
                for offset, record in decode(row, after=0):
                    if isinstance(record, SealedRecord):
                        open_event(vault, record, offset)
            least = time.process_time() - began
    return count / took, count / least


def rewrite_cost(bodies: Iterable[bytes]) -> tuple[float, float]:
    """Return CPU seconds to write a file anew without a person, and to open and seal the same file."""
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(folder)
        asyncio.run(_fill(settings, bodies, files=True))
        with closing(SqliteSnapshot(Path(folder) / SqliteSettings().path)) as store:
            masters = _vault(settings, store).masters
            (file,) = listed(store)
            place = folder_of(settings)
            assert place is not None  # noqa: S101  the store is on disk
            key = key_of(store, masters, file)
            person = next(one.number for one in store.each_key() if one.number > 1)
            gc.collect()
            began = time.process_time()
            without(store, masters, settings, file, frozenset([person]), ("a:nobody",))
            took = time.process_time() - began
            began = time.process_time()
            with memory_file("floor") as content:
                open_file(place / file.name, key, content)
                seal_file(place / "floor", file_key(masters, "floor", key.secret), b"", content)
            return took, time.process_time() - began


def _settings(folder: str) -> Settings:
    return Settings(data_dir=folder, archive=ArchiveSettings(minutes=0, rows=1_000_000, mib=1_024, apart=False))


def _vault(settings: Settings, store: SqliteSnapshot) -> Vault:
    vault = Vault(store, KeyFile(Path(settings.data_dir) / KEY_FILE), bound=settings.engine.keys_max)
    vault.load()
    return vault


async def _fill(settings: Settings, bodies: Iterable[bytes], *, files: bool) -> None:
    engine = Engine.open(settings)
    await engine.start()
    key, _ = await engine.create_key("secret", "bench")
    for body in bodies:
        await engine.import_events(engine.parse(body, key=key).events)
    await engine.checkpoint_now()
    if files:
        await engine.archive(everything=True)
    await engine.close()


def _never() -> None:
    """Let nobody else have a turn."""
