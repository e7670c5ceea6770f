"""Every verb of the command line, beside a running server and without one: a new verb without a case here fails."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from bespeak import demo
from bespeak.cli.words import GROUPS, Group, every_verb
from bespeak.testing import bench

pytestmark = pytest.mark.server

MAP = """
name: clicks
sections:
  - target: events
    anonymous_id: visitor
    event: {value: Product Viewed}
    time: {column: at, format: "%Y-%m-%d"}
"""

Case: TypeAlias = Callable[[Any, Path], None]


def visited(project: Any, visitor: str) -> dict[str, Any]:
    folder = project.path / visitor
    folder.mkdir()
    (folder / "map.yaml").write_text(MAP)
    (folder / "clicks.csv").write_text(f"visitor,at\n{visitor},2026-03-01\n")
    found: dict[str, Any] = project.json("import", f"{visitor}/clicks.csv", "--map", f"{visitor}/map.yaml")
    return found


def key(project: Any) -> dict[str, Any]:
    found: dict[str, Any] = project.json("keys", "create", "--kind", "write", "--name", uuid.uuid4().hex)
    return found


def listed(project: Any, key_id: str) -> dict[str, Any]:
    return {one["id"]: one for one in project.json("keys", "list")}[key_id]


def init(project: Any, place: Path) -> None:
    assert {one["kind"] for one in project.json("init", str(place / "another"))["keys"]} == {"write", "secret"}


def serve(project: Any, _place: Path) -> None:
    if project.server is not None:
        assert project.address in project.run("serve", "--port", "0", code=1).stderr, "one process owns a store"
        return
    project.serve()
    assert project.json("keys", "list")
    assert project.stop() == (0, "")


def run_demo(project: Any, place: Path) -> None:
    if project.server is not None:
        refused = project.run("demo", "--once", "--data", str(project.path / ".bespeak"), code=1)
        assert "in use" in refused.stderr
    small = functools.partial(demo.run, size=(30, 30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "run", small)
        patch.setattr("bespeak.cli.serving.log_to", lambda **_: None)
        assert "ok  " in project.run("demo", "--once", "--data", str(place / "town")).stdout


def apply(project: Any, _place: Path) -> None:
    assert {one["change"] for one in project.json("apply", ".")} == {"unchanged"}


def imports(project: Any, _place: Path) -> None:
    assert visited(project, uuid.uuid4().hex)["accepted"] == 1


def profile(project: Any, _place: Path) -> None:
    visitor = uuid.uuid4().hex
    visited(project, visitor)
    assert project.json("profile", visitor)["counts"] == {"Product Viewed": 1}


def erase(project: Any, _place: Path) -> None:
    visitor = uuid.uuid4().hex
    visited(project, visitor)
    assert project.json("erase", visitor, "--yes")["keys"] == 1
    assert "no profile" in project.run("profile", visitor, code=1).stderr


def recommend(project: Any, _place: Path) -> None:
    assert project.json("recommend", "nobody", "-n", "2")["reason"]


def decide(project: Any, _place: Path) -> None:
    body = {"userId": uuid.uuid4().hex, "slots": [{"id": "hero"}]}
    assert project.json("decide", stdin=json.dumps(body))["slots"]["hero"]["content"]["html"]


def verify(project: Any, _place: Path) -> None:
    assert project.json("verify")["sound"] is True
    repaired = project.run("verify", "--repair", code=0 if project.server is None else 1)
    assert project.server is None or "in use" in repaired.stderr


def replay(project: Any, _place: Path) -> None:
    visited(project, uuid.uuid4().hex)
    assert project.json("replay")["equal"] is True


def backup(project: Any, place: Path) -> None:
    assert project.json("backup", str(place / "monday.db"))["bad"] == []


def restore(project: Any, place: Path) -> None:
    source, master = str(place / "monday.db"), str(project.path / ".bespeak" / "master.key")
    project.run("backup", source)
    restored = project.json("restore", source, "--data", str(place / "restored"), "--key", master)
    assert restored["lacks_key"] is False
    if project.server is not None:
        assert "in use" in project.run("restore", source, "--force", code=1).stderr


def evaluate(project: Any, _place: Path) -> None:
    assert project.json("evaluate", "--people", "30", "--items", "40")["decisions"]["people"] > 0


def benchmark(project: Any, _place: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "EVENTS", 400)
        (told,) = project.json("bench", "fold")
    assert told["name"] == "fold"


def keys_create(project: Any, _place: Path) -> None:
    made = project.json(
        "keys", "create", "--kind", "secret", "--name", uuid.uuid4().hex, "--scope", "profiles:read",
        "--scope", "decide,definitions:read", "--expires", "90d",
    )  # fmt: skip
    assert made["scopes"] == ["decide", "profiles:read", "definitions:read"]
    assert listed(project, made["id"])["expires"] == made["expires"]
    said = project.run("keys", "create", "--kind", "write", "--name", uuid.uuid4().hex, "--scope", "events").stdout
    assert "may             events" in said
    refused = project.run("keys", "create", "--kind", "write", "--name", "x", "--scope", "everything", code=1).stderr
    assert "expected one or more of events, decide for a write key, got 'everything'" in refused


def keys_list(project: Any, _place: Path) -> None:
    made = key(project)
    lines = project.run("keys", "list").stdout.splitlines()
    assert lines[0].split() == ["id", "kind", "name", "may", "made", "last", "used", "state"]
    (line,) = [line for line in lines if line.startswith(made["id"])]
    assert line.split()[1:2] + line.split()[3:4] + line.split()[-2:] == ["write", "events,decide", "-", "works"]


def keys_rotate(project: Any, _place: Path) -> None:
    made = key(project)
    turned = project.json("keys", "rotate", made["id"], "--overlap", "2h")
    assert turned["token"] not in (made["token"], None)
    assert len(listed(project, made["id"])["former"]) == 1
    rows = [line for line in project.run("keys", "list").stdout.splitlines() if line.startswith(made["id"])]
    assert len(rows) == 2
    assert "replaced, works until" in rows[1]
    assert "works until" in project.run("keys", "rotate", made["id"]).stdout
    assert "works no more" in project.run("keys", "rotate", made["id"], "--overlap", "none").stdout
    assert "key_none" in project.run("keys", "rotate", "key_none", code=1).stderr


def keys_revoke(project: Any, _place: Path) -> None:
    made = key(project)
    assert "warning" not in project.run("keys", "revoke", made["id"]).stderr
    assert listed(project, made["id"])["revoked"]
    folder = project.path / uuid.uuid4().hex
    secret = next(one for one in project.json("init", str(folder))["keys"] if one["kind"] == "secret")
    warned = project.run("keys", "revoke", secret["id"], "--config", str(folder / "bespeak.toml"))
    assert "last secret key" in warned.stderr


def keys_rotate_master(project: Any, _place: Path) -> None:
    first, second = (project.json("keys", "rotate-master")["version"] for _ in range(2))
    assert second == first + 1


def segments_list(project: Any, _place: Path) -> None:
    assert {one["id"] for one in project.json("segments", "list")} >= {"interested", "customers"}


def segments_explain(project: Any, _place: Path) -> None:
    visitor = uuid.uuid4().hex
    visited(project, visitor)
    assert project.json("segments", "explain", "interested", visitor)["member"] is False


def segments_preview(project: Any, place: Path) -> None:
    visitor = uuid.uuid4().hex
    visited(project, visitor)
    found = project.json("segments", "preview", 'performed("Product Viewed")')["found"]
    assert 1 <= found["members"]["size"] <= found["people"]
    assert set(found["others"]) >= {"interested", "customers"}
    cold = project.json("segments", "preview", 'performed("Product Viewed")', "--cold")["found"]
    assert cold["members"] == found["members"]
    named = project.json("segments", "preview", "interested")["found"]
    assert named["members"]["size"] == named["others"]["interested"]["both"] == named["others"]["interested"]["size"]
    (place / "tried.yaml").write_text("id: tried\ncondition: 'false'\n")
    assert project.json("segments", "preview", str(place / "tried.yaml"))["found"]["members"]["size"] == 0
    scored(project, place)
    (place / "keen.yaml").write_text("id: keen-on-it\ncondition: scores.lead > 0\n")
    found = project.json("segments", "preview", str(place / "keen.yaml"), "--at", "2026-03-08")["found"]
    assert found["members"]["size"] >= 1
    assert "there is no score 'leed'" in project.run("segments", "preview", "scores.leed > 1", code=1).stderr
    for wrong in ("0", "1001"):
        refused = project.run("segments", "preview", "true", "-n", wrong, code=1)
        assert "-n: expected 1 to 1,000 people to name, got" in refused.stderr


def segments_diff(project: Any, place: Path) -> None:
    visited(project, uuid.uuid4().hex)
    found = project.json("segments", "diff", "interested", "true")
    assert (found["leave"]["size"], found["new"]) == (0, found["people"])
    assert found["enter"]["size"] == found["people"] - found["old"]
    graded(project, place)
    found = project.json("segments", "diff", "computed.idle < 0", "computed.idle > 1")
    assert found["old"] == 0
    assert 1 <= found["enter"]["size"] == found["new"] <= found["people"]
    assert "is no segment" in project.run("segments", "diff", "interested", "no such thing", code=1).stderr
    refused = project.run("segments", "diff", "interested", "true", "-n", "-1", code=1)
    assert "-n: expected 1 to 1,000 people to name, got -1" in refused.stderr


def segments_complete(project: Any, _place: Path) -> None:
    visited(project, uuid.uuid4().hex)
    found = project.json("segments", "complete", 'performed("Product V')
    assert {"text": '"Product Viewed"', "kind": "event"} in found["options"]


def segments_unomi(project: Any, place: Path) -> None:
    file = place / "exported.json"
    file.write_text('{"metadata": {"id": "Vip"}, "condition": {"type": "matchAllCondition", "parameterValues": {}}}')
    (found,) = project.json("segments", "unomi", str(file))
    assert (found["id"], found["condition"]) == ("vip", "true")


def segments_count(project: Any, _place: Path) -> None:
    assert project.json("segments", "count", "interested")["count"] >= 0


def changes(project: Any, place: Path) -> None:
    (place / "segments").mkdir()
    (place / "segments" / "seen.yaml").write_text(f"id: seen\ncondition: {VIEWS} >= 1\n")
    assert {one["kind"] for one in project.json("apply", str(place))} == {"segments"}
    visitor = uuid.uuid4().hex
    visited(project, visitor)
    found = [json.loads(line) for line in project.run("changes", "--profile", visitor).stdout.splitlines()]
    assert [(one["profile"], one["segment"], one["entered"]) for one in found] == [(f"a:{visitor}", "seen", True)]
    everything = project.run("changes", "--segment", "seen").stdout.splitlines()
    assert json.loads(everything[-1]) == found[0]
    assert project.run("changes", "--segment", "seen", "--limit", "1").stdout.splitlines() == everything[:1]
    assert project.run("changes", "--after", found[0]["cursor"]).stdout == ""
    assert "the `next` of a page" in project.run("changes", "--after", "x", code=1).stderr
    if project.server is None:
        assert "no server runs" in project.run("changes", "--follow", code=1).stderr


def people_in(place: Path, *people: str) -> str:
    file = place / "ids.txt"
    file.write_text("\n".join(["", *people]))
    return str(file)


def lists_add(project: Any, place: Path) -> None:
    people = [uuid.uuid4().hex for _ in range(3)]
    name = people[0]
    assert project.json("lists", "add", name, people_in(place, *people))["changed"] == 3
    assert project.json("lists", "add", name, people_in(place, *people), "--devices")["changed"] == 3
    found = json.loads(project.run("lists", "add", name, people_in(place, people[1], "null"), "--json", code=1).stdout)
    assert (found["unchanged"], found["errors"]) == (1, [{"id": "null", "reason": "it names nobody", "line": 3}])
    assert (
        "line 3: 'null': it names nobody"
        in project.run("lists", "add", name, people_in(place, "a", "null"), code=1).stdout
    )
    assert "no such file" in project.run("lists", "add", name, str(place / "none.txt"), code=1).stderr


def lists_remove(project: Any, place: Path) -> None:
    name = uuid.uuid4().hex
    project.json("lists", "add", name, people_in(place, name, "somebody"))
    assert project.json("lists", "remove", name, people_in(place, name))["changed"] == 1
    assert project.json("lists", "show", name)["members"] == 1
    unknown = project.run("lists", "remove", name, people_in(place, uuid.uuid4().hex), code=1)
    assert "nobody is known by it" in unknown.stdout


def lists_show(project: Any, place: Path) -> None:
    name = uuid.uuid4().hex
    project.json("lists", "add", name, people_in(place, "ada", "bob"))
    assert {"list": name, "members": 2} in project.json("lists", "show")
    assert [one["id"] for one in project.json("lists", "show", name, "--limit", "1")["newest"]] == ["u:bob"]
    assert project.run("lists", "show", name).stdout.startswith(f"2 on {name}")


VIEWS = 'count("Product Viewed")'
SCORE = {"elements": [{"event": "Product Viewed", "points": 2}], "halflife": "7 days", "bands": {"keen": 1}}


def scored(project: Any, place: Path) -> None:
    (place / "scores").mkdir()
    (place / "scores" / "lead.yaml").write_text(json.dumps({"id": "lead", **SCORE}))
    assert {one["kind"] for one in project.json("apply", str(place))} == {"scores"}


def traits_list(project: Any, place: Path) -> None:
    graded(project, place)
    assert [one["id"] for one in project.json("traits", "list")] == ["idle", "rfm"]
    listed = project.run("traits", "list").stdout
    assert "days_since: Product Viewed" in listed


def traits_borders(project: Any, place: Path) -> None:
    graded(project, place)
    visited(project, uuid.uuid4().hex)
    found = project.json("traits", "borders", "rfm")
    assert found["people"] >= 1
    assert found["borders"]["frequency"][0] == 1.0
    shown = project.run("traits", "borders", "rfm").stdout
    assert "20 %" in shown
    assert f"of {found['people']} people, exact, version " in shown
    assert f", of {found['people']}" in project.run("traits", "list").stdout
    assert "there is no computed trait 'idle' with rfm" in project.run("traits", "borders", "idle", code=1).stderr


def graded(project: Any, place: Path) -> None:
    (place / "traits").mkdir()
    figures = {"recency": "computed.idle", "frequency": VIEWS, "monetary": VIEWS, "every": "never"}
    written = [{"id": "idle", "days_since": {"last": "Product Viewed"}}, {"id": "rfm", "rfm": figures}]
    (place / "traits" / "rfm.yaml").write_text(json.dumps(written))
    assert {one["kind"] for one in project.json("apply", str(place))} == {"traits"}


def scores_list(project: Any, place: Path) -> None:
    scored(project, place)
    assert [(one["id"], one["body"]["bands"]) for one in project.json("scores", "list")] == [("lead", {"keen": 1})]
    assert "keen 1" in project.run("scores", "list").stdout


def scores_explain(project: Any, place: Path) -> None:
    scored(project, place)
    visitor = uuid.uuid4().hex
    visited(project, visitor)
    found = project.json("scores", "explain", "lead", visitor, "--at", "2026-03-08")
    assert (found["value"], found["band"], found["next_band"]) == (1.0, "keen", None)
    assert [part["worth"] for part in found["contributions"]] == [1.0]
    told = project.run("scores", "explain", "lead", visitor, "--at", "2026-03-08").stdout
    assert "lead is 1, keen; in no band from 2026-03-08T00:00:0" in told
    assert "there is no score 'led'; there are: lead" in project.run("scores", "explain", "led", visitor, code=1).stderr


def archive_run(project: Any, _place: Path) -> None:
    visited(project, uuid.uuid4().hex)
    assert project.json("archive", "run", "--everything")["rows"] >= 1
    assert project.json("archive", "run", "--everything")["rows"] == 0


def archive_list(project: Any, place: Path) -> None:
    archive_run(project, place)
    assert project.json("archive", "list")[-1]["rows"] >= 1


def archive_verify(project: Any, place: Path) -> None:
    archive_run(project, place)
    assert project.json("archive", "verify")["bad"] == []


def archive_query(project: Any, place: Path) -> None:
    archive_run(project, place)
    visitor = uuid.uuid4().hex
    visited(project, visitor)
    asked = project.json("archive", "query", f"SELECT count(*) AS n FROM events WHERE anonymous_id = '{visitor}'")
    assert asked["rows"] == [[1]], "not archived yet, and there all the same"


def archive_export(project: Any, place: Path) -> None:
    visited(project, uuid.uuid4().hex)
    project.run("archive", "export", str(place / "all.parquet"))
    assert (place / "all.parquet").read_bytes()[:4] == b"PAR1"


def models_status(project: Any, _place: Path) -> None:
    assert project.json("models", "status")["rebuilding"] is False


def models_rebuild(project: Any, _place: Path) -> None:
    visited(project, uuid.uuid4().hex)
    assert project.json("models", "rebuild")["failed"] == ""


CASES: dict[str, Case] = {
    "changes": changes,
    "lists add": lists_add,
    "lists remove": lists_remove,
    "lists show": lists_show,
    "archive run": archive_run,
    "archive list": archive_list,
    "archive verify": archive_verify,
    "archive query": archive_query,
    "archive export": archive_export,
    "models status": models_status,
    "models rebuild": models_rebuild,
    "init": init,
    "serve": serve,
    "demo": run_demo,
    "apply": apply,
    "import": imports,
    "profile": profile,
    "erase": erase,
    "recommend": recommend,
    "decide": decide,
    "verify": verify,
    "replay": replay,
    "backup": backup,
    "restore": restore,
    "evaluate": evaluate,
    "bench": benchmark,
    "keys create": keys_create,
    "keys list": keys_list,
    "keys rotate": keys_rotate,
    "keys revoke": keys_revoke,
    "keys rotate-master": keys_rotate_master,
    "segments list": segments_list,
    "segments explain": segments_explain,
    "segments count": segments_count,
    "segments preview": segments_preview,
    "segments diff": segments_diff,
    "segments complete": segments_complete,
    "segments unomi": segments_unomi,
    "traits list": traits_list,
    "traits borders": traits_borders,
    "scores list": scores_list,
    "scores explain": scores_explain,
}


@pytest.mark.parametrize("verb", every_verb())
def test_a_verb_does_its_work_with_and_without_a_server(project: Any, tmp_path: Path, verb: str) -> None:
    assert verb in CASES, "say here how it is tried, beside a running server and without one"
    CASES[verb](project, tmp_path)


@pytest.mark.parametrize("group", [group for group in GROUPS if group.run], ids=lambda group: group.name)
def test_the_name_of_a_group_alone_does_what_one_of_its_verbs_does(project: Any, group: Group) -> None:
    (verb,) = [verb.name for verb in group.verbs if verb.run == group.run]
    assert project.json(group.name) == project.json(group.name, verb)


def test_no_case_is_of_a_verb_that_is_gone() -> None:
    assert set(CASES) == set(every_verb())
