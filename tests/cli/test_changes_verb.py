"""`bespeak changes --follow`: a line for each change as it comes, until somebody has enough."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bespeak.cli import changing, main
from bespeak.cli.client import Remote


class Server(Remote):
    """A server that answers these pages one after the other; then whoever asks has enough."""

    def __init__(self, *pages: dict[str, Any]) -> None:
        self.pages = list(pages)
        self.asked: list[dict[str, list[str]]] = []

    def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        assert (method, urlsplit(path).path, body) == ("GET", "/v1/changes", b"")
        self.asked.append(parse_qs(urlsplit(path).query))
        if not self.pages:
            raise KeyboardInterrupt
        return 200, json.dumps(self.pages.pop(0)).encode()


def page(number: int, *ids: str, more: bool = False, missed: bool = False) -> dict[str, Any]:
    return {"changes": [{"id": each} for each in ids], "next": str(number), "more": more, "missed": missed}


def run(monkeypatch: pytest.MonkeyPatch, server: Server, *words: str) -> int:
    @contextmanager
    def connected(_arguments: Namespace) -> Generator[Server]:
        yield server

    monkeypatch.setattr(changing, "connected", connected)
    return main(["changes", *words])


def test_following_goes_on_behind_the_last_change_and_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(page(7, "a", "b", more=True), page(9, "c"), page(9), page(12, "d"))
    assert run(monkeypatch, server, "--segment", "keen", "--follow") == 130
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["a", "b", "c", "d"]
    assert [one.get("after") for one in server.asked] == [None, ["7"], ["9"], ["9"], ["12"]]
    assert [one.get("wait") for one in server.asked] == [None, None, ["25"], ["25"], ["25"]]
    assert {one["segment"][0] for one in server.asked} == {"keen"}


def test_without_following_it_ends_with_the_last_page_and_with_a_limit_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(page(7, "a", "b", more=True), page(9, "c"))
    assert run(monkeypatch, server) == 0
    assert len(server.asked) == 2
    server = Server(page(7, "a", "b", more=True), page(9, "c", more=True))
    assert run(monkeypatch, server, "--limit", "3") == 0
    assert [one["limit"] for one in server.asked] == [["3"], ["1"]]
    assert capsys.readouterr().out.count("\n") == 6


def test_what_is_not_kept_any_more_is_said_beside_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, Server(page(9, "c", missed=True)), "--after", "3") == 0
    said = capsys.readouterr()
    assert "changes behind 3 are not kept any more" in said.err
    assert said.out == '{"id":"c"}\n'
