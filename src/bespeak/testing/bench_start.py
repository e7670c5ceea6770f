"""How long a server takes to be ready, and what it holds then, with very many profiles on disk."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import msgspec

from bespeak.clock import DAY, HOUR, NEVER
from bespeak.conditions.asking.flips import Flips
from bespeak.engine import Definition, Engine
from bespeak.engine.aliases import seal_alias
from bespeak.engine.encoded import encode_profile
from bespeak.engine.packing import pack
from bespeak.engine.vault import PROFILE
from bespeak.errors import Unavailable
from bespeak.profiles import Profile
from bespeak.settings import Settings
from bespeak.stores import Checkpoint, Commit, ProfileRow

AT_ONCE = 10_000
READY_SECONDS = 300.0
SETTLE_SECONDS = 2.0


class Started(msgspec.Struct, frozen=True):
    """Seconds until `/ready`, and MiB of memory two seconds later."""

    seconds: float
    memory_mib: float


def start_cost(
    folder: Path, definitions: tuple[Definition, ...], bodies: Iterable[bytes], profiles: int
) -> tuple[Started, Started]:
    """Return what a start costs with so many profiles, and with a store that holds the definitions alone.

    Parameters
    ----------
    folder
        Where both stores are made: about 2.5 KB for each profile.
    bodies
        Events of some people; all others are their likes, under other ids.
    profiles
        How many there are.
    """
    empty, full = folder / "empty", folder / "full"
    for each in (empty, full):
        each.mkdir(mode=0o700)
    asyncio.run(_fill(empty, definitions, (), 0))
    asyncio.run(_fill(full, definitions, bodies, profiles))
    return started(full), started(empty)


def started(folder: Path) -> Started:
    """Start a server on a data directory, wait until it is ready, and stop it.

    Raises
    ------
    Unavailable
        It ended, or was not ready within five minutes.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    command = (sys.executable, "-m", "bespeak", "serve", "--data", str(folder), "--port", str(port))
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _is_ready(port):
            if process.poll() is not None or time.perf_counter() - began > READY_SECONDS:
                raise Unavailable(f"the server was not ready within {READY_SECONDS:.0f} s")
            time.sleep(0.01)
        took = time.perf_counter() - began
        time.sleep(SETTLE_SECONDS)
        return Started(round(took, 2), round(_memory(process.pid), 1))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _memory(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


async def _fill(folder: Path, definitions: tuple[Definition, ...], bodies: Iterable[bytes], profiles: int) -> None:
    engine = Engine.open(Settings(data_dir=str(folder)))
    await engine.start()
    key, _ = await engine.create_key("secret", "bench")
    await engine.apply(definitions)
    for body in bodies:
        await engine.track(engine.parse(body, key=key), key)
    await engine.checkpoint_now()
    models = tuple(engine.sequencer.live.awake())
    if models:
        for commit in _likes(engine, models, profiles):
            engine.store.commit(commit)
        engine.sequencer.profiles = len(models) + profiles
        await engine.track(engine.parse(b'{"batch":[{"type":"identify","userId":"last"}]}', key=key), key)
    await engine.close()


def _likes(engine: Engine, models: tuple[Profile, ...], count: int) -> Iterator[Commit]:
    """Yield checkpoints with profiles like the given ones: known, with a device, each sealed under a key of its own."""
    rng, now = Random(0), engine.clock.now()
    for first in range(0, count, AT_ONCE):
        rows: list[ProfileRow] = []
        aliases: dict[str, str] = {}
        for number in range(first, min(first + AT_ONCE, count)):
            model = models[number % len(models)]
            user, device = f"u:user-{number:08x}", f"a:visitor-{number:08x}"
            flips = Flips()
            for segment_id, at in zip(model.flips.names, model.flips.times, strict=True):
                flips.note(segment_id, at + DAY + rng.randrange(HOUR))
            like = msgspec.structs.replace(
                model,
                id=user,
                user_id=user[2:],
                aliases=[device],
                flips=flips,
                next_flip_at=flips.next,
            )
            data = engine.vault.seal(user, PROFILE, pack(encode_profile(like)))
            rows.append(ProfileRow(engine.vault.name(user), data, None if flips.next == NEVER else flips.next))
            aliases[engine.vault.name(device)] = seal_alias(engine.vault, device, user)
        keys = engine.vault.made()
        seen = tuple((rng.randbytes(16), now // HOUR) for _ in rows)
        cut = Checkpoint(offset=engine.store.checkpoint_offset(), profiles=tuple(rows), aliases=aliases)
        yield Commit(keys=keys, seen=seen, checkpoint=cut)
        engine.vault.written(keys)
