"""Conditions made up for laws: every node of the tree, every operator, window and kind, in what has a meaning."""

from __future__ import annotations

from typing import TypeVar, get_args

from hypothesis import strategies as st

from bespeak.clock import DAY, MILLISECOND
from bespeak.conditions.meaning.check import FIGURES, Where, check_leaf
from bespeak.conditions.meaning.misfit import Misfit
from bespeak.conditions.tree import (
    Aggregate,
    And,
    AnyOf,
    Between,
    Calendar,
    Compare,
    Condition,
    Deed,
    Exists,
    FromTo,
    HasAll,
    HasBeen,
    In,
    InList,
    InSegment,
    Kind,
    LastPerformed,
    Leaf,
    Matches,
    Moment,
    Near,
    Not,
    Operand,
    Operator,
    Or,
    Path,
    Performed,
    Quiet,
    Reach,
    Right,
    Sequence,
    Since,
    Step,
    Test,
    Text,
    ThisSession,
    Unit,
    Value,
    Version,
    Window,
    Within,
)

Made = st.SearchStrategy
T = TypeVar("T")

TEXTS = ("DE", "de", "d\u00e9", "FR", "", '\u00e9\u2028"\\', "shoes", "Stra\u00dfe", "strasse", "2026-01-31", "1.10.0")
EXPRESSIONS = ("now", "now-7d", "now/d", "now+1M-1d/d", "2026-01-31", "2026-02-01||+1M/d", "2026-01-31T12:00:00+02:00")
VERSIONS = ("1", "1.2", "2.10.0", "1.0.0-rc.1", "v3")
REACHES = get_args(Reach)
PATTERNS = ("[A-Z]{2}", ".*", "d|shoes", "(?i)de", r"\d+")
WORDS = ("Product Viewed", "Order Completed", "Product*", r"Rated 5\*")

texts: Made[str] = st.sampled_from(TEXTS)
numbers: Made[int | float] = st.one_of(
    st.integers(-3, 5), st.sampled_from([0.1, 0.2, 0.3, 1.5, -2.5, 1e300, 2**60, 1.0])
)
values: Made[Value] = st.one_of(texts, numbers, st.booleans())
moments: Made[Moment] = st.builds(Moment, st.sampled_from(EXPRESSIONS))
versions: Made[Version] = st.builds(Version, st.sampled_from(VERSIONS))
operators: Made[Operator] = st.sampled_from(get_args(Operator))
rolling: Made[int] = st.one_of(st.integers(1, 5).map(lambda n: n * MILLISECOND), st.sampled_from([DAY, 30 * DAY]))
windows: Made[Window] = st.one_of(
    rolling,
    st.builds(Calendar, st.sampled_from(get_args(Unit)), st.sampled_from([0, 1])),
    st.just(Since("2026-01-01")),
    st.just(FromTo("2026-01-01", "2026-02-01T00:00:00Z")),
    st.just(ThisSession()),
)

_PATHS: dict[Where, tuple[str, ...]] = {
    "person": ("traits.country", "traits.age", "traits.a b.c", "traits.joined", "context.device", "user_id", "place"),
    "event": ("properties.price", "properties.deep.er", "context.page", "type"),
    "element": ("it.city", "it.zip", "it.deep.er"),
}


def _short(strategy: Made[T]) -> Made[T]:
    """Return a strategy that prints as one word, instead of as all that it could make."""

    @st.composite
    def made(draw: st.DrawFn) -> T:
        return draw(strategy)

    return made()


def paths(where: Where) -> Made[Path]:
    """Return paths that have a meaning there."""
    return st.builds(Path, st.sampled_from(_PATHS[where]))


def tests_of(operands: Made[Operand], rights: Made[Right], where: Where) -> Made[Test]:
    """Return tests of these operands, against these and against values."""
    several = st.lists(values, min_size=1, max_size=6).map(tuple)
    strings = st.lists(texts.filter(bool), min_size=1, max_size=3).map(tuple)
    ends = st.one_of(values, moments, versions, rights)
    hows = st.sampled_from(["contains", "starts", "ends"])
    made = st.one_of(
        st.builds(Compare, operands, operators, values, st.booleans()),
        st.builds(Compare, operands, operators, ends, st.booleans()),
        st.builds(Compare, operands, operators, moments),
        st.builds(Compare, operands, st.just("on"), moments),
        st.builds(In, operands, several, st.booleans()),
        st.builds(HasAll, operands, several, st.booleans()),
        st.builds(Text, operands, hows, strings, st.booleans()),
        st.builds(Matches, operands, st.sampled_from(PATTERNS)),
        st.builds(Between, operands, ends, ends),
        st.builds(Between, operands, numbers, numbers),
        st.builds(Within, paths(where), rolling),
        nearby(operands),
        st.builds(Exists, operands),
    )
    return _short(made.filter(lambda test: is_meant(test, where)))


def nearby(operands: Made[Operand]) -> Made[Test]:
    """Return tests of how far away something is."""
    degrees = st.sampled_from([0, 48.2082, -33.9, 16.3738, 89.999])
    return st.builds(Near, operands, degrees, degrees, st.sampled_from([0.25, 20, 800.5]), st.sampled_from(REACHES))


def clocks(where: Where = "person") -> Made[Test]:
    """Return tests of the local time: of a person, or of an event in a filter."""
    hours, days = st.integers(0, 23), st.integers(1, 7)
    dates = st.sampled_from(["2025-12-31", "2026-01-01", "2026-01-31", "2027-01-01"])
    return st.one_of(
        *(
            st.one_of(
                st.builds(Compare, st.just(Path(path)), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), asked),
                st.builds(In, st.just(Path(path)), st.lists(asked, min_size=1, max_size=3).map(tuple)),
                st.builds(Between, st.just(Path(path)), asked, asked),
            )
            for path, asked in (("local.hour", hours), ("local.weekday", days), ("local.date", dates))
        ),
        st.builds(Compare, st.just(Path("local.date")), st.sampled_from(["<", ">=", "on"]), paths(where)),
        st.builds(Compare, paths(where), st.sampled_from(["<", "=", "!="]), st.just(Path("local.hour"))),
        st.builds(Text, st.just(Path("local.date")), st.just("ends"), st.just(("-01-01",))),
    )


def is_meant(leaf: Leaf, where: Where = "person") -> bool:
    """Say whether a leaf has a meaning: `check` refuses the others."""
    try:
        check_leaf(leaf, where)
    except Misfit:
        return False
    return True


def trees(leaf: Made[Condition], most: int = 12) -> Made[Condition]:
    """Return trees of these leaves."""
    return st.recursive(
        _short(leaf),
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        ),
        max_leaves=most,
    )


def value_leaves(where: Where, lists: tuple[str, ...]) -> Made[Leaf]:
    """Return leaves that stand on paths alone, one of them a test of the elements of these lists."""
    plain = tests_of(paths(where), paths(where), where)
    inner = trees(tests_of(paths("element"), paths("element"), "element"), most=3)
    listed = st.builds(AnyOf, st.sampled_from(lists), inner)
    often = [_short(plain) for _ in range(4)]  # the same one twice would count once
    return st.one_of(*often, listed, _short(clocks(where)))


filters: Made[Condition] = trees(value_leaves("event", ("properties.products",)), most=3)
wheres: Made[Condition | None] = st.one_of(st.none(), st.none(), filters)


def aggregates(
    kinds: tuple[Kind, ...] = get_args(Kind),
    words: tuple[str, ...] = WORDS,
    within: Made[Window | None] = st.one_of(st.none(), windows),  # noqa: B008 - strategies hold nothing that changes
) -> Made[Aggregate]:
    """Return aggregates of these kinds over events of these names, in these windows."""

    def made(kind: Kind, word: str, where: Condition | None, window: Window | None) -> Aggregate:
        return Aggregate(kind, word, None if kind == "count" else "properties.price", where, window)

    return st.builds(made, st.sampled_from(kinds), st.sampled_from(words), wheres, within)


counted: Made[Leaf] = st.one_of(
    tests_of(aggregates(), st.one_of(paths("person"), aggregates()), "person"),
    st.builds(
        Compare, aggregates(tuple(sorted(FIGURES))), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), numbers
    ).filter(is_meant),
    st.builds(Performed, st.sampled_from(WORDS), wheres, st.one_of(st.none(), windows)),
)
deeds: Made[Deed] = st.builds(Deed, st.sampled_from(WORDS), wheres)


def sequences(
    some: Made[Deed] = deeds,
    lengths: Made[int] = rolling,
    within: Made[Window | None] = st.one_of(st.none(), windows),  # noqa: B008
    most: int = 3,
) -> Made[Leaf]:
    """Return sequences of at most so many of these events, with these times between them, in these windows."""
    without = st.one_of(st.just(()), st.lists(some, max_size=2).map(tuple))

    def step(deed: Deed, within: int | None, without: tuple[Deed, ...]) -> Step:
        return Step(deed.event, deed.where, within, without)

    def alone(deed: Deed) -> Step:
        return Step(deed.event, deed.where)

    later = st.builds(step, some, st.one_of(st.none(), lengths), without)
    first = some.map(alone)
    quiet = st.builds(Quiet, st.lists(some, min_size=1, max_size=2).map(tuple), lengths)

    def made(first: Step, later: list[Step], after: Quiet | None, window: Window | None) -> Sequence:
        return Sequence((first, *later), after, window)

    steps = st.lists(later, max_size=most - 1)
    found: Made[Leaf] = st.builds(made, first, steps, st.one_of(st.none(), quiet), within)
    return _short(found.filter(is_meant))


def newest(
    words: tuple[str, ...] = WORDS,
    where: Made[Condition | None] = wheres,
    has: Made[Condition] = filters,
    within: Made[Window | None] = st.one_of(st.none(), windows),  # noqa: B008
) -> Made[Leaf]:
    """Return what the newest event of a name has, in these windows."""
    return st.builds(LastPerformed, st.sampled_from(words), has, where, within)


def lasting(
    paths: tuple[str, ...] = ("traits.country", "traits.deep.er"),
    given: Made[Value] = values,
    lengths: Made[int] = rolling,
) -> Made[Leaf]:
    """Return what traits have been, for so long or for less."""
    return st.builds(HasBeen, st.sampled_from(paths), given, lengths, st.booleans(), st.booleans())


marked: Made[Leaf] = st.one_of(sequences(), newest(), lasting())
memberships: Made[Leaf] = st.one_of(
    st.builds(InSegment, st.sampled_from(["loyal", 'a "b"'])),
    st.builds(InList, st.sampled_from(["vip", "a b"])),
    st.builds(Compare, st.just(Path("bucket.spring sale")), st.sampled_from(["<", ">="]), st.sampled_from([0.1, 1])),
)
valued: Made[Leaf] = value_leaves("person", ("traits.addresses",))
conditions: Made[Condition] = trees(st.one_of(valued, valued, counted, marked, memberships))
"""Conditions of every kind."""
