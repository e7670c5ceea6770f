"""On real input: what was imported is what the file holds, counted by pandas, and one more click changes the page."""

from __future__ import annotations

import gzip
from pathlib import Path
from random import Random

import pandas as pd
import pytest

from bespeak.clock import DAY, ManualClock, parse_time
from bespeak.decide import DecideRequest, SlotRequest
from bespeak.engine import Definition, Engine
from bespeak.events import Event, Parsed
from bespeak.privacy import Key
from bespeak.settings import Settings
from bespeak.sources import import_files, load_map
from bespeak.stores import MemorySettings
from bespeak.testing.data import data_dir

pytestmark = [pytest.mark.anyio, pytest.mark.data]

SEGMENTS = {
    "sale_fans": 'count("Product Viewed" where properties.category = "sale") >= 3',
    "busy_days": 'count("Product Viewed", last 1 day) >= 10'
    ' and performed("Product Viewed" where properties.price > 60)',
}


@pytest.fixture
def data() -> Path:
    folder = data_dir()
    if folder is None:
        pytest.skip("no real data here: set BESPEAK_DATA to the folder that holds eshop_clothing and ml-100k")
    return folder


async def imported(files: list[Path], name: str, at: str) -> tuple[Engine, Key]:
    engine = Engine.open(Settings(store=MemorySettings()), clock=ManualClock(parse_time(at)), rng=Random(0))
    await engine.start()
    key, _ = await engine.create_key("secret", "test")
    await engine.apply([Definition(kind="segments", id=n, body={"id": n, "condition": c}) for n, c in SEGMENTS.items()])
    rejected: list[object] = []
    now = engine.clock.now()
    summary = await import_files(engine, files, load_map(name), received=now, reject=rejected.append)
    assert len(rejected) == summary.rejected == 0
    assert summary.read == summary.accepted + summary.duplicate + summary.rejected
    again = await import_files(engine, files, load_map(name), received=now, reject=rejected.append)
    assert (again.read, again.accepted, again.rejected) == (summary.read, 0, summary.rejected)
    return engine, key


async def test_all_clicks_of_a_shop_import_and_its_segments_equal_pandas(data: Path) -> None:
    file = data / "eshop_clothing" / "e-shop_clothing_2008.csv.gz"
    clicks = pd.read_csv(file)
    engine, key = await imported([file], "eshop_clothing", "2008-09-01")
    try:
        assert engine.metrics.snapshot()["bespeak_profiles"] == clicks["session ID"].nunique() == 24_026
        assert sum(profile.counts["Product Viewed"] for profile in engine.profiles()) == len(clicks) == 165_474
        by_session = clicks.groupby("session ID")
        sale = (clicks["page 1 (main category)"] == 4).groupby(clicks["session ID"]).sum()
        assert engine.segment_sizes()["sale_fans"] == int((sale >= 3).sum())
        # Windows are asked as of a moment: the end of each of five days.
        busy = set(by_session.size()[by_session.size() >= 10].index) & set(clicks[clicks["price"] > 60]["session ID"])
        days = clicks.groupby("session ID")[["year", "month", "day"]].first()
        for month, day in ((4, 1), (5, 12), (6, 30), (7, 15), (8, 10)):
            members = days[(days["month"] == month) & (days["day"] == day)].index
            noon = parse_time(f"2008-{month:02d}-{day:02d}T12:00:00")
            assert await engine.segment_count("busy_days", at=noon) == len(busy & set(members))
        assert engine.segment_sizes()["busy_days"] == 0, "a day's window was left long ago"
        _one_more_click_changes_the_page(engine, key, clicks)
    finally:
        await engine.close()


def _one_more_click_changes_the_page(engine: Engine, key: Key, clicks: pd.DataFrame) -> None:
    """Asked as of their last click, 100 real sessions click one item of what they are shown, and are asked again."""
    sizes = clicks["session ID"].value_counts()
    sessions = sizes[sizes.between(3, 30)].sample(100, random_state=0).index
    rng = Random(0)
    reordered = 0
    for session in map(str, sessions):
        profile = engine.find(session)
        assert profile is not None
        before = _page(engine, key, session, profile.last_seen)
        seen = {row.item for row in profile.recent}
        model = rng.choice([item for item in before if item not in seen])
        click = Event(
            type="track",
            name="Product Viewed",
            message_id=f"more-{session}",
            time=profile.last_seen + 1_000_000,
            received=profile.last_seen + DAY,
            anonymous_id=session,
            properties={"product_id": model},
        )
        engine.accept(Parsed(events=(click,), indexes=(0,)), key)
        after = _page(engine, key, session, click.time)
        assert after != before, "the scores and the reasons"
        reordered += list(after) != list(before)
    assert reordered == 100, "and the items themselves, or their order"


def _page(engine: Engine, key: Key, session: str, at: int) -> dict[str, tuple[object, ...]]:
    slots = (SlotRequest(id="home", n=10),)
    request = DecideRequest(anonymous_id=session, slots=slots, context={"at": at}, explain=True)
    return {item.item: (item.score, item.why) for item in engine.decide(request, key=key).slots["home"].items}


async def test_movielens_imports_with_its_people_and_items_and_recommends_with_reasons(data: Path) -> None:
    folder = data / "ml-100k"
    files = [folder / "u.data.gz", folder / "u.user", folder / "u.item"]
    engine, key = await imported(files, "ml-100k", "1998-05-01")
    try:
        assert len(engine.catalog) == 1_682
        assert engine.metrics.snapshot()["bespeak_profiles"] == 943
        ratings = pd.read_csv(folder / "u.data.gz", sep="\t", names=["user", "item", "rating", "ts"])
        for user in (1, 196, 943):
            profile = engine.find(str(user))
            assert profile is not None
            assert profile.counts["Product Rated"] == int((ratings["user"] == user).sum())
        with gzip.open(files[0], "rt") as lines:
            assert sum(1 for _ in lines) == len(ratings)
        raw = (folder / "u.user").read_text().splitlines()[0].split("|")
        first = engine.profile("1")
        assert first is not None
        assert (first["traits"]["age"], first["traits"]["gender"], first["traits"]["occupation"]) == (
            int(raw[1]),
            raw[2],
            raw[3],
        )
        request = DecideRequest(user_id="196", slots=(SlotRequest(id="films", n=10),), explain=True)
        items = engine.decide(request, key=key).slots["films"].items
        assert len(items) == 10
        seen = {row.item for row in (engine.find("196") or profile).recent}
        for item in items:
            assert item.source in {"seqknn", "trending"}
            assert item.source == "trending" or item.why[0].item in seen
    finally:
        await engine.close()
