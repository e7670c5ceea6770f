"""A preview asked of the running server, which holds events in memory for it, and waited for while it takes them in."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from bespeak.cli.client import Client, refusal, running
from bespeak.cli.progress import Bar
from bespeak.conditions import Condition, to_json
from bespeak.settings import Settings

PATH = "/v1/segments/preview"
PAUSE_SECONDS = 0.3
"""How long is waited before it is asked again, while events are taken in."""

TRIES = 5
"""How often it is asked again when what was held was let go of meanwhile."""


class _Told(msgspec.Struct):
    """What an answer says beside a preview: how far it is, or what is wrong."""

    done: int = 0
    total: int = 0
    code: str = ""
    message: str = ""


def asked_of_server(settings: Settings, condition: Condition, *, at: str | None, sample: int) -> dict[str, Any] | None:
    """Return a preview as the running server answers it; None where nobody runs, or it holds no events.

    Raises
    ------
    Refused
        The server said no; the message is its own.
    StoreLocked
        It does not answer.
    """
    remote = running(Path(settings.data_dir))
    if remote is None:
        return None
    tried = {"condition": msgspec.Raw(to_json(condition)), "at": at, "sample": sample}
    with closing(remote):
        return waited_for(remote, msgspec.json.encode(tried), Bar())


def waited_for(client: Client, body: bytes, bar: Bar) -> dict[str, Any] | None:
    """Ask until events are taken in, and return the preview; None where they cannot be. Raises `Refused`."""
    tries_left = TRIES
    while True:
        status, answer = client.send("POST", PATH, body)
        if status == 200:
            bar.finish()
            found: dict[str, Any] = msgspec.json.decode(answer)
            return found
        told = _told(answer)
        if told.code == "not_warm":
            bar.finish()
            print(f"{told.message}\nreading the files instead", file=sys.stderr)
            return None
        if status == 503 and tries_left:
            tries_left -= 1
        elif status != 202:
            raise refusal(status, answer)
        bar.update("taking in", told.done, told.total, "events")
        time.sleep(PAUSE_SECONDS)


def _told(answer: bytes) -> _Told:
    try:
        return msgspec.json.decode(answer, type=_Told)
    except msgspec.MsgspecError:
        return _Told()
