"""Plain words: what the panel says is what the engine found."""

from __future__ import annotations

import msgspec
import pytest

from bespeak.clock import DAY, HOUR, MINUTE, SECOND
from bespeak.conditions import compile_condition, parse
from bespeak.demo import words
from bespeak.demo.cards import money


class _Nobody:
    """A visitor who did nothing and of whom nothing is known."""

    def get(self, _path: str) -> object:
        return None

    def state(self, _key: str) -> None:
        return None


@pytest.mark.parametrize(
    "duration,said",
    [(2 * SECOND, "just now"), (59 * SECOND, "59 s ago"), (90 * SECOND, "1 min ago"), (3 * HOUR, "3 hours ago"),
     (DAY, "1 day ago"), (49 * HOUR, "2 days ago"), (-5 * MINUTE, "just now")],
)  # fmt: skip
def test_a_time_is_told_in_its_largest_unit(duration: int, said: str) -> None:
    assert words.ago(duration) == said


@pytest.mark.parametrize(
    "condition,said",
    [
        ('count("Product Viewed", last 10 minutes) >= 3',
         "“Product Viewed” in the last 10 minutes: 0 (asks for at least 3)"),
        ('count("Product Viewed" where properties.discount > 0) > 2',
         "“Product Viewed” with discount > 0: 0 (asks for more than 2)"),
        ('performed("Order Completed", last 1 day)', "“Order Completed” in the last 1 day: no"),
        ('sum(properties.revenue of "Order Completed", last 30 days) >= 250',
         "Revenue of “Order Completed” in the last 30 days: 0 (asks for at least 250)"),
        ('traits.country = "DE"', 'traits.country = "DE": no'),
    ],
)  # fmt: skip
def test_a_part_of_a_condition_is_told_with_what_it_found(condition: str, said: str) -> None:
    explanation = msgspec.to_builtins(compile_condition(parse(condition)).explain(_Nobody(), 0))
    assert words.leaf(explanation) == said


def test_a_group_is_told_part_by_part() -> None:
    condition = parse('performed("A") and (performed("B") or not performed("C"))')
    explanation = msgspec.to_builtins(compile_condition(condition).explain(_Nobody(), 0))
    assert [words.leaf(leaf) for leaf in words.leaves(explanation)] == ["“A”: no", "“B”: no", "“C”: no"]


@pytest.mark.parametrize("amount,said", [(89.0, "€ 89"), (17.5, "€ 17.50"), (1204.0, "€ 1,204"), (None, "")])
def test_a_price_is_written_as_shops_write_it(amount: float | None, said: str) -> None:
    assert money(amount) == said
