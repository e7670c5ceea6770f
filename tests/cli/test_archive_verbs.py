"""`bespeak archive` by hand, alone and beside a server; and what `verify`, `backup` and `restore` say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.server

COUNT = "SELECT name, count(*) AS n FROM events GROUP BY name ORDER BY name"


def fill(project: Any, mark: str) -> None:
    """Bring ten events in, of days that are over."""
    (project.path / "map.yaml").write_text(
        "name: clicks\nsections:\n  - target: events\n    anonymous_id: visitor\n    event: {value: Product Viewed}\n"
        '    time: {column: at, format: "%Y-%m-%d"}\n    properties:\n      product_id: item\n      note: note\n'
    )
    lines = [f"{mark}-{place},2026-01-{place + 10},i{place},zauberstab-{mark}" for place in range(10)]
    (project.path / f"{mark}.csv").write_text("\n".join(["visitor,at,item,note", *lines, ""]))
    project.run("import", f"{mark}.csv", "--map", "map.yaml", "--json")


def test_the_log_is_written_listed_checked_asked_and_exported(project: Any, tmp_path: Path) -> None:
    fill(project, "first")
    done = project.json("archive", "run", "--everything")
    assert done["rows"] >= 10
    assert done["waiting"] == 0
    (listed,) = [one for one in project.json("archive", "list") if one["file"] in done["made"]]
    assert listed["rows"] == done["rows"]
    assert listed["file"] in project.run("archive").stdout
    fill(project, "second")
    answer = project.json("archive", "query", COUNT)
    assert answer["columns"] == ["name", "n"]
    assert answer["rows"][0][0] == "Product Viewed"
    assert answer["rows"][0][1] >= 20, "what is in no file yet is counted, too"
    assert "Product Viewed" in project.run("archive", "query", COUNT).stdout
    narrow = "SELECT count(*) FROM events WHERE anonymous_id LIKE 'first-%' AND time < TIMESTAMP '2026-01-12'"
    assert project.json("archive", "query", narrow, "--until", "2026-01-12")["rows"] == [[2]]
    target = tmp_path / "all.parquet"
    told = project.json("archive", "export", str(target))
    assert told["rows"] == answer["rows"][0][1]
    assert "is there already" in project.run("archive", "export", str(target), code=1).stderr
    project.run("archive", "export", str(target), "--force", "--since", "2026-01-15")
    assert project.json("archive", "verify")["bad"] == []
    assert "each as it was written" in project.run("verify").stdout


def test_a_question_that_is_none_is_refused_with_the_reason(project: Any) -> None:
    fill(project, "asked")
    assert "expected one SELECT" in project.run("archive", "query", "DROP VIEW events", code=1).stderr
    assert "nowhere" in project.run("archive", "query", "SELECT * FROM nowhere", code=1).stderr
    assert "/etc/passwd" in project.run("archive", "query", "SELECT * FROM '/etc/passwd'", code=1).stderr


def test_an_erased_person_is_in_no_answer(project: Any) -> None:
    fill(project, "gone")
    project.run("archive", "run", "--everything")
    receipt = project.json("erase", "gone-3", "--yes")
    assert "written anew" in receipt["stores"]["archive"]
    sql = "SELECT anonymous_id FROM events WHERE anonymous_id LIKE 'gone-%' ORDER BY 1"
    assert project.json("archive", "query", sql)["rows"] == [[f"gone-{place}"] for place in range(10) if place != 3]


def test_a_backup_has_the_archive_and_a_restored_store_answers_the_same(project: Any, tmp_path: Path) -> None:
    fill(project, "kept")
    project.run("archive", "run", "--everything")
    before = project.json("archive", "query", COUNT)["rows"]
    files = [one["file"] for one in project.json("archive", "list")]
    told = project.json("backup", str(tmp_path / "monday.db"))
    assert told["archive"] == {"files": len(files), "missing": 0}
    beside = tmp_path / "monday.db.archive"
    assert sorted(path.name for path in beside.iterdir()) == files
    (beside / files[0]).write_bytes(b"damaged")
    restored, key = tmp_path / "elsewhere", project.path / ".bespeak" / "master.key"
    words = ("restore", str(tmp_path / "monday.db"), "--data", str(restored), "--key", str(key))
    assert project.json(*words)["archive"] == {"files": len(files) - 1, "missing": 1}
    assert "DAMAGED" in project.run("archive", "verify", "--data", str(restored), code=1).stdout
    assert f"DAMAGED {files[0]}" in project.run("verify", "--data", str(restored), code=1).stdout
    assert len(project.json("archive", "run", "--everything", "--data", str(restored))["made"]) >= 1
    assert project.json("archive", "query", COUNT, "--data", str(restored))["rows"] == before
    assert project.json("archive", "verify", "--data", str(restored))["bad"] == []
    project.run("backup", str(tmp_path / "monday.db"), "--force")
    assert (beside / files[0]).read_bytes() != b"damaged"


def test_a_project_without_files_says_how_to_write_them(folder: Any) -> None:
    folder.run("init", "--json")
    assert "bespeak archive run" in folder.run("archive", "list").stdout
    assert folder.json("archive", "verify") == {"files": 0, "bad": []}
    assert "archive" not in folder.run("verify").stdout
