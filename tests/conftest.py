"""What every test shares: which tests need more than Python, and what the summary says about the rest."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

THOROUGH = 500
"""Examples of each law with `--all`."""

QUICK = {"bespeak": 100, "few": 50, "fewest": 15}
"""Examples without it, by profile. A law with dear examples says `@settings.get_profile("few")`, never a number."""

MANY = 3_000
"""Examples of a test that looks at what the examples themselves come to."""

TOLD = pytest.StashKey[dict[str, list[str]]]()


def register(*, thorough: bool) -> None:
    # No deadline: two noisy cores make a slow example say nothing about the code.
    # The same examples in every run: a law that fails here fails everywhere, and a run that passed passes again.
    for name, examples in QUICK.items():
        examples = THOROUGH if thorough else examples  # noqa: PLW2901  the same name for the same thing
        settings.register_profile(name, deadline=None, max_examples=examples, print_blob=True, derandomize=True)
    settings.register_profile("many", deadline=None, max_examples=MANY, derandomize=True, database=None)
    settings.load_profile("bespeak")


register(thorough=False)


@pytest.fixture(scope="session", autouse=True)
def _generators_of_laws() -> None:
    """The first law looks up who holds the random generators; after a server has frozen what there is, nobody would."""

    @settings(max_examples=1, database=None)
    @given(st.none())
    def law(_: None) -> None:
        pass

    law()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", default=False, help="run what is slow, too")
    parser.addoption("--seed", type=int, default=None, help="live through the simulated months of this seed, only")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TOLD] = {}
    register(thorough=config.getoption("--all"))


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[..., None]:
    """Say something in a section of its own at the end of the run, also when everything went well."""

    def say(section: str, *lines: str) -> None:
        pytestconfig.stash[TOLD].setdefault(section, []).extend(lines)

    return say


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--seed") is not None:
        others = [item for item in items if item.get_closest_marker("world") is None]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    if config.getoption("--all") or "slow" in (config.getoption("-m") or ""):
        return
    skip = pytest.mark.skip(reason="slow: ./test --all runs it")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and not _chromium():
        missing = "no Chromium on this machine: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for section, lines in sorted(config.stash[TOLD].items()):
        terminalreporter.section(section)
        for line in lines:
            terminalreporter.line(line)
    failed = os.environ.get("BESPEAK_FAILED", "").strip()
    if failed:
        terminalreporter.section("before the tests", red=True, bold=True)
        terminalreporter.line(f"FAILED: {failed} (its output is above the tests)")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:  # one of two processes: the first tells
        output["told"] = session.config.stash[TOLD]
        return
    if os.environ.get("BESPEAK_FAILED", "").strip() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for section, lines in getattr(node, "workeroutput", {}).get("told", {}).items():
        node.config.stash[TOLD].setdefault(section, []).extend(lines)


def pytest_unconfigure() -> None:
    gc.unfreeze()  # a server in here has frozen what was there; behind the summary DuckDB would call that a leak


def _chromium() -> str | None:
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next((path for path in found if path), None)
