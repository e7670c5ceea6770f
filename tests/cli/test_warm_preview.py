"""A preview asked of a server: waited for while events are taken in, asked again when they were let go of, and read
from the files where there are none."""

from __future__ import annotations

import io
import json

import pytest

from bespeak.cli import warm_preview
from bespeak.cli.client import Refused
from bespeak.cli.progress import Bar
from bespeak.cli.warm_preview import TRIES, waited_for

FOUND = {"at": "2026-01-01T00:00:00Z", "offset": 7}
TAKING = (202, {"state": "warming", "done": 3, "total": 10})
LET_GO = (503, {"code": "unavailable", "message": "not now; please try again"})


class Scripted:
    """Answers what it was given, one after the other."""

    def __init__(self, *answers: tuple[int, object]) -> None:
        self.left = list(answers)

    def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        assert (method, path, body) == ("POST", "/v1/segments/preview", b"asked")
        status, answer = self.left.pop(0)
        return status, json.dumps(answer).encode()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_preview, "PAUSE_SECONDS", 0)


def asked(*answers: tuple[int, object]) -> object:
    client = Scripted(*answers)
    found = waited_for(client, b"asked", Bar(io.StringIO()))
    assert not client.left
    return found


def test_it_is_asked_until_the_events_are_there() -> None:
    assert asked(TAKING, TAKING, LET_GO, TAKING, (200, FOUND)) == FOUND


def test_where_events_are_not_held_nothing_is_answered_and_why_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(TAKING, (409, {"code": "not_warm", "message": "archive.preview_mib is 0"})) is None
    assert capsys.readouterr().err == "archive.preview_mib is 0\nreading the files instead\n"


@pytest.mark.parametrize(
    "answers, words",
    [
        ([(400, {"code": "invalid_input", "message": "no archive"})], "no archive"),
        ([LET_GO] * (TRIES + 1), "not now"),
        ([(409, {"code": "conflict", "message": "something else"})], "something else"),
        ([(500, "what is no object")], "the answer was 500"),
    ],
)
def test_any_other_answer_is_an_error_in_its_own_words(answers: list[tuple[int, object]], words: str) -> None:
    with pytest.raises(Refused, match=words):
        asked(*answers)
