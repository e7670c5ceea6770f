"""A `match` over a closed union is complete, and forgetting a kind is a type error.

Nothing here runs; `./test types` reads it as a user's program.
"""

from __future__ import annotations

from typing import assert_never

from bespeak.privacy import Admission, Admitted, Refused


def told(admission: Admission) -> str:
    """Name both kinds: nothing is left for `assert_never`."""
    match admission:
        case Admitted():
            return "kept"
        case Refused():
            return f"refused for {admission.purpose}"
        case _:
            assert_never(admission)


def forgetful(admission: Admission) -> str:
    """Forget one kind: the checkers say so."""
    match admission:
        case Admitted():
            return "kept"
        case _:
            assert_never(admission)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def careless(refused: Refused) -> None:
    """Change what is frozen: the checkers say so."""
    refused.purpose = "marketing"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
