"""A computed trait: what somebody's events come to, under a name that conditions, rules and content can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from bespeak.clock import DAY, HOUR, Duration, parse_duration
from bespeak.computed.written import Text, check_name, checked, condition_in, operand_in, refusal, window_in
from bespeak.conditions import Aggregate, Operand, Path
from bespeak.conditions.counting.windows import frame
from bespeak.conditions.derived import Difference, Elapsed, Orders, Pairs, Ratio
from bespeak.conditions.tree import MAX_WITHIN, Calendar, Kind
from bespeak.definitions import read
from bespeak.errors import DefinitionError, InvalidInput

EVERY: Duration = DAY
EVERY_MIN: Duration = HOUR
EVERY_MAX: Duration = 366 * DAY
"""How often the borders of quintiles are drawn, unless it is said; and between what that may be."""


class RfmPlan(msgspec.Struct, frozen=True, tag="rfm"):
    """Recency (days: the less the better), frequency and monetary value, which are graded by their quintiles.

    Parameters
    ----------
    every
        How often the borders of the quintiles are drawn; None: only by hand.
    """

    recency: Operand
    frequency: Operand
    monetary: Operand
    every: Duration | None = EVERY


Value: TypeAlias = Path | Aggregate | Ratio | Difference | Elapsed | Orders | RfmPlan
"""What a computed trait may be; what others are that it names is not filled in yet."""

FIGURES = ("recency", "frequency", "monetary")
"""What is graded, in the order of the code."""

HEADS = ("traits", "sessions", "interests", "consent", "known", "user_id", "zone", "computed", "scores")
"""What the paths may begin with that a computed trait reads."""


class Trait(msgspec.Struct, frozen=True, kw_only=True):
    """A computed trait.

    Parameters
    ----------
    id
        1 to 100 of a-z, 0-9, `-`, `_`; it is read as `computed.ID`.
    name, description
        For people.
    value
        What it is.
    version
        Counts up with each change.
    """

    id: str
    value: Value
    name: str = ""
    description: str = ""
    version: int = 1


class _Ratio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    of: Text
    to: Text


class _Difference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    of: Text
    less: Text


class _Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first: str | None = None
    last: str | None = None
    where: Text | None = None


class _Orders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    event: str
    id: str
    amount: str
    refunds: str
    refunded: str | None = None
    window: str | None = None
    read: Literal["count", "sum", "avg"]


class _Rfm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    recency: Text
    frequency: Text
    monetary: Text
    every: str = "1 day"


class _Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of the definition as they are written."""

    id: str
    name: str = ""
    description: str = ""
    value: Text | None = None
    ratio: _Ratio | None = None
    difference: _Difference | None = None
    days_since: _Since | None = None
    orders: _Orders | None = None
    rfm: _Rfm | None = None
    version: int = 1


def load(raw: Mapping[str, object], *, source: str, version: int = 1) -> Trait:
    """Read a definition, as YAML or JSON gave it.

    Raises
    ------
    DefinitionError
        A field is unknown, missing or wrong; the message names `source`, the field, the value and what would do.

    Examples
    --------
    >>> load({"id": "basket", "value": 'avg(properties.total of "Order Completed")'}, source="basket.yaml").value.kind
    'avg'
    """
    written = read(raw, _Written, what="computed trait", source=source, extra={"version": version})
    given = [name for name in _FORMS if getattr(written, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "nothing"
        raise DefinitionError(f"{source}: expected one of {', '.join(_FORMS)}, found {found}; {_SUCH}")
    return Trait(
        id=check_name(written.id, source),
        value=_value(written, source),
        name=written.name or written.id,
        description=written.description,
        version=written.version,
    )


def _value(written: _Written, source: str) -> Value:
    if written.ratio is not None:
        return Ratio(_read(written.ratio.of, "ratio.of", source), _read(written.ratio.to, "ratio.to", source))
    if written.difference is not None:
        of, less = written.difference.of, written.difference.less
        return Difference(_read(of, "difference.of", source), _read(less, "difference.less", source))
    if written.rfm is not None:
        recency, frequency, monetary = (_read(getattr(written.rfm, one), f"rfm.{one}", source) for one in FIGURES)
        return RfmPlan(recency, frequency, monetary, every=_every(written.rfm.every, source))
    if written.orders is not None:
        return _orders(written.orders, source)
    if written.days_since is not None:
        return _elapsed(written.days_since, source)
    return _read(written.value or "", "value", source)


def _read(text: Text, field: str, source: str) -> Operand:
    operand = operand_in(text, field, source)
    if isinstance(operand, Path) and operand.path.partition(".")[0] not in HEADS:
        raise refusal(source, field, "an aggregate, or a path of the person", operand.path, f"such as {_HEADS}")
    return operand


def _every(text: str, source: str) -> Duration | None:
    """Read how often borders are drawn; None where that is `never`."""
    if text == "never":
        return None
    expected = "a length of time from 1 hour to 366 days, or never"
    try:
        found = parse_duration(text)
    except InvalidInput:
        raise refusal(source, "rfm.every", expected, text, "write 1 day") from None
    if not EVERY_MIN <= found <= EVERY_MAX:
        raise refusal(source, "rfm.every", expected, text)
    return found


def _elapsed(since: _Since, source: str) -> Elapsed:
    if (since.first is None) is (since.last is None):
        found = "neither" if since.first is None else "both"
        raise refusal(source, "days_since", "either first or last", found, "days_since: {last: Order Completed}")
    kind: Kind
    kind, event = ("last", since.last) if since.last is not None else ("first", since.first or "")
    where = None if since.where is None else condition_in(since.where, "days_since.where", source)
    return Elapsed(checked(Aggregate(kind, event, "type", where), "days_since", source))


def _orders(asked: _Orders, source: str) -> Orders:
    within = MAX_WITHIN if asked.window is None else window_in(asked.window, "orders.window", source)
    window = frame(within)
    if not isinstance(within, int | Calendar) or window is None:
        expected = "a window that moves, such as last 90 days or this month"
        raise refusal(source, "orders.window", expected, asked.window)
    for field in ("id", "amount", "refunded"):
        path = getattr(asked, field)
        if path is not None:
            checked(Aggregate("last", asked.event, path), f"orders.{field}", source)
    checked(Aggregate("last", asked.refunds, asked.id), "orders.refunds", source)
    return Orders(
        Pairs("last", asked.event, asked.id, None, within, asked.amount),
        Pairs("last", asked.refunds, asked.id, None, window.span, asked.refunded),
        asked.read,
    )


_FORMS = ("value", "ratio", "difference", "days_since", "orders", "rfm")
_HEADS = ", ".join(f"{head}." if head not in {"known", "user_id", "zone"} else head for head in HEADS)
_SUCH = 'such as value: sum(properties.total of "Order Completed")'
