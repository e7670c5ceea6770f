"""The verbs in a project folder: the same answers from the store itself and from a running server."""

from __future__ import annotations

import gzip
import json
import sqlite3
import urllib.request
import uuid
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.server

MAP = """
name: clicks
sections:
  - target: events
    anonymous_id: visitor
    event: {value: Product Viewed}
    time: {column: at, format: "%Y-%m-%d"}
    properties:
      product_id: item
"""


def send(address: str, token: str, body: dict[str, Any]) -> int:
    request = urllib.request.Request(f"{address}/v1/track", data=json.dumps(body).encode(), method="POST")
    request.add_header("Authorization", "Basic " + b64encode(f"{token}:".encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


def test_init_makes_a_project_that_is_in_force(project: Any) -> None:
    assert (project.path / "bespeak.toml").is_file()
    assert {one["id"] for one in project.json("segments", "list")} >= {"interested", "customers"}
    assert {(key["kind"], key["name"]) for key in project.json("keys", "list")} >= {
        ("write", "site"),
        ("secret", "backend"),
    }
    assert "bespeak serve" in project.run("init", code=1).stderr


def test_keys_are_made_listed_and_revoked(project: Any) -> None:
    name = uuid.uuid4().hex
    made = project.json("keys", "create", "--kind", "write", "--name", name)
    assert made["token"].startswith("bsw_")
    assert made["token"] not in project.run("keys", "list").stdout
    assert "in use" in project.run("keys", "create", "--kind", "write", "--name", name, code=1).stderr
    assert project.json("keys", "revoke", made["id"]) == {"revoked": made["id"]}
    listed = {key["id"]: key for key in project.json("keys", "list")}
    assert listed[made["id"]]["revoked"]
    assert "key_none" in project.run("keys", "revoke", "key_none", code=1).stderr


def test_a_person_is_erased_after_a_yes_and_the_master_key_changes(project: Any) -> None:
    visitor = f"v{uuid.uuid4().hex}"
    folder: Path = project.path / visitor
    folder.mkdir()
    (folder / "map.yaml").write_text(MAP)
    (folder / "clicks.csv").write_text(f"visitor,at,item\n{visitor},2026-03-01,item-1\n")
    project.run("import", f"{visitor}/clicks.csv", "--map", f"{visitor}/map.yaml")
    assert "--yes" in project.run("erase", visitor, code=1).stderr
    assert project.json("profile", visitor)["id"] == f"a:{visitor}"
    changed = project.json("keys", "rotate-master")
    assert changed["rewrapped"] >= 1
    assert str(changed["version"] + 1) in project.run("keys", "rotate-master").stdout
    receipt = project.json("erase", visitor, "--yes")
    assert (receipt["identifiers"], receipt["keys"]) == (1, 1)
    assert "nobody is known" in project.run("erase", visitor, "--yes", code=1).stderr
    assert "no profile" in project.run("profile", visitor, code=1).stderr


def test_an_import_adds_up_and_its_repetition_changes_nothing(project: Any) -> None:
    visitor = uuid.uuid4().hex
    folder: Path = project.path / visitor
    folder.mkdir()
    (folder / "map.yaml").write_text(MAP)
    rows = [f"{visitor},2026-03-0{day},item-{day}" for day in range(1, 6)] + [f"{visitor},soon,item-9", ",,"]
    (folder / "clicks.csv.gz").write_bytes(gzip.compress("\n".join(["visitor,at,item", *rows]).encode()))
    words = ("import", f"{visitor}/clicks.csv.gz", "--map", f"{visitor}/map.yaml")

    first = project.json(*words)
    assert (first["read"], first["accepted"], first["duplicate"], first["rejected"]) == (7, 5, 0, 2)
    second = project.json(*words)
    assert (second["read"], second["accepted"], second["duplicate"], second["rejected"]) == (7, 0, 5, 2)
    rejected = [json.loads(line) for line in Path(project.path / first["quarantine"][0]).read_text().splitlines()]
    assert [one["line"] for one in rejected] == [7, 8]

    profile = project.json("profile", visitor)
    assert profile["counts"]["Product Viewed"] == 5
    assert profile["lastSeen"].startswith("2026-03-05")
    told = project.json("segments", "explain", "interested", visitor, "--at", "2026-03-01T00:10:00Z")
    assert told["member"] is False
    assert "not in" in project.run("segments", "explain", "interested", visitor).stdout
    summary = project.run(*words).stdout
    assert "7 read = 0 accepted + 5 duplicate + 2 rejected" in summary


def test_definitions_are_applied_all_or_none_and_say_what_changed(project: Any) -> None:
    name = f"s{uuid.uuid4().hex[:8]}"
    file = project.path / "segments" / f"{name}.yaml"
    file.write_text(f'id: {name}\ncondition: performed("Never Happened")\n')
    changes = {one["id"]: one["change"] for one in project.json("apply", ".")}
    assert (changes[name], changes["interested"]) == ("created", "unchanged")
    assert project.json("segments", "count", name) == {"count": 0}
    file.write_text(f"id: {name}\ncondition: performd()\n")
    refused = project.run("apply", ".", code=1).stderr
    assert f"{name}.yaml" in refused
    file.unlink()


def test_definitions_that_need_history_are_waited_for_or_not(project: Any) -> None:
    name = f"s{uuid.uuid4().hex[:8]}"
    (project.path / "map.yaml").write_text(MAP.replace("Product Viewed", f"Seen {name}"))
    (project.path / "seen.csv").write_text(f"visitor,at,item\n{name},2026-03-01,item-1\n{name},2026-03-02,item-2\n")
    project.run("import", "seen.csv", "--map", "map.yaml")
    file = project.path / "segments" / f"{name}.yaml"
    for version, (words, condition) in enumerate(
        {
            (): f'count("Seen {name}") >= 2',
            ("--no-wait",): f'distinct(properties.product_id of "Seen {name}") >= 2',
        }.items(),
        start=1,
    ):
        file.write_text(f"id: {name}\ncondition: {condition}\n")
        applied = next(one for one in project.json("apply", ".", *words) if one["id"] == name)
        assert (applied["version"], applied.get("preparing", False)) == (version, bool(words))
    table = project.run("apply", ".").stdout
    assert name in table
    listed = {one["id"]: one for one in project.json("segments", "list")}
    assert (listed[name]["version"], listed[name]["size"]) == (2, 1)
    file.unlink()


def test_decide_answers_from_standard_input_and_from_a_file(project: Any) -> None:
    body = {"userId": uuid.uuid4().hex, "slots": [{"id": "hero"}]}
    answer = project.json("decide", stdin=json.dumps(body))
    assert answer["slots"]["hero"]["content"]["html"] == "<h1>Welcome.</h1>"
    (project.path / "request.json").write_text(json.dumps(body))
    assert project.json("decide", "request.json")["slots"] == answer["slots"]
    assert "not JSON" in project.run("decide", code=1, stdin="{").stderr
    assert "slots" in project.run("decide", code=1, stdin="{}").stderr


def test_a_pipe_gets_one_line_of_json_and_nothing_else(project: Any) -> None:
    body = json.dumps({"userId": "1234", "slots": [{"id": "hero"}]})
    said = project.run_process("decide", stdin=body)
    assert said.stdout.count("\n") == 1
    assert json.loads(said.stdout)["slots"]["hero"]["reason"]
    assert said.stderr == ""
    assert project.run_process("profile", "nobody", code=1).stderr == "bespeak: no profile 'nobody'\n"


def test_recommend_says_what_there_is_and_why_not(project: Any) -> None:
    told = project.json("recommend", uuid.uuid4().hex, "-n", "3")
    assert told["reason"]
    assert told["personalized"] is False
    assert project.run("recommend", "nobody", "--device").stdout


@pytest.mark.parametrize(
    "words,code,said",
    [
        (("profile", "nobody"), 1, "no profile 'nobody'"),
        (("segments", "explain", "nothing", "nobody"), 1, "no profile"),
        (("segments", "count", "nothing"), 1, "there is no segment 'nothing'"),
        (("segments", "count", "interested", "--at", "soon"), 1, "ISO 8601"),
        (("apply", "nowhere"), 1, "nowhere"),
        (("import", "nowhere.csv", "--map", "nomap"), 1, "nomap"),
        (("profile", "x", "--config", "nowhere.toml"), 2, "nowhere.toml"),
    ],
)
def test_what_does_not_work_is_one_clear_message(project: Any, words: tuple[str, ...], code: int, said: str) -> None:
    done = project.run(*words, code=code)
    assert said in done.stderr
    assert done.stderr.startswith("bespeak: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_what_the_server_takes_is_there_after_it_has_stopped(folder: Any) -> None:
    made = folder.json("init")
    token = next(key["token"] for key in made["keys"] if key["kind"] == "write")
    server = folder.serve()
    assert server.poll() is None
    for number in range(3):
        assert (
            send(folder.address, token, {"anonymousId": "ada", "event": "Product Viewed", "messageId": str(number)})
            == 200
        )
    assert folder.json("profile", "ada")["counts"] == {"Product Viewed": 3}
    told = folder.json("segments", "explain", "interested", "ada")
    why = told["explanation"]
    assert (told["member"], why["value"], why["decides"], len(why["events"])) == (True, 3, True, 3)
    said = folder.run("segments", "explain", "interested", "ada").stdout
    assert f"ada is in since {told['since']}: interested" in said
    assert "yes count" in said
    assert f"(found 3, newest at {why['events'][0]})" in said
    assert "decides nothing" not in said
    code, said = folder.stop()
    assert (code, said) == (0, "")
    assert not (folder.path / ".bespeak" / "server.json").exists()
    assert folder.json("profile", "ada")["counts"] == {"Product Viewed": 3}
    check = sqlite3.connect(folder.path / ".bespeak" / "bespeak.db")
    assert check.execute("pragma integrity_check").fetchone() == ("ok",)
    check.close()


def test_a_second_server_and_a_taken_port_are_told_what_to_do(folder: Any) -> None:
    folder.serve()
    port = folder.address.rpartition(":")[2]
    assert "choose another" in folder.run("serve", "--port", port, "--data", "elsewhere", code=2).stderr
    refused = folder.run("serve", "--port", "0", code=1).stderr
    assert folder.address in refused
    (folder.path / ".bespeak" / "server.json").unlink()
    assert "token cannot be read" in folder.run("profile", "ada", code=1).stderr


def test_a_file_left_by_a_killed_server_stands_in_nobodys_way(folder: Any) -> None:
    server = folder.serve()
    server.kill()
    server.communicate(timeout=20)
    folder.server = None
    assert (folder.path / ".bespeak" / "server.json").exists()
    assert folder.json("keys", "list") == []
