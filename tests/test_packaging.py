"""What is installed is what was declared: the locks hold every dependency, by hash, from no particular place."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import bespeak

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ["requirements.txt", "requirements-dev.txt"]


def pins_in(lock: str) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        if found := re.match(r"^([A-Za-z0-9._-]+)==([^ ;]+)", line):
            pins.setdefault(canonicalize_name(found[1]), set()).add(found[2])
    return pins


def declared(lock: str) -> list[Requirement]:
    groups = PROJECT["dependency-groups"]
    dev = [] if lock == "requirements.txt" else [*groups["test"], *groups["lint"], *groups["docs"]]
    return [Requirement(line) for line in [*PROJECT["project"]["dependencies"], *groups["build"], *dev]]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_every_dependency_in_a_version_that_the_project_accepts(lock: str) -> None:
    pins = pins_in(lock)
    for requirement in declared(lock):
        versions = pins.get(canonicalize_name(requirement.name), set())
        assert versions, f"{lock} lacks {requirement.name}: run ./.ci/lock"
        assert all(requirement.specifier.contains(version) for version in versions), f"{requirement} is {versions}"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_checks_every_package_by_hash_and_names_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text
    assert "--index-url" not in text
    assert "--find-links" not in text


def test_what_runs_is_what_was_tested() -> None:
    tested = pins_in("requirements-dev.txt")
    assert all(versions <= tested[name] for name, versions in pins_in("requirements.txt").items())


def test_no_lock_holds_torch() -> None:
    assert not any("torch" in pins_in(lock) for lock in LOCKS)


def test_every_file_that_the_code_reads_is_installed_with_it() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    files = [path for path in (ROOT / "src" / "bespeak").rglob("*") if path.is_file()]
    data = [path for path in files if path.suffix not in {".py", ".pyc"}]
    assert [path.name for path in data if not any(path.match(pattern.rpartition("/")[2]) for pattern in patterns)] == []


def test_the_package_knows_its_version() -> None:
    assert bespeak.__version__ == PROJECT["project"]["version"]


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == PROJECT["project"]["version"]


def imported_by(folder: str) -> set[str]:
    """Return the packages that the files of a folder import, but for those of Python, of the project and of its own."""
    files = list((ROOT / folder).rglob("*.py"))
    trees = [ast.parse(path.read_text()) for path in files]
    names = {
        name.partition(".")[0]
        for tree in trees
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    return names - sys.stdlib_module_names - {"bespeak"} - {path.stem for path in files}


@pytest.mark.parametrize("folder", ["tests", "docs", "benchmarks"])
def test_what_tests_and_pages_import_is_declared(folder: str) -> None:
    given_by = {
        "sklearn": "scikit-learn",
        "segment": "segment-analytics-python",
        "yaml": "pyyaml",
        "liquid": "python-liquid",
    }
    names = {canonicalize_name(given_by.get(name, name)) for name in imported_by(folder)}
    assert names <= {canonicalize_name(requirement.name) for requirement in declared("requirements-dev.txt")}


def test_every_extra_brings_something_that_the_code_imports() -> None:
    for extra, lines in PROJECT["project"].get("optional-dependencies", {}).items():
        for line in lines:
            module = Requirement(line).name.replace("-", "_")
            assert any(
                re.search(rf"^\s*(import|from) {module}\b", path.read_text(), re.MULTILINE)
                for path in (ROOT / "src").rglob("*.py")
            ), f"extra {extra!r}: nothing imports {module}"
