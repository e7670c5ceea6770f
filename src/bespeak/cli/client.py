"""One way to ask: the running server over HTTP when there is one, else the same application in this process."""

from __future__ import annotations

import asyncio
import http.client
import os
import secrets
from argparse import Namespace
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec

from bespeak.errors import CallerError, Problem, StoreLocked
from bespeak.server.local import LocalServer, read_local
from bespeak.server.tls import local_context
from bespeak.settings import Settings, load_settings
from bespeak.stores import read_owner

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

    from bespeak.engine import Engine

CONFIG = "bespeak.toml"
_SECONDS = 600.0
"""How long one answer may take: counting a segment over all history is slow work."""


class Refused(CallerError):
    """The server, or the application in this process, said no; the message is its own."""


class _Complaint(msgspec.Struct):
    code: str = ""
    message: str = ""
    errors: tuple[Problem, ...] = ()


class Client(Protocol):
    """Asks with the authority of the data directory's owner."""

    def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return status and body of one answer."""
        ...


def ask(client: Client, method: str, path: str, body: object = None, /, **query: object) -> Any:  # noqa: ANN401  JSON has no better type
    """Return the JSON that is answered; a body that is not bytes is sent as JSON, a None in the query is left out.

    Raises
    ------
    Refused
        The answer is an error; its message is passed on.
    """
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    raw = body if isinstance(body, bytes) else (b"" if body is None else msgspec.json.encode(body))
    status, answer = client.send(method, f"{path}?{asked}" if asked else path, raw)
    if status >= 400:
        raise refusal(status, answer)
    return msgspec.json.decode(answer)


def path_part(text: str) -> str:
    """Quote an id for a path."""
    return quote(text, safe="")


def settings_of(arguments: Namespace) -> Settings:
    """Read the settings as the command line says: `--config`, else `bespeak.toml` here; `--data` wins over both."""
    stated: str | None = arguments.config
    path = Path(stated) if stated else Path(CONFIG)
    settings = load_settings(path if stated or path.is_file() else None, os.environ)
    data: str | None = arguments.data
    return msgspec.structs.replace(settings, data_dir=data) if data else settings


@contextmanager
def connected(arguments: Namespace) -> Generator[Client]:
    """Give a client of the running server, or of the store itself.

    Raises
    ------
    StoreLocked
        The store is in use by a process that does not answer.
    """
    settings = settings_of(arguments)
    remote = running(Path(settings.data_dir))
    if remote is not None:
        with closing(remote):
            yield remote
        return
    with embedded(settings) as client:
        yield client


def running(directory: Path) -> Remote | None:
    """Return a client of the server that owns a data directory; None when nobody does.

    Raises
    ------
    StoreLocked
        The owner does not answer, or will not have us.
    """
    address = read_owner(directory)
    if address is None:
        return None
    local = read_local(directory)
    if local is None or local.address != address:
        raise StoreLocked(
            f"{directory} is in use by a server at {address}, and its token cannot be read;"
            " run this as the user who runs the server, or use its HTTP API with a secret key",
            address=address,
        )
    return Remote(local)


@contextmanager
def embedded(settings: Settings) -> Generator[Embedded]:
    """Open the store, give a client of the application in this process, and write everything back afterwards."""
    from bespeak.engine import Engine

    archive = msgspec.structs.replace(settings.archive, apart=False)  # nobody else is answered here meanwhile
    engine = Engine.open(msgspec.structs.replace(settings, archive=archive))
    with asyncio.Runner() as runner:
        try:
            runner.run(engine.start())
            yield Embedded(engine, runner)
        finally:
            runner.run(engine.close())


class Remote:
    """Asks the running server."""

    def __init__(self, local: LocalServer) -> None:
        self._local = local
        place = urlsplit(local.address)
        host = place.hostname or "127.0.0.1"
        if local.certificate is None:
            self._connection = http.client.HTTPConnection(host, place.port, timeout=_SECONDS)
        else:
            context = local_context(local.certificate)
            self._connection = http.client.HTTPSConnection(host, place.port, timeout=_SECONDS, context=context)

    def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return status and body of one answer."""
        headers = {"X-Bespeak-Local": self._local.token, "Content-Type": "application/json"}
        try:
            self._connection.request(method, path, body=body or None, headers=headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            reason = str(error) or type(error).__name__
            raise Refused(f"the server at {self._local.address} does not answer: {reason}") from None

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class Embedded:
    """Asks the application in this process, over an engine that this process owns."""

    def __init__(self, engine: Engine, runner: asyncio.Runner) -> None:
        from bespeak.server import create_app

        self.engine = engine
        self.runner = runner
        self._token = secrets.token_urlsafe(16)
        self._app = create_app(engine, local_token=self._token)

    def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Return status and body of one answer."""
        headers = [(b"host", b"localhost"), (b"x-bespeak-local", self._token.encode())]
        return self.runner.run(_call(self._app, method, path, body, headers))


async def _call(
    app: ASGIApp, method: str, target: str, body: bytes, headers: list[tuple[bytes, bytes]]
) -> tuple[int, bytes]:
    path, _, query = target.partition("?")
    status, parts = 500, list[bytes]()
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": None,
        "server": None,
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, b"".join(parts)


def refusal(status: int, answer: bytes) -> Refused:
    """Return what an answer that is an error says, as an error."""
    try:
        complaint = msgspec.json.decode(answer, type=_Complaint)
    except msgspec.DecodeError:
        complaint = _Complaint()
    message = complaint.message or f"the answer was {status}"
    return Refused(message, problems=complaint.errors)
