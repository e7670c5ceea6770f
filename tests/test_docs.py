"""Nothing public is undocumented: the code is asked for its words, and the pages must have them."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import pkgutil
import re
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import get_args

import httpx
import msgspec
import pytest

import bespeak
from bespeak import conditions
from bespeak.cli.words import every_verb
from bespeak.engine import Engine, definitions_in
from bespeak.engine.site import build
from bespeak.events import event, vocabulary
from bespeak.privacy import SCOPES
from bespeak.server import create_app
from bespeak.settings import Settings, each_setting
from bespeak.stores import MemorySettings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def load_tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bespeak_docs_tables", DOCS / "tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables = load_tables()


@cache
def told() -> str:
    """Return all headings and table rows: where a reader looks a word up."""
    text = "\n".join(page.read_text() for page in PAGES)
    return "\n".join(line for line in text.splitlines() if line.startswith(("#", "|")))


def undocumented(words: list[str]) -> list[str]:
    return [word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", told())]


@cache
def modules() -> tuple[ModuleType, ...]:
    names = (info.name for info in pkgutil.walk_packages(bespeak.__path__, "bespeak.") if "__main__" not in info.name)
    return tuple(importlib.import_module(name) for name in names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_tables_of_a_page_are_what_the_code_says(page: Path) -> None:
    assert tables.filled(page.read_text()) == page.read_text(), "run: python docs/tables.py"


@pytest.mark.parametrize("setting", list(each_setting()), ids=lambda setting: setting.name)
def test_a_setting_says_what_it_is(setting: object) -> None:
    assert tables.description(setting), f"{setting}: its type's docstring has no line for it under Parameters"


def test_every_setting_has_its_row() -> None:
    assert undocumented([setting.name.rpartition(".")[2] for setting in each_setting()]) == []


def test_every_event_name_is_documented() -> None:
    names = [value for name, value in vars(vocabulary).items() if name.isupper() and isinstance(value, str)]
    assert names
    assert undocumented([*names, *event.NAMES.values(), *event.EVENT_TYPES]) == []


def test_every_kind_of_condition_and_aggregate_is_documented() -> None:
    kinds = [kind for union in (conditions.Condition, conditions.Aggregate) for kind in get_args(union)]
    tags = [str(kind.__struct_config__.tag) for kind in kinds if issubclass(kind, msgspec.Struct)]
    assert len(tags) > 5
    assert undocumented(tags) == []


def test_every_protocol_is_documented() -> None:
    protocols = [name for name, _package, _told in tables.exported_protocols()]
    assert {"Clock", "Recommender", "Store", "Visitor"} <= set(protocols)
    assert undocumented(protocols) == []


def test_every_public_package_is_in_the_api_reference() -> None:
    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    packages = [info.name for info in pkgutil.iter_modules(bespeak.__path__) if info.name != "__main__"]
    assert [name for name in packages if not re.search(rf"^::: bespeak\.{name}\b", pages, re.MULTILINE)] == []


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert [str(page.relative_to(DOCS)) for page in PAGES if str(page.relative_to(DOCS)) not in nav] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_definitions_that_a_page_shows_can_be_applied(page: Path, tmp_path: Path) -> None:
    shown = re.findall(r'^```yaml title="([\w-]+/[\w.-]+)"\n(.*?)^```$', page.read_text(), re.MULTILINE | re.DOTALL)
    for name, text in shown:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    if shown:
        assert build(definitions_in(tmp_path))


def test_every_endpoint_is_documented() -> None:
    app = create_app(Engine.open(Settings(store=MemorySettings())))

    async def openapi() -> dict[str, dict[str, object]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bespeak") as client:
            return (await client.get("/openapi.json")).json()

    paths = asyncio.run(openapi())["paths"]
    assert "/v1/decide" in paths
    pages = "\n".join(page.read_text() for page in PAGES)
    assert [path for path in paths if path not in pages] == []


def test_every_scope_is_documented() -> None:
    assert undocumented(list(SCOPES)) == []


def test_every_verb_of_the_command_line_is_documented() -> None:
    assert "serve" in every_verb()
    assert undocumented(every_verb()) == []


def test_every_name_that_a_package_exports_is_there() -> None:
    for module in modules():
        missing = [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]
        assert not missing, f"{module.__name__}.__all__ names {missing}"


def test_the_pages_and_the_readme_link_to_files_that_exist() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [*PAGES, *ROOT.glob("*.md")]
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert broken == []
