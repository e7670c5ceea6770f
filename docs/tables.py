"""Write the tables of the documentation that come from the code: `python docs/tables.py`.

What stands in a page between `<!-- table: NAME -->` and `<!-- end -->` is replaced; `tests/test_docs.py` holds
the pages to it, so that a new setting without its line fails.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import msgspec

import bespeak
from bespeak.analytics import COLUMNS
from bespeak.settings import Setting, Settings, each_setting

DOCS = Path(__file__).parent
_PLACE = re.compile(r"(<!-- table: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def described(kind: type) -> dict[str, str]:
    """Return what the Parameters section of a docstring says of each name, on one line."""
    told: dict[str, str] = {}
    names: list[str] = []
    section = ""
    lines = inspect.cleandoc(kind.__doc__ or "").splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line and re.fullmatch(r"-+", following):
            section, names = line, []
        elif section == "Parameters" and re.match(r"[a-z]", line):
            names = line.split(", ")
        elif section == "Parameters" and line.startswith("    "):
            for name in names:
                told[name] = f"{told.get(name, '')} {line.strip()}".strip()
    return told


def structs_at(path: tuple[str, ...]) -> list[type[msgspec.Struct]]:
    """Return the types that hold the field at the path: one, or each kind of a section with several."""
    kinds: list[type[msgspec.Struct]] = [Settings]
    for name in path[:-1]:
        types = [field.type for kind in kinds for field in msgspec.structs.fields(kind) if field.name == name]
        kinds = [part for form in types for part in (get_args(form) or (form,)) if issubclass(part, msgspec.Struct)]
    return [kind for kind in kinds if path[-1] in {field.name for field in msgspec.structs.fields(kind)}]


def description(setting: Setting) -> str:
    """Return what the code says of a setting; empty when it says nothing."""
    path = tuple(setting.name.split("."))
    if path[-1] == "type":
        return f"Which kind of {path[-2]}."
    return next((text for kind in structs_at(path) if (text := described(kind).get(path[-1]))), "")


def settings() -> str:
    """Every setting by section: name, default, meaning."""
    return "\n".join(_settings())


def _settings() -> Iterator[str]:
    section, seen = None, set[str]()
    for setting in sorted(each_setting(), key=lambda setting: setting.name.count(".") > 0):
        head, _, name = setting.name.rpartition(".")
        if setting.name in seen:  # every kind of store names what they share
            continue
        seen.add(setting.name)
        if head != section:
            section = head
            yield from ("", f"### `[{head}]`" if head else "### At the top", "")
            yield from ("| setting | default | what it is |", "| --- | --- | --- |")
        meaning = description(setting).replace("|", "\\|")
        yield f"| `{name}` | `{setting.default}` | {meaning} |"
    yield ""


def protocols() -> str:
    """Every protocol that a package exports: its name, its package, its first sentence."""
    rows = (f"| `{name}` | [{package}]({package}.md) | {told} |" for name, package, told in exported_protocols())
    return "\n".join(["", "| protocol | package | what |", "| --- | --- | --- |", *rows, ""])


def exported_protocols() -> list[tuple[str, str, str]]:
    """Return name, package and first sentence of every protocol that somebody may fit a part of their own to."""
    found: dict[str, tuple[str, str]] = {}
    for info in pkgutil.walk_packages(bespeak.__path__, "bespeak."):
        module = importlib.import_module(info.name) if "__main__" not in info.name else bespeak
        package = info.name.split(".")[1]
        names = getattr(module, "__all__", None) or (vars(module) if info.name.count(".") == 1 else ())
        for name in names:
            value = getattr(module, name)
            if getattr(value, "_is_protocol", False) and value.__module__.startswith("bespeak."):
                found.setdefault(name, (package, (inspect.getdoc(value) or "").partition("\n")[0]))
    return sorted((name, *told) for name, told in found.items())


def columns() -> str:
    """Every column of an archived event: its name, its type, what it says."""
    rows = (f"| `{one.name}` | `{one.kind}` | {one.about} |" for one in COLUMNS)
    return "\n".join(["", "| column | type | what it says |", "| --- | --- | --- |", *rows, ""])


TABLES: dict[str, Callable[[], str]] = {"columns": columns, "protocols": protocols, "settings": settings}


def filled(page: str) -> str:
    """Return a page with its tables as the code has them now."""
    return _PLACE.sub(lambda match: f"{match[1]}{TABLES[match['name']]()}\n{match[3]}", page)


def main() -> int:
    """Rewrite the pages that hold tables; say which changed."""
    for path in sorted(DOCS.rglob("*.md")):
        old = path.read_text()
        new = filled(old)
        if new != old:
            path.write_text(new)
            sys.stdout.write(f"{path.relative_to(DOCS)}: written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
