"""What an experiment is: variants with shares, who may take part, and by which id they are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from bespeak.conditions import Compiled, Condition, compile_condition
from bespeak.definitions import check_id, read
from bespeak.experiments.bucketing import Range, bucket_ranges, equal_weights, valid_weights

Setting: TypeAlias = float | str | bool
Unit: TypeAlias = Literal["device", "user"]
Status: TypeAlias = Literal["draft", "running", "stopped"]

MAX_VARIANTS = 20
"""Variants an experiment may have: more, and none of them gets an answer in reasonable time."""
MAX_SETTINGS = 50
"""Settings a variant may have."""


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the things that are compared.

    Parameters
    ----------
    key
        Its name in answers and results; 1 to 100 characters, unique within the experiment.
    weight
        Its share of those who take part, 0 to 1; either every variant has one, or none (then equal shares).
    settings
        What it changes, by name.
    """

    key: str
    weight: float | None = None
    settings: Mapping[str, Setting] = {}

    def __post_init__(self) -> None:
        check_id(self.key, "variant")
        if self.weight is not None and not 0 <= self.weight <= 1:
            raise ValueError(f"weight of variant {self.key!r} must be 0 to 1, got {self.weight}")
        if len(self.settings) > MAX_SETTINGS:
            raise ValueError(f"variant {self.key!r} may have {MAX_SETTINGS} settings, got {len(self.settings)}")


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """A comparison of variants over randomly and stably divided units.

    Parameters
    ----------
    id
        Its key in answers and results.
    variants
        2 to 20; the first is what the others are compared with.
    seed
        Salt of the hash; the id by default. Another seed divides the same units anew.
    coverage
        Share of the eligible units that take part, 0 to 1. Raising it only adds units.
    condition
        Who is eligible; None for everyone.
    unit
        `device`: the anonymous id, which a login does not change, so that no variant flips; `user`: the user id.
    status
        Only a `running` experiment assigns.
    hash_version
        2; or 1, to go on with an experiment that began elsewhere.
    version
        Counted by the store, one more each time the definition changes.

    Raises
    ------
    ValueError
        A bound is broken; the message names it.
    """

    id: str
    variants: tuple[Variant, ...]
    seed: str | None = None
    coverage: float = 1.0
    condition: Condition | None = None
    unit: Unit = "device"
    status: Status = "draft"
    hash_version: Literal[1, 2] = 2
    description: str = ""
    version: int = 1

    def __post_init__(self) -> None:
        check_id(self.id, "experiment")
        if not 2 <= len(self.variants) <= MAX_VARIANTS:
            raise ValueError(f"experiment {self.id!r}: variants must be 2 to {MAX_VARIANTS}, got {len(self.variants)}")
        keys = [variant.key for variant in self.variants]
        if len(set(keys)) != len(keys):
            raise ValueError(f"experiment {self.id!r}: variant keys must differ, got {', '.join(keys)}")
        if not 0 <= self.coverage <= 1:
            raise ValueError(f"experiment {self.id!r}: coverage must be 0 to 1, got {self.coverage}")
        if self.seed is not None and not 1 <= len(self.seed) <= 200:
            raise ValueError(f"experiment {self.id!r}: seed must have 1 to 200 characters, got {len(self.seed)}")
        self._check_weights()

    def _check_weights(self) -> None:
        given = [variant.weight for variant in self.variants if variant.weight is not None]
        if given and not valid_weights(given, len(self.variants)):
            raise ValueError(
                f"experiment {self.id!r}: weights must be given for every variant and add up to 1 (or for none: equal "
                f"shares), got {', '.join(str(variant.weight) for variant in self.variants)}"
            )

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """The share of each variant among those who take part, in order."""
        given = [variant.weight for variant in self.variants if variant.weight is not None]
        return tuple(given) or equal_weights(len(self.variants))

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        """The hash range of each variant, in order."""
        return bucket_ranges(len(self.variants), self.coverage, self.weights)

    @cached_property
    def compiled(self) -> Compiled | None:
        """The condition, compiled once; None for everyone."""
        return None if self.condition is None else compile_condition(self.condition)


def load(raw: object, *, source: str, version: int = 1) -> Experiment:
    """Read an experiment from what YAML or JSON gave.

    Parameters
    ----------
    source
        File name or address, for messages.
    version
        Which version of the definition this is.

    Raises
    ------
    DefinitionError
        A field is unknown, missing or not what it must be; the message names file, field and value.

    Examples
    --------
    >>> test = load(
    ...     {"id": "ranking", "status": "running", "variants": [{"key": "control"}, {"key": "fresh"}]}, source="r.yaml"
    ... )
    >>> test.ranges
    ((0.0, 0.5), (0.5, 1.0))
    """
    experiment = read(
        raw, Experiment, what="experiment", source=source, conditions_in=("condition",), extra={"version": version}
    )
    _ = experiment.compiled  # a condition that cannot be compiled is refused here, not at the first visitor
    return experiment
