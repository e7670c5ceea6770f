"""Serving: a socket that says clearly when it cannot listen, uvicorn on it, and a stop that loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import cast

import uvicorn
from starlette.routing import BaseRoute

from bespeak.engine import Engine
from bespeak.errors import SettingsError
from bespeak.server.app import create_app
from bespeak.server.collecting import keep_aside, put_aside
from bespeak.server.health import Draining
from bespeak.server.local import announce, withdraw
from bespeak.server.opening import Opening
from bespeak.server.protocol import bounded_protocol
from bespeak.server.tls import server_context
from bespeak.settings import ServerSettings, Settings

Started = Callable[[Engine, str], Awaitable[None]]
"""Called with the engine and the address once the server answers."""
Routes = Callable[[Engine, Draining], Sequence[BaseRoute]]
"""Makes further routes for an engine; a stream among them ends when draining has begun."""

_PORTS_TRIED = 20


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves signals to us: by itself it would raise them again before the engine is closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(settings: ServerSettings, *, or_next: bool = False) -> socket.socket:
    """Return a socket that listens at the settings' address.

    Parameters
    ----------
    or_next
        When the port is taken, try the next ones.

    Raises
    ------
    SettingsError
        The port is taken or forbidden, or the host is not an address of this machine; the message names the remedy.
    """
    ports = (
        range(settings.port, min(settings.port + _PORTS_TRIED, 65_536))
        if or_next and settings.port
        else [settings.port]
    )
    failure: OSError | None = None
    for port in ports:
        try:
            return _bind(settings.host, port)
        except OSError as error:
            failure = error
            if error.errno != errno.EADDRINUSE:
                break
    assert failure is not None  # noqa: S101  at least one port was tried
    raise _cannot_listen(settings, failure) from None


def address_of(listening: socket.socket, *, tls: bool = False) -> str:
    """Return `http://host:port` of a listening socket, or `https`; the loopback address where it listens on all."""
    scheme = "https" if tls else "http"
    host, port = cast("tuple[str, int]", listening.getsockname()[:2])
    shown = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host  # noqa: S104  read here, not bound
    return f"{scheme}://[{shown}]:{port}" if ":" in shown else f"{scheme}://{shown}:{port}"


def serve(
    settings: Settings,
    *,
    started: Started | None = None,
    routes: Routes | None = None,
    or_next: bool = False,
) -> None:
    """Open the engine and serve it until SIGTERM or SIGINT, then drain and close. Blocks.

    Parameters
    ----------
    started
        Awaited once the server answers; what it still runs in the background it ends itself.
    routes
        Further routes.
    or_next
        Take the next free port when the one of the settings is taken.

    Raises
    ------
    SettingsError
        The server cannot listen there, or its certificate cannot be used.
    StoreLocked
        Another process owns the data directory.
    """
    tls = server_context(settings.server)
    with listen(settings.server, or_next=or_next) as listening:
        with Opening(listening, tls):
            engine = Engine.open(settings, address=address_of(listening, tls=tls is not None))
        config = uvicorn.Config(app=_nothing, log_config=None)
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(serve_engine(engine, listening, started=started, routes=routes))


async def serve_engine(
    engine: Engine,
    listening: socket.socket,
    *,
    started: Started | None = None,
    routes: Routes | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Start an open engine, serve it on a socket until SIGTERM, SIGINT or `stop`, then drain and close it."""
    draining = Draining()
    stopping = stop or asyncio.Event()
    directory = Path(engine.settings.data_dir)
    certificate = engine.settings.server.tls_certificate
    await engine.start()
    local = announce(directory, address_of(listening, tls=certificate is not None), certificate=certificate)
    try:
        further = routes(engine, draining) if routes is not None else ()
        app = create_app(engine, routes=further, local_token=local.token, draining=draining)
        server = _Uvicorn(_config(app, engine.settings.server))
        with _signals(stopping):
            await _run(server, listening, stopping, draining, lambda: _begin(engine, local.address, started), engine)
    finally:
        withdraw(directory, local)
        await engine.close()


async def _run(
    server: _Uvicorn,
    listening: socket.socket,
    stopping: asyncio.Event,
    draining: Draining,
    begin: Callable[[], Awaitable[None]],
    engine: Engine,
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    waiting = asyncio.create_task(stopping.wait())
    collecting = asyncio.create_task(keep_aside())
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110  uvicorn offers no event for it
            await asyncio.sleep(0.01)
        if not serving.done():
            await begin()
        await asyncio.wait((serving, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        draining.begun = True
        engine.ask_nobody_more()  # who waits for it would hold the others up
        server.should_exit = True
        waiting.cancel()
        collecting.cancel()
        await serving


async def _begin(engine: Engine, address: str, started: Started | None) -> None:
    put_aside(everything=True)
    if started is not None:
        await started(engine, address)


def _config(app: object, settings: ServerSettings) -> uvicorn.Config:
    context = server_context(settings)
    config = uvicorn.Config(
        app=app,  # type: ignore[arg-type]
        http=bounded_protocol(settings.header_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
    )
    config.load()
    config.ssl = context  # uvicorn would make one of its own from the files, with other bounds
    return config


@contextlib.contextmanager
def _signals(stopping: asyncio.Event) -> Generator[None]:
    """Let SIGTERM and SIGINT set the event, where this thread may say so."""
    loop = asyncio.get_running_loop()
    taken: list[signal.Signals] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stopping.set)
        except (ValueError, RuntimeError, NotImplementedError):  # not the main thread: whoever started us has `stop`
            break
        taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(2048)
        listening.setblocking(False)  # noqa: FBT003  the standard library's own signature
    except OSError:
        listening.close()
        raise
    return listening


def _cannot_listen(settings: ServerSettings, error: OSError) -> SettingsError:
    place = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return SettingsError(
            f"server.port: {place} is in use by another program; stop it, or choose another by --port or [server] port"
        )
    if error.errno == errno.EACCES:
        return SettingsError(f"server.port: this user may not listen at {place}; choose a port of 1024 or more")
    return SettingsError(
        f"server.host: cannot listen at {place} ({error.strerror}); expected an address of this machine"
    )


async def _nothing(*_: object) -> None:
    """Stand where uvicorn wants an application while only its choice of event loop is asked for."""
