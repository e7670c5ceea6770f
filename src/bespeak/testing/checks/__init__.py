"""The checks that every implementation of a protocol must pass; they ship, so that yours can be held to them.

A check is a function of something that makes an implementation. In your own test suite:

    from bespeak.testing import checks

    @pytest.mark.parametrize("check", checks.for_stores(), ids=checks.name_of)
    def test_my_store_is_a_store(check):
        check(MyStore)

A check that fails raises `AssertionError` and says what was expected and what was found. It closes what it opened.
The laws among them need hypothesis, which `pip install bespeak[test]` brings.
"""

from __future__ import annotations

from collections.abc import Callable

from bespeak.testing.checks.store_makers import DurableStoreMaker, StoreMaker
from bespeak.testing.checks.stores import for_durable_stores, for_stores

__all__ = ["DurableStoreMaker", "StoreMaker", "for_durable_stores", "for_stores", "name_of"]


def name_of(check: Callable[..., object]) -> str:
    """Return the name of a check, as a sentence, for test ids."""
    return check.__name__.removeprefix("check_")
