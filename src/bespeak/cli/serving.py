"""`bespeak serve` and `bespeak demo`."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from pathlib import Path

import msgspec

from bespeak.cli.client import settings_of
from bespeak.cli.output import print_json
from bespeak.engine import Engine
from bespeak.errors import SettingsError
from bespeak.server.logs import log_to
from bespeak.settings import Settings

DEMO_DATA = ".bespeak/demo"
"""Where the demo keeps its town, under the folder it is started in."""


def serve(arguments: Namespace) -> int:
    """Run the server until it is told to stop."""
    from bespeak.server import serve as serve_settings

    settings = _listening(settings_of(arguments), arguments)
    log_to(form=settings.server.log_format)

    async def started(_engine: Engine, address: str) -> None:
        if arguments.json:
            print_json({"address": address, "data_dir": settings.data_dir})
        else:
            print(f"bespeak answers at {address} (API: {address}/docs); Ctrl-C stops it", flush=True)

    serve_settings(settings, started=started)
    return 0


def demo(arguments: Namespace) -> int:
    """Run the shop, the people who come to it and the live view; `--once` proves them and leaves."""
    from bespeak.demo import SEED, run

    log_to()
    return asyncio.run(
        run(
            data_dir=Path(arguments.data or DEMO_DATA),
            out=sys.stdout,
            port=arguments.port,
            once=arguments.once,
            seed=SEED if arguments.seed is None else arguments.seed,
        )
    )


def _listening(settings: Settings, arguments: Namespace) -> Settings:
    if arguments.workers != 1:
        raise SettingsError(
            f"--workers {arguments.workers}: expected 1. One process owns a store: one sequencer gives the log its"
            " order, and a second process would fold another. Where one process is not enough, give each brand or"
            " country a store and a server of its own"
        )
    server = settings.server
    if arguments.host is not None:
        server = msgspec.structs.replace(server, host=arguments.host)
    if arguments.port is not None:
        server = msgspec.structs.replace(server, port=arguments.port)
    return msgspec.structs.replace(settings, server=server)
