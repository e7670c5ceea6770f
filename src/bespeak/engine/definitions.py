"""Definitions: segments, traits, scores, rules, experiments and content, as YAML and as versions in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

import msgspec
import yaml

from bespeak.content import inline_template
from bespeak.errors import DefinitionError

DefinitionKind: TypeAlias = Literal["segments", "traits", "scores", "borders", "rules", "experiments", "content"]
KINDS: tuple[DefinitionKind, ...] = get_args(DefinitionKind)
MAX_FILE_BYTES = 1_000_000


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One definition as it was written: `body` is the YAML mapping, `source` where it stands."""

    kind: DefinitionKind
    id: str
    body: dict[str, Any]
    source: str = ""
    version: int = 0


class Applied(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one definition; while it is `preparing`, the one before it, if there is one, is in force."""

    kind: DefinitionKind
    id: str
    version: int
    change: Literal["created", "updated", "unchanged", "deleted"]
    preparing: bool = False


def definitions_in(directory: Path) -> tuple[Definition, ...]:
    """Read `segments/`, `traits/`, `scores/`, `borders/`, `rules/`, `experiments/`, `content/` of a project folder.

    A file holds one definition, or several as a list. In `content/`, `template: hero.liquid` names a file beside it.

    Raises
    ------
    DefinitionError
        There is no such folder, a file is not YAML, or a definition has no id; the message names file and field.
    """
    if not directory.is_dir():
        raise DefinitionError(f"{directory}: no such folder; expected one with {', '.join(KINDS)} in it")
    found = [one for kind in KINDS for one in _of_kind(directory / kind, kind)]
    if not found:
        raise DefinitionError(f"{directory}: no definitions; expected YAML files in {', '.join(KINDS)}")
    seen: dict[tuple[str, str], str] = {}
    for one in found:
        other = seen.setdefault((one.kind, one.id), one.source)
        if other != one.source:
            raise DefinitionError(f"{one.source}: id {one.id!r} stands in {other} already")
    return tuple(found)


def _of_kind(folder: Path, kind: DefinitionKind) -> list[Definition]:
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    return [definition for file in files for definition in _of_file(file, kind)]


def _of_file(file: Path, kind: DefinitionKind) -> list[Definition]:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise DefinitionError(f"{file}: larger than {MAX_FILE_BYTES:,} bytes")
    try:
        raw: object = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DefinitionError(f"{file}: not YAML: {error}") from error
    bodies = cast("list[object]", raw) if isinstance(raw, list) else [raw]
    return [_definition(body, kind, file) for body in bodies]


def _definition(body: object, kind: DefinitionKind, file: Path) -> Definition:
    found = type(body).__name__
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in cast("dict[object, object]", body)):
        raise DefinitionError(f"{file}: expected a mapping of fields, got {found}")
    written = cast("dict[str, object]", body)
    definition_id = written.get("id")
    if not isinstance(definition_id, str) or not definition_id:
        raise DefinitionError(f"{file}: id is missing; each definition has one, such as: id: {file.stem}")
    fields = inline_template(written, beside=file.parent, source=str(file)) if kind == "content" else written
    return Definition(kind=kind, id=definition_id, body=dict(fields), source=str(file))
