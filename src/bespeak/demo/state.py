"""What the demo remembers between two starts, beside the engine's own store."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from bespeak.clock import Instant
from bespeak.engine import Engine
from bespeak.errors import SettingsError
from bespeak.privacy import Key, KeyKind

_FILE = "demo.json"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The town that fills the store, how far the filling got, and the tokens of the shop's keys."""

    seed: int
    people: int
    items: int
    history_start: Instant
    filled: bool = False
    write_token: str = ""
    secret_token: str = ""


class Keys(msgspec.Struct, frozen=True):
    """The shop's two keys: the public one that pages carry, and the one of the shop's server; each with its token."""

    write_token: str
    write: Key
    secret_token: str
    secret: Key


def load_state(directory: Path, fresh: State) -> State:
    """Return what an earlier start left, or `fresh`.

    Raises
    ------
    SettingsError
        The store was filled from another town, or the file cannot be read.
    """
    path = directory / _FILE
    if not path.exists():
        return fresh
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except msgspec.DecodeError as error:
        raise SettingsError(
            f"{path}: expected what a demo writes: {error}; remove {directory} to begin anew"
        ) from error
    if (state.seed, state.people, state.items) != (fresh.seed, fresh.people, fresh.items):
        raise SettingsError(
            f"{directory} was filled from the town of seed {state.seed} with {state.people:,} people and "
            f"{state.items:,} items, not of seed {fresh.seed} with {fresh.people:,} and {fresh.items:,}; "
            "choose another directory, or remove it"
        )
    return state


def save_state(directory: Path, state: State) -> None:
    """Write the state, whole or not at all, readable by its owner only: it holds a secret token."""
    path = directory / _FILE
    draft = path.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


async def ensure_keys(engine: Engine, state: State) -> tuple[Keys, State]:
    """Return the shop's keys, making those that the store does not know."""
    write_token, write = await _ensure(engine, "write", "shop", state.write_token)
    secret_token, secret = await _ensure(engine, "secret", "shop-server", state.secret_token)
    state = msgspec.structs.replace(state, write_token=write_token, secret_token=secret_token)
    return Keys(write_token, write, secret_token, secret), state


async def _ensure(engine: Engine, kind: KeyKind, name: str, token: str) -> tuple[str, Key]:
    held = engine.key(token) if token else None
    if held is not None:
        return token, held
    made, token = await engine.create_key(kind, name)
    return token, made
