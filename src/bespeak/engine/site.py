"""The definitions in force: what they say, compiled, and their versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, assert_never, cast, get_args

import msgspec

from bespeak import computed, content, experiments, rules, segments
from bespeak.conditions import Condition, Declared, compile_condition
from bespeak.conditions.asking.answers import reader
from bespeak.conditions.asking.visitor import Read
from bespeak.engine.definitions import KINDS, Definition, DefinitionKind
from bespeak.errors import DefinitionError
from bespeak.stores import Document, Store

DEFINITIONS_MAX = 1_000
"""Definitions of one kind that a store holds."""

_CONDITIONS = get_args(Condition)
_READING: tuple[DefinitionKind, ...] = ("rules", "experiments", "content")
"""What reads computed traits and scores as the moment has them; segments have them filled in."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Every definition in force, compiled; replaced as a whole when one changes.

    `worked` reads computed traits and scores by path, as a `View` has them.
    """

    segments: segments.Segments
    rules: tuple[rules.Rule, ...] = ()
    experiments: tuple[experiments.Experiment, ...] = ()
    blocks: tuple[content.Block, ...] = ()
    aggregates: tuple[Declared, ...] = ()
    worked: Mapping[str, Read] = {}


class Registry:
    """The definitions by kind and id, with their versions."""

    def __init__(self) -> None:
        self._held: dict[tuple[DefinitionKind, str], Definition] = {}
        self._versions: dict[tuple[DefinitionKind, str], int] = {}
        self._changed: dict[tuple[DefinitionKind, str], Document] = {}
        self._store: Store | None = None
        self.site = build(())

    def load(self, store: Store) -> None:
        """Read the definitions of the checkpoint."""
        self._store = store
        self._held.clear()
        self._versions.clear()
        self._changed.clear()
        for kind in KINDS:
            for document in store.documents("definition/" + kind):
                if document.data is not None:
                    body = msgspec.json.decode(document.data, type=dict[str, Any])
                    self._held[kind, document.id] = Definition(
                        kind=kind, id=document.id, body=body, version=document.version
                    )
                self._versions[kind, document.id] = document.version
        self.site = build(self._held.values())

    def all(self, kind: DefinitionKind) -> tuple[Definition, ...]:
        """Return the definitions of a kind, ordered by id."""
        return tuple(self._held[held] for held in sorted(self._held) if held[0] == kind)

    def get(self, kind: DefinitionKind, definition_id: str) -> Definition | None:
        """Return one definition."""
        return self._held.get((kind, definition_id))

    def next_version(self, kind: DefinitionKind, definition_id: str) -> int:
        """Return the version that a change would make; a deleted definition goes on counting where it ended."""
        newest = self._versions.get((kind, definition_id))
        if newest is None and self._store is not None:
            kept = self._store.versions("definition/" + kind, definition_id)
            newest = kept[-1].version if kept else None
        return (newest or 0) + 1

    def with_changes(self, changes: Iterable[Definition], deleted: Iterable[tuple[DefinitionKind, str]] = ()) -> Site:
        """Compile what would be in force after the changes; refuses what cannot be, and changes nothing."""
        held = dict(self._held)
        for change in changes:
            held[change.kind, change.id] = change
        for gone in deleted:
            held.pop(gone, None)
        return build(held.values())

    def put(self, kind: DefinitionKind, definition_id: str, version: int, body: dict[str, Any] | None) -> None:
        """Put one change in force; `compile` follows."""
        name = (kind, definition_id)
        self._versions[name] = version
        if body is None:
            self._held.pop(name, None)
        else:
            self._held[name] = Definition(kind=kind, id=definition_id, body=body, version=version)
        data = None if body is None else msgspec.json.encode(body)
        self._changed[name] = Document("definition/" + kind, definition_id, version, data)

    def compile(self) -> None:
        """Compile what is held."""
        self.site = build(self._held.values())

    def dependents(
        self, kind: DefinitionKind, definition_id: str, also: Iterable[Definition] = ()
    ) -> tuple[Definition, ...]:
        """Return the definitions that name this one, ordered by kind and id.

        `also` are some that are not in force, besides.
        """
        asking = {
            (one.kind, one.id): one
            for one in (*self._held.values(), *also)
            if (kind, definition_id) in _named(load(one))
        }
        asking.pop((kind, definition_id), None)
        return tuple(asking[name] for name in sorted(asking))

    def changed(self) -> tuple[Document, ...]:
        """Return the documents changed since the last call, for a checkpoint."""
        documents = tuple(self._changed.values())
        self._changed = {}
        return documents


def build(definitions: Iterable[Definition]) -> Site:
    """Compile definitions.

    Raises
    ------
    DefinitionError
        One is not well formed, or there are too many of a kind.
    """
    by_kind: dict[DefinitionKind, list[Definition]] = {kind: [] for kind in KINDS}
    for definition in sorted(definitions, key=lambda one: one.id):
        by_kind[definition.kind].append(definition)
    for kind, found in by_kind.items():
        if len(found) > DEFINITIONS_MAX:
            raise DefinitionError(f"{kind}: at most {DEFINITIONS_MAX:,} definitions, got {len(found):,}")
    compiled = {kind: tuple(load(one) for one in found) for kind, found in by_kind.items()}
    borders = tuple(_borders_of(compiled["traits"], compiled["borders"]))
    live = segments.Segments(compiled["segments"], compiled["traits"], compiled["scores"], borders)
    for kind in _READING:
        for found in compiled[kind]:
            _check_named(kind, found, by_kind)
    declared = [one for kind in _READING for found in compiled[kind] for one in _declared(found)]
    return Site(
        segments=live,
        rules=compiled["rules"],
        experiments=compiled["experiments"],
        blocks=compiled["content"],
        aggregates=(*declared, *live.aggregates()),
        worked={path: reader(operand) for path, operand in live.operands.items()},
    )


def load(definition: Definition) -> Any:  # noqa: ANN401 - one loader a kind, each with its own type
    """Read one definition into the type of its kind."""
    source = definition.source or f"{definition.kind}/{definition.id}"
    match definition.kind:
        case "segments":
            return segments.load(definition.body, source=source, version=definition.version or 1)
        case "traits":
            return computed.load_trait(definition.body, source=source, version=definition.version or 1)
        case "scores":
            return computed.load_score(definition.body, source=source, version=definition.version or 1)
        case "borders":
            return computed.load_borders(definition.body, source=source, version=definition.version or 1)
        case "rules":
            return rules.load(definition.body, source=source, version=definition.version or 1)
        case "experiments":
            return experiments.load(definition.body, source=source, version=definition.version or 1)
        case "content":
            return content.load(definition.body, source=source, version=definition.version or 1)
        case _:
            assert_never(definition.kind)


def _named(found: object) -> set[tuple[segments.NamedKind, str]]:
    """Return what a definition names: by kind and id; of content also what its variables read."""
    named = set(segments.named_in(found))
    if isinstance(found, computed.Borders):
        named.add(("traits", found.id))
    if isinstance(found, content.Block):
        named.update(one for variable in found.variables.values() for one in segments.named_by(variable.path))
    return named


def _borders_of(traits: Iterable[computed.Trait], borders: Iterable[computed.Borders]) -> Iterator[computed.Borders]:
    """Yield the borders of what is graded; of others those that were drawn are of before, and others are refused."""
    graded = [trait.id for trait in traits if isinstance(trait.value, computed.RfmPlan)]
    for one in borders:
        if one.id in graded:
            yield one
        elif one.drawn is None:
            there = ", ".join(graded) or "none"
            raise DefinitionError(
                f"borders/{one.id}: there is no computed trait {one.id!r} with rfm; there are: {there}"
            )


def _check_named(kind: DefinitionKind, found: Any, by_kind: Mapping[DefinitionKind, list[Definition]]) -> None:  # noqa: ANN401
    """Refuse a computed trait or a score that is not there."""
    for named, name in sorted(segments.named_in(found) if kind != "content" else _named(found)):
        if named != "segments" and name not in (known := [one.id for one in by_kind[named]]):
            raise DefinitionError(f"{kind}/{found.id}: {segments.unknown(named, name, known)}")


def _declared(value: object) -> Iterator[Declared]:
    """Yield the aggregates of every condition anywhere in a definition, so that the fold keeps them."""
    for condition in conditions_in(value):
        yield from compile_condition(condition).depends.aggregates


def conditions_in(value: object) -> Iterator[Condition]:
    """Yield every condition anywhere in a definition."""
    if isinstance(value, _CONDITIONS):
        yield cast("Condition", value)
    elif isinstance(value, msgspec.Struct):
        for field in value.__struct_fields__:
            yield from conditions_in(getattr(value, field))
    elif isinstance(value, tuple | list):
        for one in cast("tuple[object, ...]", value):
            yield from conditions_in(one)
    elif isinstance(value, Mapping):
        for one in cast("Mapping[str, object]", value).values():
            yield from conditions_in(one)
