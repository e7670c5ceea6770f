"""What every test shares: which tests need more than Python, and what the summary says about the rest."""

from __future__ import annotations

import gc
import os
import shutil

import pytest
from hypothesis import settings

# No deadline: two noisy cores make a slow example say nothing about the code.
# The same examples in every run: a law that fails here fails everywhere, and a run that passed passes again.
settings.register_profile("bespeak", deadline=None, max_examples=100, print_blob=True, derandomize=True)
settings.register_profile("all", deadline=None, max_examples=400, print_blob=True, derandomize=True)
settings.load_profile("bespeak")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", default=False, help="run what is slow, too")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--all"):
        settings.load_profile("all")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    failed = os.environ.get("BESPEAK_FAILED", "").strip()
    if failed:
        terminalreporter.section("before the tests", red=True, bold=True)
        terminalreporter.line(f"FAILED: {failed} (its output is above the tests)")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("BESPEAK_FAILED", "").strip() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure() -> None:
    gc.unfreeze()  # a server in here has frozen what was there; behind the summary DuckDB would call that a leak


def _chromium() -> str | None:
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    return next((path for path in found if path), None)
