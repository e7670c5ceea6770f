"""Counters, gauges and histograms, named by Prometheus' conventions: what `/metrics` and the live view show."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping

COUNTERS: dict[str, str] = {
    "bespeak_events_accepted_total": "Events folded and queued for the log.",
    "bespeak_events_duplicate_total": "Events that had been here before.",
    "bespeak_events_refused_total": "Events that consent, or an erasure since, did not allow.",
    "bespeak_events_rejected_total": "Events that were not well formed; they are in the quarantine.",
    "bespeak_decisions_total": "Decisions answered.",
    "bespeak_decision_cpu_seconds_total": "CPU seconds that decisions have taken in all.",
    "bespeak_decisions_default_total": "Decisions answered without the profile (no consent, nobody known, no time).",
    "bespeak_decisions_unrecorded_total": "Decisions answered and not written to the log, since the disk was behind.",
    "bespeak_segment_changes_total": "Times that somebody entered or left a segment.",
    "bespeak_erasures_total": "People erased.",
    "bespeak_models_rebuilt_total": "Times that the models were built anew from the log.",
    "bespeak_commit_failures_total": "Commits that failed and were undone.",
    "bespeak_checkpoints_total": "Checkpoints written.",
    "bespeak_archive_failures_total": "Times that the archive could not be written; it is tried again.",
    "bespeak_retention_failures_total": "Times that old rows of the log could not be dropped; it is tried again.",
    "bespeak_borders_drawn_total": "Times that borders of quintiles were drawn, by themselves or by hand.",
    "bespeak_borders_failures_total": "Times that borders could not be drawn by themselves; it is tried again.",
}
GAUGES: dict[str, str] = {
    "bespeak_profiles": "Profiles held.",
    "bespeak_items": "Items in the catalog.",
    "bespeak_log_offset": "Offset of the newest durable record.",
    "bespeak_profiles_live": "Profiles in RAM.",
    "bespeak_quarantine": "Rejected things kept.",
    "bespeak_queue_bytes": "Bytes of log rows that wait for the disk.",
    "bespeak_archive_offset": "Offset up to which the log is in files of the archive.",
    "bespeak_log_dropped_offset": "Offset up to which rows of the log were dropped for their age.",
    "bespeak_segment_members": "Members by segment.",
    "bespeak_borders_drawn_timestamp_seconds": "As of when the borders in force were drawn, by computed trait.",
    "bespeak_borders_people_left": "People who are left to look at for the borders that are being drawn.",
    "bespeak_definitions_preparing": "Definitions that are not in force yet, since history is counted for them.",
    "bespeak_definitions_preparing_records": "Records of the log that are left to count for them.",
}
HISTOGRAMS: dict[str, str] = {
    "bespeak_request_duration_seconds": "Seconds that a request took, to the end of its answer, by kind of endpoint.",
    "bespeak_commit_duration_seconds": "Seconds that a commit took, until it was synced or failed.",
}
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of every histogram, in seconds; one more holds what took longer."""


class Histogram:
    """How often something took how long. One thread observes; another may read, and sees each observation or not.

    Examples
    --------
    >>> took = Histogram()
    >>> for seconds in (0.001, 0.004, 60.0):
    ...     took.observe(seconds)
    >>> took.cumulative()[:3], took.count, took.sum
    ([1, 1, 2], 3, 60.005)
    """

    __slots__ = ("_counts", "sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Note that it took so long once more."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> list[int]:
        """Return for each of `BOUNDS`, and then for no bound at all, how often it took at most so long."""
        total = 0
        return [total := total + count for count in self._counts]

    @property
    def count(self) -> int:
        """How often it was observed."""
        return sum(self._counts)


class Metrics:
    """Counters that only go up, gauges that are read when asked, and histograms."""

    def __init__(self) -> None:
        self.requests = {kind: Histogram() for kind in ("decisions", "events", "other")}
        self.commits = Histogram()
        self.counters: dict[str, float] = dict.fromkeys(COUNTERS, 0)
        self.gauges: Callable[[], Mapping[str, float]] = dict

    def add(self, name: str, amount: float = 1) -> None:
        """Count up; the name is one of `COUNTERS`."""
        self.counters[name] += amount

    def request(self, kind: str, seconds: float) -> None:
        """Note how long a request took; the kind is one of `requests`."""
        self.requests[kind].observe(seconds)

    def histograms(self) -> dict[str, dict[str, Histogram]]:
        """Return the histograms by name, then by their labels as they stand between braces; empty for none."""
        requests = {f'kind="{kind}"': one for kind, one in self.requests.items()}
        return {"bespeak_request_duration_seconds": requests, "bespeak_commit_duration_seconds": {"": self.commits}}

    def snapshot(self) -> dict[str, float]:
        """Return every figure by its name, labels included (`bespeak_segment_members{segment="x"}`)."""
        return {**self.counters, **self.gauges()}
