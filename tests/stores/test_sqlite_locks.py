"""What a store holds of its file against other processes."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from bespeak.stores import Commit, Document, SqliteSnapshot, SqliteStore

BESIDE = """
import sys
from pathlib import Path
from bespeak.stores import SqliteSnapshot
SqliteSnapshot(Path(sys.argv[1])).close()
"""


def test_a_reader_beside_a_writer_that_was_opened_anew_leaves_the_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "bespeak.db"
    with closing(SqliteStore(path)) as store:
        store.commit(Commit(documents=(Document("kind", "first", 1, b"1"),)))
        assert store._writer is not None
        store._writer.close()
        store._writer = None  # as after a commit that could not be rolled back
        store.commit(Commit(documents=(Document("kind", "second", 1, b"2"),)))
        ahead = path.with_name("bespeak.db-wal").stat().st_ino
        subprocess.run([sys.executable, "-c", BESIDE, str(path)], check=True)
        assert path.with_name("bespeak.db-wal").stat().st_ino == ahead
        store.commit(Commit(documents=(Document("kind", "third", 1, b"3"),)))
        with closing(SqliteSnapshot(path)) as snapshot:
            assert [one.id for one in snapshot.documents("kind")] == ["first", "second", "third"]
