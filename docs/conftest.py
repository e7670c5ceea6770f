"""Runs the examples in the documentation: the `python` blocks of each page, in their order, prompts included."""

from __future__ import annotations

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE

import pytest
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | NORMALIZE_WHITESPACE), SkipParser()],
    patterns=["*.md"],
).pytest()

# What writes the tables is a script, not a test.
collect_ignore = ["tables.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the examples of a page back into their order: each goes on from those before it, whatever shuffles tests."""
    places = [place for place, item in enumerate(items) if isinstance(item, SybilItem)]
    examples = sorted((items[place] for place in places), key=lambda item: (str(item.path), item.location[1] or 0))
    for place, item in zip(places, examples, strict=True):
        items[place] = item
