"""`verify` and `replay` by hand: alone and beside a server, with a sound store and a damaged one."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bespeak.engine.encoded import decode_profile, encode_profile
from bespeak.engine.packing import pack, unpack
from bespeak.engine.recovery import STATE
from bespeak.engine.vault import PROFILE, Vault
from bespeak.privacy.masters import KEY_FILE, KeyFile
from bespeak.stores import SqliteSnapshot, SqliteStore

pytestmark = pytest.mark.server

DATA = ".bespeak"
MAP = (
    "name: clicks\nsections:\n  - target: events\n    anonymous_id: visitor\n    event: {value: Product Viewed}\n"
    '    time: {column: at, format: "%Y-%m-%d"}\n    properties:\n      product_id: item\n'
)


def store_of(folder: Any) -> Path:
    return Path(folder.path) / DATA / "bespeak.db"


def change(folder: Any, statement: str, *values: object) -> None:
    other = sqlite3.connect(store_of(folder))
    other.execute(statement, values)
    other.commit()
    other.close()


def value(folder: Any, query: str) -> Any:
    with closing(sqlite3.connect(store_of(folder))) as other:
        return other.execute(query).fetchone()[0]


def newest(folder: Any) -> int:
    return int(value(folder, "SELECT max(first) FROM log"))


@pytest.fixture
def filled(folder: Any) -> Any:
    """A project with a few events in its log."""
    folder.run("init", "--json")
    (folder.path / "map.yaml").write_text(MAP)
    (folder.path / "clicks.csv").write_text(
        "visitor,at,item\n" + "".join(f"ada,2026-03-{day:02d},item-{day}\n" for day in range(1, 29))
    )
    folder.run("import", "clicks.csv", "--map", "map.yaml")
    return folder


def test_a_sound_store_is_verified_and_replays_alone_and_beside_a_server(project: Any) -> None:
    verified = project.json("verify")
    assert verified["sound"] is True
    assert verified["bad"] == []
    replayed = project.json("replay")
    assert (replayed["equal"], replayed["difference"]) == (True, None)
    assert replayed["offset"] >= verified["last"] > 0
    assert "sound" in project.run("verify").stdout
    assert "equal" in project.run("replay").stdout


def test_the_models_are_built_anew_alone_and_beside_a_server(project: Any) -> None:
    visitor = f"v{uuid.uuid4().hex}"
    (project.path / f"{visitor}.yaml").write_text(MAP)
    (project.path / f"{visitor}.csv").write_text(f"visitor,at,item\n{visitor},2026-03-01,item-1\n")
    project.run("import", f"{visitor}.csv", "--map", f"{visitor}.yaml")
    project.run("erase", visitor, "--yes")
    assert project.json("models")["erased"] is not None
    assert "hold the part of people erased since" in project.run("models").stdout
    assert "until `bespeak models rebuild`" in project.run("replay").stdout
    rebuilt = project.json("models", "rebuild")
    assert (rebuilt["rebuilding"], rebuilt["erased"], rebuilt["failed"]) == (False, None, "")
    assert rebuilt["done"] == rebuilt["total"] > 0
    assert "nobody who was erased is in them" in project.run("models").stdout
    replayed = project.json("replay")
    assert (replayed["equal"], replayed["compared"]) == (True, True)


def test_a_server_that_runs_is_not_repaired_under_its_feet(project: Any) -> None:
    if project.server is None:
        assert project.json("verify", "--repair")["sound"] is True
    else:
        assert "in use by process" in project.run("verify", "--repair", code=1).stderr


def test_a_damaged_row_is_named_refused_at_the_start_and_skipped_by_a_repair(filled: Any) -> None:
    last = filled.json("verify")["last"]
    first = newest(filled)
    change(filled, "UPDATE meta SET value = ? WHERE key = 'checkpoint'", first - 1)
    change(filled, "UPDATE log SET payload = substr(payload, 1, 40) WHERE first = ?", first)

    said = filled.run("verify", code=1).stdout
    assert f"DAMAGED offsets {first} to {last} (row {first}, received " in said
    assert "bespeak verify --repair" in said
    refused = filled.run("segments", "list", code=1).stderr
    assert f"offset {first}" in refused
    assert "bespeak verify --repair" in refused
    assert "bespeak restore" in refused
    assert "offset" in filled.run("replay", code=1).stderr

    told = filled.run("verify", "--repair", "--export", "damaged.jsonl").stdout
    assert f"lost: offsets {first} to {last}; nothing includes them" in told
    assert json.loads((filled.path / "damaged.jsonl").read_text())["first"] == first
    assert filled.json("verify")["gaps"] == [[first, last]]
    assert filled.json("segments", "list")
    assert f"skipped by a repair: offsets {first} to {last}" in filled.run("replay", code=1).stdout


def test_what_the_checkpoint_includes_is_said_to_be_known_still(filled: Any) -> None:
    before = filled.json("profile", "ada")["counts"]
    change(filled, "UPDATE log SET payload = substr(payload, 1, 40) WHERE first = ?", newest(filled))
    told = filled.run("verify", "--repair").stdout
    assert "the checkpoint includes them: profiles still know them" in told
    assert filled.json("profile", "ada")["counts"] == before
    (export,) = store_of(filled).parent.glob("bespeak.db.damaged-*.jsonl")
    assert str(export.name) in told


def test_the_first_difference_is_told_with_both_values(filled: Any) -> None:
    with closing(SqliteSnapshot(store_of(filled))) as store:
        vault = Vault(store, KeyFile(store_of(filled).parent / KEY_FILE), bound=100)
        row = store.profile(vault.name("a:ada"))
        assert row is not None
        data = vault.open(row.data, PROFILE)
        assert data is not None
        profile = decode_profile(unpack(data))
        profile.counts["Product Viewed"] = 99
        changed = vault.seal("a:ada", PROFILE, pack(encode_profile(profile)))
    change(filled, "UPDATE profiles SET data = ? WHERE id = ?", changed, row.id)
    said = filled.run("replay", code=1).stdout.splitlines()
    assert said[-3:] == [
        "DIFFERENT at profile a:ada, field counts.Product Viewed",
        "  live      99",
        "  replayed  28",
    ]
    assert json.loads(filled.run("replay", "--json", code=1).stdout)["difference"]["live"] == 99


def test_without_a_store_it_says_so(folder: Any) -> None:
    for verb in ("verify", "replay"):
        assert "there is no store" in folder.run(verb, code=1).stderr


def test_where_the_log_begins_and_what_a_replay_began_with_is_told(filled: Any) -> None:
    with closing(SqliteStore(store_of(filled))) as store:
        edge = store.take_snapshot(0, (STATE,)).offset
        store.drop_log(edge, 2**60, rows=1_000)
        dropped = store.dropped()
    assert 0 < dropped <= edge
    assert f"rows up to offset {dropped} were dropped" in filled.run("verify").stdout
    assert filled.json("verify")["dropped"] == dropped
    assert f"from the snapshot of offset {edge} on" in filled.run("replay").stdout
    replayed = filled.json("replay")
    assert (replayed["equal"], replayed["start"], replayed["compared"]) == (True, edge, False)
