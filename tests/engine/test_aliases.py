"""Aliases at rest in the store: whatever is remembered, they answer as a plain dictionary would."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from bespeak.engine.aliases import Aliases, seal_alias
from bespeak.engine.vault import Vault
from bespeak.privacy.masters import KeyHeld
from bespeak.stores import Checkpoint, Commit, MemoryStore

IDS = [f"a:{number}" for number in range(12)]


class Desk:
    """A table of aliases, a dictionary that says what is right, and checkpoints on their way to the store."""

    def __init__(self, bound: int) -> None:
        self.store = MemoryStore()
        self.vault = Vault(self.store, KeyHeld(self.store.beside), bound=100)
        self.vault.load()
        self.aliases = Aliases(self.store, self.vault, bound=bound)
        self.right: dict[str, str] = {}
        self.durable: dict[str, str] = {}
        self.waiting: deque[tuple[Checkpoint, int, dict[str, str]]] = deque()

    def cut(self, dropped: tuple[str, ...] = ()) -> None:
        sealed = {self.vault.name(one): seal_alias(self.vault, one, who) for one, who in self.aliases.changed().items()}
        checkpoint = Checkpoint(offset=0, aliases=sealed, unaliased=tuple(map(self.vault.name, dropped)))
        self.waiting.append((checkpoint, self.aliases.mark(), dict(self.right)))

    def drop(self, alias: str) -> None:
        self.aliases.drop(alias)
        self.right.pop(alias, None)
        self.cut((alias,))

    def put(self, alias: str, who: str) -> None:
        self.aliases.put(alias, who)
        self.right[alias] = who

    def write(self) -> None:
        if self.waiting:
            checkpoint, mark, self.durable = self.waiting.popleft()
            self.store.commit(Commit(checkpoint=checkpoint, keys=self.vault.made()))
            self.aliases.written(mark)

    def crash(self) -> None:
        self.waiting.clear()
        self.aliases.clear()
        self.right = dict(self.durable)


@pytest.mark.parametrize("seed", range(20))
def test_a_bounded_table_over_a_store_answers_as_a_dictionary_does(seed: int) -> None:
    rng = Random(seed)
    desk = Desk(bound=rng.choice([2, 4, 1_000]))
    for place in range(400):
        alias = rng.choice(IDS)
        match rng.randrange(8):
            case 0 | 1:
                desk.put(alias, f"u:{place}")
            case 2:
                desk.drop(alias)
            case 3:
                desk.cut()
            case 4:
                desk.write()
            case 5 if rng.random() < 0.2:
                desk.crash()
            case _:
                assert desk.aliases.get(alias, alias) == desk.right.get(alias, alias)
        assert (alias in desk.aliases) is (alias in desk.right)
    assert dict(desk.aliases) == desk.right
    assert len(desk.aliases) == len(desk.right)


def test_nothing_stays_in_ram_beyond_the_bound_once_it_is_durable() -> None:
    desk = Desk(bound=4)
    for one in IDS:
        desk.put(one, "u:1")
    assert desk.aliases.waiting == len(IDS)
    desk.cut()
    desk.write()
    assert desk.aliases.waiting == 0
    assert dict(desk.aliases) == dict.fromkeys(IDS, "u:1")


def test_an_id_that_is_no_alias_is_said_to_be_missing() -> None:
    desk = Desk(bound=4)
    with pytest.raises(KeyError, match="a:0"):
        desk.aliases["a:0"]
    assert desk.aliases.get("a:0") is None
