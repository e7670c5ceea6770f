"""Liquid templates for authors who are not trusted with the server: bounded, escaped, and without surprises.

A template sees the variables that its block declares, and nothing else. It cannot call methods, read files,
include other templates, read the clock, or switch escaping off. Everything that is not known (a tag, a filter, a
variable) is refused when the block is loaded, with its line; everything that is too much is stopped while it renders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TextIO

from liquid import BlockNode, BoundTemplate, Environment, FalsyStrictUndefined, Node, RenderContext, is_undefined
from liquid.builtin import content as literal
from liquid.builtin import illegal, output
from liquid.builtin.expressions import LoopExpression
from liquid.builtin.expressions.logical import ContainsExpression
from liquid.builtin.tags import (
    assign_tag,
    capture_tag,
    case_tag,
    comment_tag,
    for_tag,
    if_tag,
    inline_comment_tag,
    unless_tag,
)
from liquid.exceptions import LiquidError, LiquidTypeError
from liquid.expression import Expression
from liquid.stream import TokenStream
from liquid.stringify import to_liquid_string

from bespeak.content import limits
from bespeak.content.checks import check_template, children, expressions, line_of, visit
from bespeak.content.filters import FILTERS, metered
from bespeak.errors import Problem, TemplateError

TAGS: tuple[str, ...] = ("assign", "break", "capture", "case", "comment", "continue", "for", "if", "raw", "unless", "#")
"""Every tag there is, by name."""


_SEARCH = 10
"""Steps of one `contains`: it may look through a whole text or list."""


class _Shown(output.OutputNode):
    """`{{ value }}`: a text, number or flag; a list or mapping has no one way of being shown."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        if not is_undefined(value) and isinstance(value, list | tuple | Mapping | range):
            kind = "mapping" if isinstance(value, Mapping) else "list"
            raise LiquidTypeError(f"a {kind} cannot be shown; join it, or loop over it", token=self.token)
        return buffer.write(to_liquid_string(value, autoescape=True))


class _Output(output.Output):
    node_class = _Shown


class _BoundedLoop(LoopExpression):
    """A loop that refuses a range or list over the bound before it walks a single step of it."""

    __slots__ = ()

    def _to_iter(self, obj: object, context: RenderContext) -> tuple[Any, int]:
        iterator, length = super()._to_iter(obj, context)
        context.raise_for_loop_limit(length)
        return iterator, length


class _For(for_tag.ForTag):
    def parse(self, stream: TokenStream) -> Node:
        node = super().parse(stream)
        if isinstance(node, for_tag.ForNode):
            given = node.expression
            node.expression = _BoundedLoop(
                given.token,
                given.identifier,
                given.iterable,
                limit=given.limit,
                offset=given.offset,
                reversed_=given.reversed,
                cols=given.cols,
            )
        return node


class _MeteredTemplate(BoundTemplate):
    context_class = limits.MeteredContext


class _BoundedEnvironment(Environment):
    """python-liquid with every limit set, and nothing registered but what is listed here."""

    block_nesting_limit: ClassVar[int] = limits.MAX_NESTING
    context_depth_limit: ClassVar[int] = limits.MAX_DEPTH
    loop_iteration_limit: ClassVar[int | None] = limits.MAX_ITERATIONS
    local_namespace_limit: ClassVar[int | None] = limits.MAX_NAMESPACE
    output_stream_limit: ClassVar[int | None] = limits.MAX_OUTPUT
    template_class = _MeteredTemplate

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:  # Environment's signature
        tags = (
            literal.Literal,
            _Output,
            illegal.Illegal,
            if_tag.IfTag,
            unless_tag.UnlessTag,
            case_tag.CaseTag,
            _For,
            for_tag.BreakTag,
            for_tag.ContinueTag,
            assign_tag.AssignTag,
            capture_tag.CaptureTag,
            comment_tag.CommentTag,
            inline_comment_tag.InlineCommentTag,
        )
        for tag in tags:
            self.add_tag(tag)
        for name, function in FILTERS.items():
            self.add_filter(name, metered(function))


_ENVIRONMENT = _BoundedEnvironment(autoescape=True, strict_filters=True, undefined=FalsyStrictUndefined)


class Template:
    """A template that has been read and checked, ready to render any number of times, from any thread."""

    __slots__ = ("_bound", "text")

    def __init__(self, text: str, bound: BoundTemplate) -> None:
        self.text = text
        self._bound = bound

    def render(self, variables: Mapping[str, object]) -> str:
        """Return the HTML.

        Raises
        ------
        LiquidError
            A limit is reached, or a value does not fit its use.
        ArithmeticError, ValueError, RecursionError
            A number or a nesting that Python itself refuses.
        """
        return self._bound.render(variables)


def compile_template(text: str, declared: Iterable[str], *, source: str) -> Template:
    """Read a template and check it against the variables its block declares.

    Parameters
    ----------
    declared
        Names that the template may use.
    source
        Its name in messages.

    Raises
    ------
    TemplateError
        Too long, not Liquid, an unknown tag or filter, or a variable that is not declared; with its line.
    """
    if len(text) > limits.MAX_TEMPLATE:
        raise TemplateError(f"{source}: a template has at most {limits.MAX_TEMPLATE:,} characters, got {len(text):,}")
    try:
        bound = _ENVIRONMENT.from_string(text)
    except LiquidError as error:
        raise _syntax(error, source) from None
    try:
        check_template(bound, text, frozenset(declared), source)
        _meter(bound)
    except RecursionError:
        raise TemplateError(f"{source}: an expression has too many parts; split it") from None
    return Template(text, bound)


def place_of(error: LiquidError) -> str:
    """Return `line 3: ` for an error that knows its line, else nothing."""
    token = error.token
    return f"line {line_of(token.source, token.start_index)}: " if token and token.start_index >= 0 else ""


def _syntax(error: LiquidError, source: str) -> TemplateError:
    cause = f" ({error.__cause__})" if error.__cause__ else ""
    message = f"{error.message}{cause}"
    problem = Problem(place_of(error).removesuffix(": ") or "template", "Liquid", message)
    return TemplateError(f"{source}: {place_of(error)}{message}{_remedy(message)}", problems=(problem,))


def _remedy(message: str) -> str:
    if message.startswith("unexpected tag"):
        return f"; the tags are {', '.join(TAGS)}"
    return ""


def _meter(bound: BoundTemplate) -> None:
    """Put a `Step` at the head of every block, so that whatever renders it, however often, is counted."""
    blocks: list[BlockNode] = []

    def collect(node: Node) -> None:
        if isinstance(node, BlockNode):
            blocks.append(node)

    for node in bound.nodes:
        visit(node, collect)
    for block in blocks:
        block.nodes.insert(0, limits.Step(block.token, _cost(block.nodes)))
    if bound.nodes:
        bound.nodes.insert(0, limits.Step(bound.nodes[0].token, _cost(bound.nodes)))


def _cost(nodes: list[Node]) -> int:
    asked = sum(
        _SEARCH if isinstance(inner, ContainsExpression) else 1
        for node in nodes
        for outer in _conditions(node)
        for inner in expressions(outer)
    )
    return 1 + len(nodes) + asked


def _conditions(node: Node) -> list[Expression]:
    """Return what a node may evaluate before one of its blocks renders: `elsif` and `when` are asked one by one."""
    inner = [e for child in children(node) if not isinstance(child, BlockNode) for e in child.expressions()]
    return [*node.expressions(), *inner]
