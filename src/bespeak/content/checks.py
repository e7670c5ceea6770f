"""What is checked of a template before any visitor sees it: its variables, filters, ranges, and where outputs stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import msgspec
from liquid import BlockNode, BoundTemplate, Node, RenderContext
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, LoopExpression
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.for_tag import BreakNode, ContinueNode, ForNode
from liquid.expression import Expression

from bespeak.content.filters import FILTERS
from bespeak.content.places import OUTPUT, TEXT, Place, after_output, objection, scan
from bespeak.errors import Problem, TemplateError


def check_template(bound: BoundTemplate, text: str, declared: frozenset[str], source: str) -> None:
    """Refuse what a template may not do.

    Parameters
    ----------
    declared
        Names of the variables it may use.
    source
        Its name in messages.

    Raises
    ------
    TemplateError
        A variable that is not declared, an unknown filter, a range outside a loop, or an output where escaping
        does not help; with its line.
    """
    _check_variables(bound, text, declared, source)
    for node in bound.nodes:
        visit(node, lambda inner: _check_ranges(inner, text, source))
    _Walk(text, source).whole(bound.nodes)


def line_of(text: str, index: int) -> int:
    """Return the line, counted from 1, that an index falls in."""
    return text.count("\n", 0, max(0, index)) + 1


def visit(node: Node, call: Callable[[Node], None]) -> None:
    """Call for a node and everything in it."""
    call(node)
    for child in children(node):
        visit(child, call)


def children(node: Node) -> list[Node]:
    """Return the nodes right below a node."""
    return list(
        node.children(cast("RenderContext", None), include_partials=False)
    )  # no tag here loads another template


def expressions(expression: Expression) -> Iterator[Expression]:
    """Yield an expression and everything in it."""
    yield expression
    for child in expression.children():
        yield from expressions(child)


def _check_variables(bound: BoundTemplate, text: str, declared: frozenset[str], source: str) -> None:
    analysis = bound.analyze(include_partials=False)
    names = [(v.span.index, n) for n, found in analysis.globals.items() if n not in declared for v in found]
    if names:
        known = f"declared are {', '.join(sorted(declared))}" if declared else "none is declared"
        index, name = min(names)
        remedy = f"{known}; add {name!r} to variables with a path and a fallback"
        message = f"{source}: line {line_of(text, index)}: variable {name!r} is not declared; {remedy}"
        raise TemplateError(message, problems=_problems(text, names, "a declared variable"))
    filters = [(span.index, n) for n, found in analysis.filters.items() if n not in FILTERS for span in found]
    if filters:
        index, name = min(filters)
        message = (
            f"{source}: line {line_of(text, index)}: unknown filter {name!r}; the filters are {', '.join(FILTERS)}"
        )
        raise TemplateError(message, problems=_problems(text, filters, "a known filter"))


def _problems(text: str, found: list[tuple[int, str]], expected: str) -> tuple[Problem, ...]:
    return tuple(Problem(f"line {line_of(text, index)}", expected, name) for index, name in sorted(found))


def _check_ranges(node: Node, text: str, source: str) -> None:
    """Let a range stand only where it is looped over: elsewhere it is a list of any length for a few characters."""
    for expression in node.expressions():
        found = list(expressions(expression))
        if isinstance(expression, LoopExpression):
            found = [inner for inner in found if inner is not expression.iterable]
        for inner in found:
            if isinstance(inner, RangeLiteral):
                line = f"line {line_of(text, inner.token.start_index)}"
                message = f"{source}: {line}: the range {inner} stands outside a loop; write it in the for tag itself"
                raise TemplateError(message, problems=(Problem(line, "a range in a for tag", str(inner)),))


class _Walk(msgspec.Struct, frozen=True):
    """Follows the HTML through the template's tree; every block must end in the place in which it began."""

    text: str
    source: str

    def whole(self, nodes: list[Node]) -> None:
        """Check a template, which begins and ends between tags."""
        end = self._through(nodes, TEXT, None)
        if not end.like(TEXT):
            raise self._refuse(len(self.text), f"the template ends in {end.describe()}; close it")

    def _through(self, nodes: list[Node], place: Place, loop: Place | None) -> Place:
        for node in nodes:
            place = self._step(node, place, loop)
        return place

    def _step(self, node: Node, place: Place, loop: Place | None) -> Place:
        """Return the place behind a node; `loop` is the place at which the loop around it began."""
        match node:
            case ContentNode():
                return scan(place, node.text)
            case OutputNode():
                return self._output(node, place)
            case BlockNode():
                return self._through(node.nodes, place, loop)
            case BreakNode() | ContinueNode():
                if loop is not None and not place.like(loop):
                    where = f"{place.describe()}, and the loop began in {loop.describe()}"
                    raise self._refuse(node.token.start_index, f"{node.token.value} stands in {where}")
                return place
            case CaptureNode():
                self._same(node, TEXT, self._branches(node, TEXT, None))
                return place
            case ForNode():
                place = after_output(place)  # in a value, the second round begins behind what the first one said
                return self._same(node, place, self._branches(node, place, place))
            case _:
                return self._same(node, place, self._branches(node, place, loop))

    def _branches(self, node: Node, place: Place, loop: Place | None) -> list[Place]:
        return [self._step(child, place, loop) for child in children(node)]

    def _output(self, node: OutputNode, place: Place) -> Place:
        filters = (node.expression.filters or []) if isinstance(node.expression, FilteredExpression) else []
        problem = objection(place, safe_url=bool(filters) and filters[-1].name == "safe_url")
        if problem is not None:
            raise self._refuse(node.token.start_index, f"{node}: {problem}")
        return after_output(place)

    def _same(self, node: Node, begin: Place, ends: list[Place]) -> Place:
        """Return the place behind a block of which any branch, or none, may have been taken."""
        for end in ends:
            if not end.like(begin):
                where = f"it begins in {begin.describe()} and ends in {end.describe()}"
                name = node.token.value.split()[0] if node.token.value else "block"
                raise self._refuse(
                    node.token.start_index, f"a branch of {name!r} does not end where it begins: {where}"
                )
        if begin.kind != "value" or all(end.value == begin.value for end in ends):
            return begin
        return msgspec.structs.replace(begin, value=begin.value + OUTPUT)

    def _refuse(self, index: int, message: str) -> TemplateError:
        line = f"line {line_of(self.text, index)}"
        return TemplateError(
            f"{self.source}: {line}: {message}", problems=(Problem(line, "HTML that escaping keeps safe", message),)
        )
