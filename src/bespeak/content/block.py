"""What a block of content is: where it goes, for whom, what it says, and what it says when it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import msgspec

from bespeak.conditions import Compiled, Condition, compile_condition, format_condition
from bespeak.content.limits import MAX_OUTPUT, MAX_TEMPLATE, MAX_VARIABLES
from bespeak.content.template import Template, compile_template
from bespeak.definitions import check_id, read
from bespeak.errors import DefinitionError, Problem, TemplateError

Plain: TypeAlias = str | int | float | bool | tuple[str | int | float | bool, ...]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.liquid")
_WORDS = (
    "and as blank by contains cols continue empty false for forloop if in limit nil not now null offset or partial "
    "reversed today true with"
)
_RESERVED = frozenset(_WORDS.split())


class Variable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name that a template may use.

    Parameters
    ----------
    path
        Where its value is: `traits.first_name`.
    fallback
        What stands there when the value is missing or blank. There is always one: nobody reads "Hello ,".
    """

    path: str
    fallback: Plain

    def __post_init__(self) -> None:
        if not 1 <= len(self.path) <= 200:
            raise ValueError(f"path must have 1 to 200 characters, such as traits.first_name, got {len(self.path)}")


class Block(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """One thing a slot may say.

    Parameters
    ----------
    slot
        The slot it is for.
    priority
        Of several that hold, the highest is shown; of equals, the one whose id sorts first.
    condition
        For whom. Exactly one of `condition` and `always` is given, so that a forgotten condition is an error.
    always
        For everyone: the slot's default.
    template
        Liquid.
    variables
        What the template may use, by name.
    fallback
        HTML shown as it is when the template fails or takes too much; may be empty, but must be said.
    enabled
        False is as if it were not there.
    version
        Counted by the store, one more each time the definition changes.

    Raises
    ------
    ValueError
        A bound is broken; the message names it.
    """

    id: str
    slot: str
    template: str
    fallback: str
    priority: int = 0
    condition: Condition | None = None
    always: bool = False
    variables: Mapping[str, Variable] = {}
    enabled: bool = True
    description: str = ""
    version: int = 1

    def __post_init__(self) -> None:
        check_id(self.id, "block")
        if not 1 <= len(self.slot) <= 100:
            raise ValueError(f"block {self.id!r}: slot must have 1 to 100 characters, got {len(self.slot)}")
        if self.always == (self.condition is not None):
            found = "both" if self.always else "neither"
            raise ValueError(f"block {self.id!r}: give either a condition, or always: true; got {found}")
        if len(self.fallback.encode()) > MAX_OUTPUT:
            raise ValueError(
                f"block {self.id!r}: fallback has at most {MAX_OUTPUT:,} bytes, got {len(self.fallback):,}"
            )
        if len(self.variables) > MAX_VARIABLES:
            raise ValueError(f"block {self.id!r}: at most {MAX_VARIABLES} variables, got {len(self.variables)}")
        for name in self.variables:
            if not _NAME.fullmatch(name) or name in _RESERVED:
                raise ValueError(
                    f"block {self.id!r}: a variable is named by a-z, 0-9 and _, beginning with a letter, and not by a "
                    f"word of Liquid, got {name!r}"
                )

    @cached_property
    def compiled(self) -> Compiled | None:
        """The condition, compiled once; None for everyone."""
        return None if self.condition is None else compile_condition(self.condition)

    @cached_property
    def condition_text(self) -> str:
        """The condition as people write it; `always` for everyone."""
        return "always" if self.condition is None else format_condition(self.condition)

    @cached_property
    def ready(self) -> Template:
        """The template, read and checked once.

        Raises
        ------
        TemplateError
            It is not Liquid, or uses what is not declared.
        """
        return compile_template(self.template, self.variables, source="template")

    @cached_property
    def bindings(self) -> tuple[tuple[str, str, object], ...]:
        """Name, path and fallback of each variable, as rendering reads them."""
        return tuple(
            (n, v.path, list(v.fallback) if isinstance(v.fallback, tuple) else v.fallback)
            for n, v in self.variables.items()
        )


def load(raw: object, *, source: str, version: int = 1) -> Block:
    """Read a block from what YAML or JSON gave, and its template with it.

    Parameters
    ----------
    source
        File name or address, for messages.
    version
        Which version of the definition this is.

    Raises
    ------
    DefinitionError
        A field is unknown, missing or not what it must be.
    TemplateError
        The template is not Liquid, or uses what is not declared; the message names file, line and variable.

    Examples
    --------
    >>> greeting = load(
    ...     {
    ...         "id": "hello", "slot": "top", "always": True, "fallback": "<p>Hello</p>",
    ...         "template": "<p>Hello {{ name }}</p>",
    ...         "variables": {"name": {"path": "traits.first_name", "fallback": "you"}},
    ...     },
    ...     source="hello.yaml",
    ... )
    >>> greeting.ready.render({"name": "Ada"})
    '<p>Hello Ada</p>'
    """
    block = read(raw, Block, what="block", source=source, conditions_in=("condition",), extra={"version": version})
    if _FILE.fullmatch(block.template):
        raise DefinitionError(
            f"{source}: template: {block.template!r} names a file, and files are read from a project folder only; "
            "give the text itself",
            problems=(Problem("template", "Liquid text", block.template),),
        )
    _ = block.compiled  # a condition that cannot be compiled is refused here, not at the first visitor
    try:
        _ = block.ready
    except TemplateError as error:
        raise TemplateError(f"{source}: {error.message}", problems=error.problems) from None
    return block


def inline_template(raw: Mapping[str, object], *, beside: Path, source: str) -> Mapping[str, object]:
    """Put the text of a template file in the place of its name: `template: hero.liquid` beside the YAML.

    Everything else is returned as it is; the file must stand in the same folder.

    Raises
    ------
    TemplateError
        There is no such file, it is not UTF-8, or it is too long.
    """
    name = raw.get("template")
    if not isinstance(name, str) or not _FILE.fullmatch(name):
        return raw
    path = beside / name
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_TEMPLATE + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(
            f"{source}: template: cannot read {name!r} beside it: {error}",
            problems=(Problem("template", "a readable UTF-8 file", name),),
        ) from None
    if len(text) > MAX_TEMPLATE:
        raise TemplateError(f"{source}: template: {name!r} has more than {MAX_TEMPLATE:,} characters")
    return {**raw, "template": text}
