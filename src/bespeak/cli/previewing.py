"""`bespeak segments preview` and `diff`: who would be in, before anything is put in force."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import yaml

from bespeak.cli.client import ask, connected, settings_of
from bespeak.cli.output import show, table
from bespeak.cli.upkeep import store_of
from bespeak.cli.warm_preview import asked_of_server
from bespeak.clock import Instant, SystemClock, format_time, parse_time
from bespeak.conditions import Condition
from bespeak.conditions import load as load_condition
from bespeak.conditions.tree import InSegment
from bespeak.engine import Definition, DefinitionKind
from bespeak.errors import ConditionError, DefinitionError, InvalidInput
from bespeak.segments import Segments
from bespeak.segments import load as load_segment
from bespeak.segments.references import filled, inlined

if TYPE_CHECKING:
    from bespeak.analytics.conditions_compared import Difference
    from bespeak.analytics.conditions_sql import Members
    from bespeak.engine.previewing import Preview

FILE_BYTES_MAX = 1_000_000


def preview(arguments: Namespace) -> int:
    """Say how many would be in, who, and beside which segments."""
    from bespeak.analytics.conditions_sql import sql_of
    from bespeak.engine.previewing import Preview
    from bespeak.engine.previewing import preview as previewed

    most = _most(arguments)
    live, at = _live(arguments), _at(arguments)
    segments = _conditions(live)
    condition = _condition(arguments.condition, live, segments)
    settings = settings_of(arguments)
    store_of(settings)
    if not (arguments.cold or sql_of(condition, at, segments=segments).reads_items):
        text: str = arguments.condition
        named = InSegment(text) if text in segments else _written(text, segments)  # the server fills in what is named
        answer = asked_of_server(settings, named, at=arguments.at, sample=most)
        if answer is not None:
            return show(arguments, answer, _told(msgspec.convert(answer, Preview)))
    found = previewed(settings, condition, segments, at, most=most)
    return show(arguments, {"at": format_time(at), **msgspec.to_builtins(found)}, _told(found))


def diff(arguments: Namespace) -> int:
    """Say who would enter and leave."""
    from bespeak.engine.previewing import compare

    most = _most(arguments)
    live, at = _live(arguments), _at(arguments)
    segments = _conditions(live)
    old, new = (_condition(text, live, segments) for text in (arguments.old, arguments.new))
    settings = settings_of(arguments)
    store_of(settings)
    offset, found = compare(settings, old, new, segments, at, most=most)
    return show(arguments, {"at": format_time(at), "offset": offset, **msgspec.to_builtins(found)}, _changes(found))


def _at(arguments: Namespace) -> Instant:
    return SystemClock().now() if arguments.at is None else parse_time(arguments.at)


def _most(arguments: Namespace) -> int:
    """Return how many people are to be named.

    Raises
    ------
    InvalidInput
        They are none, or more than a question may name.
    """
    from bespeak.analytics.conditions_sql import NAMED_MAX

    most: int = arguments.n
    if not 1 <= most <= NAMED_MAX:
        raise InvalidInput(f"-n: expected 1 to {NAMED_MAX:,} people to name, got {most:,}")
    return most


def _live(arguments: Namespace) -> Segments:
    """Return the segments in force, with what they may name."""
    from bespeak.engine.site import build

    kinds: tuple[DefinitionKind, ...] = ("segments", "traits", "scores", "borders")
    with connected(arguments) as client:
        definitions = [
            Definition(kind=kind, id=one["id"], body=one["body"], version=one["version"])
            for kind in kinds
            for one in ask(client, "GET", f"/v1/{kind}")
        ]
    return build(definitions).segments


def _conditions(live: Segments) -> dict[str, Condition]:
    """Return what the segments in force ask for, by id."""
    return dict(inlined(live.all(), live.traits, live.scores, live.borders).conditions)


def _condition(text: str, live: Segments, segments: Mapping[str, Condition]) -> Condition:
    """Return the condition of a segment in force, of a file, or that stands there itself, with all that it names."""
    if text in segments:
        return segments[text]
    return filled(_written(text, segments), live.all(), live.traits, live.scores, live.borders)


def _written(text: str, segments: Mapping[str, Condition]) -> Condition:
    """Return the condition of a file, or that stands there itself."""
    if text.endswith((".yaml", ".yml")):
        return _in_file(Path(text))
    try:
        return load_condition(text)
    except ConditionError as error:
        known = ", ".join(segments) or "none"
        raise DefinitionError(
            f"{text!r} is no segment (there are: {known}), no YAML file, and {error.message}"
        ) from error


def _in_file(file: Path) -> Condition:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise DefinitionError(f"{file}: larger than {FILE_BYTES_MAX:,} bytes")
        raw: object = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DefinitionError(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DefinitionError(f"{file}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise DefinitionError(f"{file}: expected one segment, a mapping of fields, got {type(raw).__name__}")
    return load_segment(cast("dict[str, Any]", raw), source=str(file), version=1).condition


def _told(found: Preview) -> str:
    members, people = found.found.members, found.found.people
    share = f", {members.size / people:.1%} of" if people else " of"
    lines = [f"{members.size:,} people{share} {people:,}", *_named(members)]
    rows = [
        (name, f"{one.size:,}", f"{one.both:,}", _share(one.both, members.size), _share(one.both, one.size))
        for name, one in sorted(found.found.others.items(), key=lambda each: (-each[1].both, each[0]))
    ]
    if rows:
        lines += ["", table(("segment", "its size", "in both", "of these", "of the segment"), rows)]
    lines += [f"left out: {name}: {why}" for name, why in found.left_out.items()]
    return "\n".join(lines)


def _changes(found: Difference) -> str:
    return "\n".join(
        [
            f"{found.old:,} people now, {found.new:,} then, of {found.people:,}; {found.stay:,} stay",
            f"{found.enter.size:,} would enter",
            *_named(found.enter),
            f"{found.leave.size:,} would leave",
            *_named(found.leave),
        ]
    )


def _named(members: Members) -> list[str]:
    more = members.size - len(members.sample)
    return [*(f"  {one}" for one in members.sample), *([f"  and {more:,} more"] if more > 0 else [])]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
