"""/health, /ready and /metrics."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from bespeak.engine import BOUNDS, COUNTERS, HISTOGRAMS, Histogram
from bespeak.server.health import exposition

_SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"]*"\})? -?[0-9.e+-]+$')


def test_families_have_their_type_once_and_every_line_is_prometheus_text() -> None:
    figures = {
        "bespeak_decisions_total": 3.0,
        'bespeak_segment_members{segment="a"}': 1.0,
        'bespeak_segment_members{segment="b"}': 2.5,
        "bespeak_profiles": 1e9,
    }
    lines = exposition(figures).splitlines()
    assert [line for line in lines if not line.startswith("#") and not _SAMPLE.match(line)] == []
    types = [line for line in lines if line.startswith("# TYPE")]
    assert types == [
        "# TYPE bespeak_decisions_total counter",
        "# TYPE bespeak_profiles gauge",
        "# TYPE bespeak_segment_members gauge",
    ]
    assert 'bespeak_segment_members{segment="b"} 2.5' in lines
    assert "bespeak_profiles 1000000000" in lines


def parsed(text: str) -> tuple[dict[str, str], dict[str, str], dict[str, list[tuple[dict[str, str], float]]]]:
    """Read Prometheus' text format 0.0.4 strictly: help and type by family, then its samples, nothing else."""
    helps: dict[str, str] = {}
    types: dict[str, str] = {}
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    assert text.endswith("\n")
    family = ""
    for line in text.splitlines():
        if comment := re.fullmatch(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)", line):
            kind, family, said = comment.groups()
            into = helps if kind == "HELP" else types
            assert family not in into, f"{family} has one {kind}"
            assert family not in samples, "both stand before the samples"
            into[family] = said
            continue
        match = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)", line)
        assert match, line
        name, labels, value = match.groups()
        parts = {f"{family}{ending}" for ending in ("_bucket", "_sum", "_count")}
        expected = parts if types.get(family) == "histogram" else {family}
        assert name in expected, f"{name}: samples of a family stand together behind its type"
        name = family
        pairs = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)', labels or "")
        assert sum(len(f'{key}="{said}"') for key, said in pairs) + max(0, len(pairs) - 1) == len(labels or "")
        samples.setdefault(name, []).append((dict(pairs), float(value)))
    return helps, types, samples


@pytest.mark.server
def test_names_follow_the_conventions_of_prometheus(site: Any) -> None:
    """Prometheus documentation, "Metric and label naming": prefix, base units, `_total` on counters and on no gauge."""
    answer = site.open.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    helps, types, samples = parsed(answer.text)
    assert set(helps) == set(types) == set(samples), "every family has its help, its type and a value"
    assert {name for name, kind in types.items() if kind == "histogram"} == set(HISTOGRAMS)
    for name, kind in types.items():
        assert re.fullmatch(r"bespeak(_[a-z0-9]+)+", name), name
        assert (kind == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|kib|mb|percent|count|sum|bucket)(_|$)", name), name
        assert helps[name].endswith("."), name
        assert kind != "histogram" or name.endswith("_seconds"), name
    assert all(value >= 0 for family in samples.values() for _, value in family)


@pytest.mark.server
def test_the_official_client_reads_it_and_finds_histograms_whole(site: Any) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not installed")
    site.write.post("/v1/track", json={"type": "track", "anonymousId": "ada", "event": "X"})
    text = site.open.get("/metrics").text
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    named = {name.removesuffix("_total") for name in parsed(text)[1]}
    assert set(families) == named
    assert {family.type for family in families.values()} == {"counter", "gauge", "histogram"}
    for name in HISTOGRAMS:
        whole: dict[str, list[tuple[str, float]]] = {}
        counts: dict[str, float] = {}
        for sample in families[name].samples:
            kind = sample.labels.get("kind", "")
            if sample.name.endswith("_bucket"):
                whole.setdefault(kind, []).append((sample.labels["le"], sample.value))
            elif sample.name.endswith("_count"):
                counts[kind] = sample.value
        assert set(whole) == set(counts)
        for kind, buckets in whole.items():
            assert [float(bound) for bound, _ in buckets] == [*BOUNDS, float("inf")]
            values = [value for _, value in buckets]
            assert values == sorted(values), "buckets are cumulative"
            assert values[-1] == counts[kind]
        assert counts.get("events", counts.get("", 0)) > 0


def test_a_histogram_counts_each_observation_in_its_bucket_and_all_above() -> None:
    took = Histogram()
    for seconds in (0.0, 0.001, 0.0011, 9.0, 11.0):
        took.observe(seconds)
    lines = exposition({}, {"bespeak_commit_duration_seconds": {"": took}}).splitlines()
    assert lines[1] == "# TYPE bespeak_commit_duration_seconds histogram"
    found = dict(line.rsplit(" ", 1) for line in lines[2:])
    assert found['bespeak_commit_duration_seconds_bucket{le="0.001"}'] == "2"
    assert found['bespeak_commit_duration_seconds_bucket{le="0.0025"}'] == "3"
    assert found['bespeak_commit_duration_seconds_bucket{le="5.0"}'] == "3"
    assert found['bespeak_commit_duration_seconds_bucket{le="10.0"}'] == "4"
    assert found['bespeak_commit_duration_seconds_bucket{le="+Inf"}'] == "5"
    assert found["bespeak_commit_duration_seconds_count"] == "5"
    assert float(found["bespeak_commit_duration_seconds_sum"]) == pytest.approx(20.0021)


@pytest.mark.server
def test_each_request_and_each_commit_is_observed_once(site: Any) -> None:
    def counts() -> dict[str, float]:
        lines = site.open.get("/metrics").text.splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines) if "_count" in name}

    event = {"type": "track", "anonymousId": "ada", "event": "X"}
    before = counts()
    site.write.post("/v1/track/", json=event)
    site.write.post("/v1/batch", json={"batch": [event]})
    site.write.post("/v1/decide", json={"anonymousId": "ada", "slots": [{"id": "home"}]})
    site.secret.get("/v1/nothing")
    after = counts()
    name = "bespeak_request_duration_seconds_count"
    grown = {key: after[key] - before[key] for key in before}
    assert grown[f'{name}{{kind="events"}}'] == 2
    assert grown[f'{name}{{kind="decisions"}}'] == 1
    assert grown[f'{name}{{kind="other"}}'] == 2, "one that is not there, and the figures themselves"
    assert grown["bespeak_commit_duration_seconds_count"] >= 2


@pytest.mark.server
def test_the_counters_count_what_was_sent(site: Any) -> None:
    def figures() -> dict[str, float]:
        text = site.open.get("/metrics").text
        return {name: float(value) for name, value in (line.split() for line in text.splitlines() if line[0] != "#")}

    before = figures()
    assert set(COUNTERS) <= set(before)
    event = {"type": "track", "anonymousId": str(uuid.uuid4()), "event": "X", "messageId": str(uuid.uuid4())}
    site.write.post("/v1/batch", json={"batch": [event, event, {"type": "track"}]})
    after = figures()
    grown = {name: after[name] - before[name] for name in COUNTERS if name.startswith("bespeak_events")}
    assert grown == {
        "bespeak_events_accepted_total": 1,
        "bespeak_events_duplicate_total": 1,
        "bespeak_events_refused_total": 0,
        "bespeak_events_rejected_total": 1,
    }


@pytest.mark.server
def test_it_is_alive_and_ready(site: Any) -> None:
    assert site.open.get("/health").json()["service"] == "bespeak"
    assert site.open.get("/ready").json() == {"status": "ready"}
