"""What can be seen of the state: what happens, for whoever watches, and a few figures."""

from __future__ import annotations

from collections.abc import Mapping

from bespeak.catalog import Catalog
from bespeak.engine.feed import Feed, Live
from bespeak.engine.metrics import Metrics
from bespeak.engine.sequencer import Sequencer, Taken
from bespeak.engine.site import Registry
from bespeak.engine.writer import Writer
from bespeak.events import Event
from bespeak.segments import Change
from bespeak.settings import Settings


class Shown:
    """Shows what its heirs hold."""

    settings: Settings
    metrics: Metrics
    registry: Registry
    catalog: Catalog
    sequencer: Sequencer
    _feed: Feed
    _offset: int
    _quarantined: int
    _writer: Writer | None

    def _show(self, event: Event, taken: Taken) -> None:
        if taken.profile is not None:
            self._feed.push(Live("event", event.time, taken.profile, event.name, {"type": event.type}))

    def _publish(self, changes: tuple[Change, ...]) -> None:
        if not changes:
            return
        self.metrics.add("bespeak_segment_changes_total", len(changes))
        if self._feed.watched:
            for change in changes:
                detail = {"entered": change.entered, "why": change.why}
                self._feed.push(Live("segment", change.at, change.profile, change.segment, detail))

    def segment_sizes(self) -> dict[str, int]:
        """Return how many members each segment has now."""
        return {segment.id: self.sequencer.sizes.get(segment.id, 0) for segment in self.registry.site.segments.all()}

    def catalog_size(self) -> int:
        """Return how many items the catalog holds."""
        return len(self.catalog)

    def _gauges(self) -> Mapping[str, float]:
        sizes = {f'bespeak_segment_members{{segment="{one}"}}': size for one, size in self.segment_sizes().items()}
        return {
            "bespeak_profiles": self.sequencer.profiles,
            "bespeak_items": self.catalog_size(),
            "bespeak_log_offset": self._offset,
            "bespeak_profiles_live": len(self.sequencer.live),
            "bespeak_quarantine": min(self._quarantined, self.settings.store.rejected_max),
            "bespeak_queue_bytes": 0 if self._writer is None else self._writer.waiting_bytes,
            **sizes,
        }
