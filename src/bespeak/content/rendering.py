"""Choosing the block of a slot for one visitor, and rendering it; both always end, and say how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias, cast

import msgspec
from liquid.exceptions import LiquidError

from bespeak.clock import Instant
from bespeak.conditions import Explanation, Visitor
from bespeak.content.block import Block
from bespeak.content.limits import size
from bespeak.content.template import place_of


class Chosen(msgspec.Struct, frozen=True):
    """The block to show; `reason` is its condition as text."""

    block: Block
    reason: str


class NoBlock(msgspec.Struct, frozen=True):
    """No block of this slot holds for this visitor; `reason` says how many were asked."""

    slot: str
    reason: str


Choice: TypeAlias = Chosen | NoBlock


class Considered(msgspec.Struct, frozen=True):
    """One block that was asked, in order: whether it holds, and each leaf of its condition with its value."""

    block: str
    holds: bool
    chosen: bool
    reason: str
    explanation: Explanation | None


class Rendered(msgspec.Struct, frozen=True):
    """What the template gave."""

    html: str


class FellBack(msgspec.Struct, frozen=True):
    """The block's static fallback, and why the template could not be used."""

    html: str
    reason: str


Rendering: TypeAlias = Rendered | FellBack


def in_order(blocks: Iterable[Block], slot: str) -> list[Block]:
    """Return the enabled blocks of a slot in the order in which they are asked: priority, then id."""
    return sorted((b for b in blocks if b.enabled and b.slot == slot), key=lambda b: (-b.priority, b.id))


def choose(blocks: Iterable[Block], slot: str, visitor: Visitor, at: Instant) -> Choice:
    """Return the first block of the slot that holds for the visitor, by priority, then id."""
    asked = in_order(blocks, slot)
    for block in asked:
        if block.compiled is None or block.compiled.holds(visitor, at):
            return Chosen(block, block.condition_text)
    if not asked:
        return NoBlock(slot, f"no block is defined for slot {slot!r}")
    return NoBlock(slot, f"none of the {len(asked)} blocks of slot {slot!r} holds for this visitor")


def explain(blocks: Iterable[Block], slot: str, visitor: Visitor, at: Instant) -> tuple[Considered, ...]:
    """Return every block of the slot in the order asked, with the values that its condition saw."""
    found: list[Considered] = []
    taken = False
    for block in in_order(blocks, slot):
        explanation = None if block.compiled is None else block.compiled.explain(visitor, at)
        holds = explanation is None or explanation.holds
        found.append(Considered(block.id, holds, holds and not taken, block.condition_text, explanation))
        taken = taken or holds
    return tuple(found)


def variables(block: Block, visitor: Visitor) -> dict[str, object]:
    """Return the value of each variable the block declares; missing and blank ones are its fallback."""
    return {name: _or_fallback(visitor.get(path), fallback) for name, path, fallback in block.bindings}


def render(block: Block, values: Mapping[str, object]) -> Rendering:
    """Render the block's template.

    Parameters
    ----------
    values
        By variable name. A declared variable that is not among them has its fallback; others are not seen.
    """
    given: dict[str, object] = {}
    try:
        for name, _, fallback in block.bindings:
            given[name] = _plain(name, _or_fallback(values.get(name), fallback))
        return Rendered(block.ready.render(given))
    except LiquidError as error:
        return FellBack(block.fallback, f"{place_of(error)}{error.message}")
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        # What a template can make Python itself refuse: a number too long to print, a division, a depth.
        return FellBack(block.fallback, f"{type(error).__name__}: {error}")


def _or_fallback(value: object, fallback: object) -> object:
    if value is None or (isinstance(value, str) and not value.strip()):
        return fallback
    return value


def _plain(name: str, value: object) -> object:
    """Return a value that templates may handle: JSON's types, no text that claims to be HTML already."""
    if isinstance(value, str):
        value = value if type(value) is str else str.__str__(value)
    elif isinstance(value, tuple):
        value = list(cast("tuple[object, ...]", value))
    elif not isinstance(value, int | float | list | Mapping):
        raise TypeError(
            f"variable {name!r}: expected text, number, flag, list or mapping, found {type(value).__name__}"
        )
    plain = cast("object", value)
    size(plain)
    return plain
