"""`bespeak segments unomi` writes definitions that `bespeak apply` takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bespeak.cli import main
from bespeak.segments import Segments, load

PAST = {
    "type": "pastEventCondition",
    "parameterValues": {
        "numberOfDays": 30,
        "minimumEventCount": 3,
        "eventCondition": {"type": "eventTypeCondition", "parameterValues": {"eventTypeId": "view"}},
    },
}
LIVES = {
    "type": "profilePropertyCondition",
    "parameterValues": {"propertyName": "properties.city", "comparisonOperator": "startsWith", "propertyValue": "Wi"},
}
BOTH = {"operator": "and", "subConditions": [PAST, LIVES]}
PAGE = {
    "list": [
        {"itemId": "x", "metadata": {"id": "Often Here!", "name": "Often here"}, "condition": PAST},
        {
            "itemId": "y",
            "metadata": {"id": "wi", "name": "Wi", "description": "Lives in Wi..."},
            "condition": {
                "type": "booleanCondition",
                "parameterValues": {"operator": "and", "subConditions": [PAST, LIVES]},
            },
        },
    ],
    "offset": 0,
    "totalSize": 2,
}


def test_a_page_of_segments_becomes_definitions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exported.json"
    file.write_text(json.dumps(PAGE))
    assert main(["segments", "unomi", str(file)]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert [one["id"] for one in found] == ["often-here", "wi"]
    assert found[0] == {
        "id": "often-here",
        "name": "Often here",
        "condition": 'count("Page Viewed", last 30 days) >= 3',
    }
    assert found[1]["description"] == "Lives in Wi..."
    assert len(Segments(load(one, source="test") for one in found)) == 2


def test_a_condition_alone_is_named_after_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "Lives in Wi.json"
    file.write_text(json.dumps(LIVES))
    assert main(["segments", "unomi", str(file), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["condition"]) == ("lives-in-wi", 'traits.city starts with "Wi"')


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "not JSON"),
        ("3", "expected a segment or a condition of Unomi"),
        ('{"metadata": {"id": "a"}, "condition": 7}', "segment 'a': condition must be an object, got 7"),
        ('{"metadata": {"id": "a"}, "condition": {"type": "goalMatchCondition"}}', "segment 'a'"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exported.json"
    file.write_text(text)
    assert main(["segments", "unomi", str(file)]) == 1
    assert said in capsys.readouterr().err
