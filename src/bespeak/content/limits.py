"""What a template may cost, and the meter that counts it while it renders.

python-liquid has limits of its own, and all of them are set (`template`). They do not stop everything: one
after another, many loops each within the limit still add up; `case` may render a block several times over;
one `replace` can multiply a text. So a meter counts *steps*: each node of each block each time it renders, each
filter, each 256 characters or 4 list elements that a filter handles; a `contains` counts as ten. The count depends
on nothing but template and variables, so a template that ends here ends in the same place everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from liquid import BoundTemplate, Node, RenderContext, Token, is_undefined
from liquid.exceptions import LiquidTypeError, LocalNamespaceLimitError, ResourceLimitError

MAX_TEMPLATE = 20_000
"""Characters of a template: more is a page, not a block."""
MAX_VARIABLES = 50
"""Variables a block may declare."""
MAX_STEPS = 20_000
"""Steps of one rendering; a step takes about a microsecond, at worst eight."""
MAX_ITERATIONS = 10_000
"""Rounds of one loop, and of nested loops multiplied."""
MAX_OUTPUT = 65_536
"""Bytes of HTML that one rendering may give."""
MAX_NAMESPACE = 65_536
"""Bytes of everything that `assign` and `capture` keep, as `sys.getsizeof` counts them."""
MAX_TEXT = 16_384
"""Characters of one text, given or made on the way."""
MAX_LIST = 1_000
"""Elements of one list, given or made on the way."""
MAX_NESTING = 20
"""Blocks inside blocks."""
MAX_DEPTH = 20
"""Scopes inside scopes while rendering."""
MAX_BITS = 256
"""Bits of a whole number: larger ones cost more the larger they are."""


class StepLimitError(ResourceLimitError):
    """A rendering took more than `MAX_STEPS` steps."""


class ValueLimitError(ResourceLimitError):
    """A value is larger than a template may handle."""


class MeteredContext(RenderContext):
    """The state of one rendering, with the steps that it has taken."""

    __slots__ = ("steps",)

    def __init__(self, template: BoundTemplate, **given: Any) -> None:  # noqa: ANN401  # passed on as it is
        super().__init__(template, **given)
        self.steps = 0

    def spend(self, steps: int) -> None:
        """Count steps.

        Raises
        ------
        StepLimitError
            They are more than `MAX_STEPS` in all.
        """
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise StepLimitError(f"the template takes more than {MAX_STEPS:,} steps", token=None)

    def assign(self, key: str, val: object) -> None:
        """Keep a value under a name, within `MAX_NAMESPACE` bytes for all of them."""
        self.spend(1 + size(val) // 256 + len(self.locals) // 16)
        try:
            super().assign(key, val)
        except LocalNamespaceLimitError:
            raise LocalNamespaceLimitError(
                f"assigned values take more than {MAX_NAMESPACE:,} bytes", token=None
            ) from None


class Step(Node):
    """A node that shows nothing and counts what the block it leads costs."""

    __slots__ = ("cost",)

    def __init__(self, token: Token, cost: int) -> None:
        super().__init__(token)
        self.cost = cost

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:  # Node's signature
        """Count."""
        spend(context, self.cost)
        return 0


def spend(context: RenderContext, steps: int) -> None:
    """Count steps of a context that templates of ours render in."""
    if not isinstance(context, MeteredContext):
        raise LiquidTypeError(f"expected a metered context, found {type(context).__name__}", token=None)
    context.spend(steps)


def size(value: object) -> int:
    """Return what a value weighs, in characters, and refuse what is too large to handle.

    Raises
    ------
    ValueLimitError
        A text, list, mapping, range or number over its bound.
    """
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise ValueLimitError(f"a text of {len(value):,} characters, at most {MAX_TEXT:,} are allowed", token=None)
        return len(value)
    if isinstance(value, range):
        raise ValueLimitError("a range such as (1..5) can only be looped over", token=None)
    if is_undefined(value):
        return 0
    if isinstance(value, list | tuple | Mapping):
        length = len(value)  # pyright: ignore[reportUnknownArgumentType]  # whatever the elements are
        if length > MAX_LIST:
            raise ValueLimitError(f"a list of {length:,} elements, at most {MAX_LIST:,} are allowed", token=None)
        return 64 * length
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ValueLimitError(f"a whole number of more than {MAX_BITS} bits", token=None)
    return 8
