"""`backup` and `restore` by hand, alone and beside a server."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pytest

from bespeak.cli import copies, upkeep

pytestmark = pytest.mark.server


def test_a_backup_taken_beside_a_server_or_alone_is_verified_and_replays(project: Any, tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    project.run("keys", "create", "--kind", "write", "--name", name)
    told = project.json("backup", str(tmp_path / "monday.db"))
    assert told["bytes"] == (tmp_path / "monday.db").stat().st_size
    assert told["bad"] == []
    restored, key = tmp_path / "elsewhere", project.path / ".bespeak" / "master.key"
    words = ("restore", str(tmp_path / "monday.db"), "--data", str(restored), "--key", str(key))
    found = project.json(*words)
    assert (found["records"], found["lacks_key"]) == (told["records"], False)
    assert (restored / "master.key").read_bytes() == key.read_bytes()
    assert name in {key["name"] for key in project.json("keys", "list", "--data", str(restored))}
    assert project.json("segments", "list", "--data", str(restored)) == project.json("segments", "list")
    assert project.json("replay", "--data", str(restored))["equal"] is True


def test_nothing_is_overwritten_by_mistake(project: Any, tmp_path: Path) -> None:
    target = tmp_path / "monday.db"
    target.write_text("something else")
    assert "is there already" in project.run("backup", str(target), code=1).stderr
    assert target.read_text() == "something else"
    project.run("backup", str(target), "--force")
    store = project.path / ".bespeak" / "bespeak.db"
    assert "is there already" in project.run("backup", str(store), "--force", code=1).stderr
    words = ("restore", str(target))
    if project.server is None:
        assert "there is a store at" in project.run(*words, code=1).stderr
        assert "there is a store at" in project.run("restore", str(store), "--force", code=1).stderr
        project.run("keys", "create", "--kind", "write", "--name", "after-the-backup")
        project.run(*words, "--force")
        assert "after-the-backup" not in project.run("keys", "list").stdout
    else:
        assert "in use by process" in project.run(*words, "--force", code=1).stderr


def test_what_is_no_backup_is_not_restored(project: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    words = ("--data", str(empty))
    assert "no such file" in project.run("restore", str(tmp_path / "none.db"), *words, code=1).stderr
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    assert "another program" in project.run("restore", str(other), *words, code=1).stderr
    damaged = tmp_path / "damaged.db"
    project.run("backup", str(tmp_path / "good.db"))
    shutil.copyfile(tmp_path / "good.db", damaged)
    connection = sqlite3.connect(damaged)
    connection.execute("UPDATE log SET payload = x'00'")
    connection.commit()
    connection.close()
    assert "is damaged" in project.run("restore", str(damaged), *words, code=1).stderr
    assert [each.name for each in empty.iterdir()] == ["bespeak.lock"], "nothing is left behind"


def visited(folder: Any, visitor: str, *words: str) -> None:
    """Import one visit."""
    (folder.path / "map.yaml").write_text(
        "name: clicks\nsections:\n  - target: events\n    anonymous_id: visitor\n    event: {value: Product Viewed}\n"
        '    time: {column: at, format: "%Y-%m-%d"}\n'
    )
    (folder.path / "clicks.csv").write_text(f"visitor,at\n{visitor},2026-03-01\n")
    folder.run("import", "clicks.csv", "--map", "map.yaml", *words)


def test_a_restore_says_that_it_lacks_the_key_and_takes_none_of_another_store(folder: Any, tmp_path: Path) -> None:
    folder.run("init")
    visited(folder, "ada")
    source, key = str(tmp_path / "monday.db"), str(folder.path / ".bespeak" / "master.key")
    assert "master.key" in folder.run("backup", source).stdout

    bare = tmp_path / "bare"
    words = ("restore", source, "--data", str(bare))
    assert "Nothing personal in it opens yet" in folder.run(*words).stdout
    assert "master.key is missing" in folder.run("profile", "ada", "--data", str(bare), code=1).stderr
    assert folder.json(*words, "--force", "--key", key)["lacks_key"] is False
    assert folder.json("profile", "ada", "--data", str(bare))["counts"] == {"Product Viewed": 1}

    other = tmp_path / "other"
    folder.run("keys", "list", "--data", str(other))
    mine = (other / "master.key").read_bytes()
    words = ("restore", source, "--data", str(other), "--force")
    assert "is not that of the backup" in folder.run(*words, code=1).stderr
    assert sorted(one.name for one in other.iterdir()) == ["bespeak.db", "bespeak.lock", "master.key"]
    assert (other / "master.key").read_bytes() == mine
    folder.run(*words, "--key", key)
    assert folder.json("replay", "--data", str(other))["equal"] is True


def test_a_place_that_is_no_place_is_named(project: Any, tmp_path: Path) -> None:
    assert "no such folder" in project.run("backup", str(tmp_path / "none" / "x.db"), code=1).stderr
    assert "is a folder" in project.run("backup", str(tmp_path), code=1).stderr


class PowerFails(Exception):
    """The process ends here, as far as the files can tell."""


def fail(*_: object) -> None:
    raise PowerFails


@pytest.mark.parametrize("cut_off", ["before the store is replaced", "after the store was replaced"])
@pytest.mark.parametrize("rotated", [False, True], ids=["another store", "a rotation since"])
def test_a_restore_that_is_cut_off_leaves_a_store_that_opens(
    folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut_off: str, *, rotated: bool
) -> None:
    folder.run("init")
    visited(folder, "ada")
    source, key, saved = tmp_path / "monday.db", folder.path / ".bespeak" / "master.key", tmp_path / "master.key"
    folder.run("backup", str(source))
    shutil.copyfile(key, saved)
    there = folder.path / ".bespeak" if rotated else tmp_path / "there"
    if rotated:
        folder.run("keys", "rotate-master")
    visited(folder, "bob", "--data", str(there))
    words = ("restore", str(source), "--data", str(there), "--force", "--key", str(saved))
    before = cut_off == "before the store is replaced"
    with monkeypatch.context() as patch:
        if before:
            patch.setattr(Path, "replace", _all_but_the_store(Path.replace))
        else:
            patch.setattr(copies, "put_key_in_force", fail)
        with pytest.raises(PowerFails):
            folder.run(*words)
    profile = folder.json("profile", "bob" if before else "ada", "--data", str(there))
    assert profile["counts"] == {"Product Viewed": 1}
    assert folder.json("replay", "--data", str(there))["equal"] is True
    assert not [each.name for each in there.iterdir() if each.name.startswith("master.key.")]
    assert ((there / "master.key").read_bytes() == saved.read_bytes()) is not before
    folder.run(*words)
    assert folder.json("profile", "ada", "--data", str(there))["counts"] == {"Product Viewed": 1}


def _all_but_the_store(replace: Any) -> Any:
    def replacing(self: Path, target: Path) -> Path:
        if Path(target).name == "bespeak.db":
            raise PowerFails
        found: Path = replace(self, target)
        return found

    return replacing


def test_a_replay_goes_on_though_the_master_key_changes_after_it_has_begun(
    folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.run("init")
    visited(folder, "ada")
    opened: list[Path] = []

    class Rotated(upkeep.SqliteSnapshot):
        def __init__(self, path: Path, *more: Any) -> None:
            super().__init__(path, *more)
            opened.append(path)
            if len(opened) == 1:
                with monkeypatch.context() as patch:
                    patch.undo()
                    folder.run("keys", "rotate-master")

    monkeypatch.setattr(upkeep, "SqliteSnapshot", Rotated)
    assert folder.json("replay")["equal"] is True
    assert len(opened) == 2, "it looked at the store again"
