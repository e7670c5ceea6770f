"""The pages about rules and experiments name every field."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bespeak.experiments import Experiment
from bespeak.rules import Boost, Filter, Pin

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    "page, kind", [("rules.md", Filter), ("rules.md", Boost), ("rules.md", Pin), ("experiments.md", Experiment)]
)
def test_every_field_has_its_row(page, kind):
    rows = "\n".join(line for line in (DOCS / page).read_text().splitlines() if line.startswith("|"))
    fields = {field.encode_name for field in msgspec.structs.fields(kind)} - {"version"}
    assert {name for name in fields if f"`{name}`" not in rows} == set()
