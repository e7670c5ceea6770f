"""Segments of Apache Unomi as definitions of ours: what its REST API gives, or a condition alone."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import msgspec
import yaml

from bespeak.cli.output import print_json
from bespeak.conditions import format_condition
from bespeak.conditions.text.unomi import from_unomi
from bespeak.errors import ConditionError, DefinitionError, InvalidInput

FILE_BYTES_MAX = 10_000_000


def unomi(arguments: Namespace) -> int:
    """Write the segments of a file as YAML, or JSON; in what they are not quite the same stands beside them."""
    file = Path(arguments.file)
    found = [_segment(one, file) for one in _listed(file)]
    if arguments.json:
        print_json([{**segment, "notes": notes} for segment, notes in found])
        return 0
    print("\n".join(_written(segment, notes) for segment, notes in found))
    return 0


def _listed(file: Path) -> Iterator[Mapping[str, object]]:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise InvalidInput(f"{file}: larger than {FILE_BYTES_MAX:,} bytes")
        found: object = msgspec.json.decode(file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{file}: not JSON: {error}") from error
    except RecursionError:
        raise InvalidInput(f"{file}: nested too deep to be read") from None
    for one in _several(found):
        if not isinstance(one, Mapping):
            raise InvalidInput(
                f"{file}: expected a segment or a condition of Unomi, or a list of them, got {one!r:.80}"
            )
        yield cast("Mapping[str, object]", one)


def _several(found: object) -> list[object]:
    """Return the elements of a list, or of a page as `/cxs/segments` gives it; anything else stands alone."""
    listed: object = cast("Mapping[str, object]", found).get("list") if isinstance(found, Mapping) else found
    return cast("list[object]", listed) if isinstance(listed, list) else [found]


def _segment(raw: Mapping[str, object], file: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    metadata: object = raw.get("metadata")
    about: Mapping[str, object] = cast("Mapping[str, object]", metadata) if isinstance(metadata, Mapping) else {}
    name = str(about.get("id") or raw.get("itemId") or file.stem)
    condition = raw.get("condition", raw)
    if not isinstance(condition, Mapping):
        raise DefinitionError(f"{file}: segment {name!r}: condition must be an object, got {condition!r:.80}")
    try:
        imported = from_unomi(cast("Mapping[str, object]", condition))
    except ConditionError as error:
        raise DefinitionError(f"{file}: segment {name!r}: {error.message}", problems=error.problems) from error
    segment = {
        "id": _id(name),
        "name": str(about.get("name") or name),
        "description": str(about.get("description") or ""),
    }
    return {**segment, "condition": format_condition(imported.condition)}, imported.notes


def _id(name: str) -> str:
    """Return a name as an id may be: 1 to 100 of a-z, 0-9, `-` and `_`."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:100] or "segment"


def _written(segment: Mapping[str, str], notes: tuple[str, ...]) -> str:
    fields = {name: value for name, value in segment.items() if value}
    text = yaml.safe_dump([fields], sort_keys=False, allow_unicode=True, width=110).rstrip("\n")
    return "\n".join([*(f"# {note}" for note in notes), text])
