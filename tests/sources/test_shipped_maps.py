"""The maps of public data sets: every record is there, joined as pandas joins the same files."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bespeak.sources import Summary, import_files, load_map

pytestmark = pytest.mark.data


def run(into: Any, folder: Path, name: str) -> Summary:
    rejected: list[object] = []
    summary = asyncio.run(import_files(into, [folder], load_map(name), received=0, reject=rejected.append))
    assert rejected == []
    assert summary.read == summary.accepted
    return summary


def test_every_purchase_of_cdnow_is_an_order(into: Any, require_data: Callable[[str], Path]) -> None:
    summary = run(into, require_data("cdnow"), "cdnow")
    assert summary.targets == {"events": 69_659}
    assert len({event.user_id for event in into.events}) == 23_570
    assert sum(event.properties["quantity"] for event in into.events) == 167_881
    assert round(sum(event.properties["revenue"] for event in into.events), 2) == 2_500_315.63


def test_every_click_of_yoochoose_is_in_its_session(into: Any, require_data: Callable[[str], Path]) -> None:
    folder = require_data("yoochoose_100k")
    summary = run(into, folder, "yoochoose_100k")
    assert (summary.read, summary.items) == (70_278 + 13_568, 2_933)
    clicks = pd.concat(pd.read_csv(file, sep="\t") for file in sorted(folder.glob("*.tsv.gz")))
    found = Counter((event.anonymous_id, event.time) for event in into.events)
    micros = (clicks["Time"] * 1_000).round().astype("int64") * 1_000
    assert found == Counter(zip(clicks["SessionId"].astype(str), micros, strict=True))


def test_every_visit_of_msweb_has_its_visitor_and_its_title(into: Any, require_data: Callable[[str], Path]) -> None:
    folder = require_data("msweb")
    assert run(into, folder, "msweb").read == 98_654
    lines = pd.read_csv(folder / "anonymous-msweb.data.gz", names=list("kabtux"), dtype=str)
    areas = lines[lines["k"] == "A"].set_index("a")["t"]
    visitor = lines["a"].where(lines["k"] == "C").ffill()
    visits = lines[lines["k"] == "V"].assign(visitor=visitor)
    assert visits["visitor"].nunique() == 32_711
    expected = Counter(zip(visits["visitor"], visits["a"].map(areas), strict=True))
    assert Counter((event.anonymous_id, event.properties["title"]) for event in into.events) == expected


def test_the_journey_of_a_household_is_joined_from_six_files(into: Any, require_data: Callable[[str], Path]) -> None:
    folder = require_data("complete_journey")
    summary = run(into, folder, "complete_journey")
    assert summary.targets == {"traits": 801, "events": 75_000 + 6_589 + 2_102}
    lines = pd.read_csv(folder / "transactions_sample.csv.gz").merge(
        pd.read_csv(folder / "products.csv.gz"), on="product_id", how="left"
    )
    found = pd.DataFrame([event.properties for event in into.events if event.name == "Product Bought"])
    assert found["department"].value_counts().to_dict() == lines["department"].value_counts().to_dict()
    assert found["sales_value"].sum() == pytest.approx(lines["sales_value"].sum())
    kinds = pd.read_csv(folder / "campaigns.csv.gz").merge(
        pd.read_csv(folder / "campaign_descriptions.csv.gz"), on="campaign_id"
    )
    sent = Counter(event.properties["campaign_type"] for event in into.events if event.name == "Campaign Received")
    assert sent == Counter(kinds["campaign_type"])
