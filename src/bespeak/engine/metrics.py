"""Counters and gauges, named by Prometheus' conventions; `/metrics` and the live view show these same figures."""

from __future__ import annotations

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
}
GAUGES: dict[str, str] = {
    "bespeak_profiles": "Profiles held.",
    "bespeak_items": "Items in the catalog.",
    "bespeak_log_offset": "Offset of the newest durable record.",
    "bespeak_profiles_live": "Profiles in RAM.",
    "bespeak_quarantine": "Rejected things kept.",
    "bespeak_queue_bytes": "Bytes of log rows that wait for the disk.",
    "bespeak_segment_members": "Members by segment.",
}


class Metrics:
    """Counters that only go up, and gauges that are read when asked."""

    def __init__(self) -> None:
        self.counters: dict[str, float] = dict.fromkeys(COUNTERS, 0)
        self.gauges: Callable[[], Mapping[str, float]] = dict

    def add(self, name: str, amount: float = 1) -> None:
        """Count up; the name is one of `COUNTERS`."""
        self.counters[name] += amount

    def snapshot(self) -> dict[str, float]:
        """Return every figure by its name, labels included (`bespeak_segment_members{segment="x"}`)."""
        return {**self.counters, **self.gauges()}
