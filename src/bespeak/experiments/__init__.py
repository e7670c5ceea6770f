"""Who gets which variant: stable, with the shares asked for, and with a reason either way.

An assignment is a pure function of the experiment, the unit's id and the visitor at an instant. The hash is
GrowthBook's, so that its SDKs come to the same answer (`bucketing`).
"""

from __future__ import annotations

from bespeak.experiments.assignment import (
    Assigned,
    Assignment,
    Cause,
    Merged,
    NotAssigned,
    assign,
    assign_one,
    bucket,
    merge_settings,
)
from bespeak.experiments.bucketing import (
    Range,
    bucket_ranges,
    choose_variation,
    equal_weights,
    hash_v1,
    in_range,
)
from bespeak.experiments.experiment import MAX_SETTINGS, MAX_VARIANTS, Experiment, Setting, Status, Unit, Variant, load
from bespeak.ids import fnv1a32, hash_v2

__all__ = [
    "MAX_SETTINGS",
    "MAX_VARIANTS",
    "Assigned",
    "Assignment",
    "Cause",
    "Experiment",
    "Merged",
    "NotAssigned",
    "Range",
    "Setting",
    "Status",
    "Unit",
    "Variant",
    "assign",
    "assign_one",
    "bucket",
    "bucket_ranges",
    "choose_variation",
    "equal_weights",
    "fnv1a32",
    "hash_v1",
    "hash_v2",
    "in_range",
    "load",
    "merge_settings",
]
