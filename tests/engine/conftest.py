"""What tests of the engine share: checkpoints come in parts, although few people are there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bespeak.engine import committing


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Write checkpoints in parts of three rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(committing, "PART_ROWS", 3)
        yield
