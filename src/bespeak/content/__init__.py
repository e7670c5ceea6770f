"""How it is said: blocks of content by slot, condition and priority, in Liquid within hard limits.

A block says for whom it is, what it uses (each variable with a fallback) and what stands there when its template
fails. What is wrong is refused when it is loaded; what is too much falls back while it renders, with the reason.
"""

from __future__ import annotations

from bespeak.content.block import Block, Variable, inline_template, load
from bespeak.content.filters import FILTERS
from bespeak.content.rendering import (
    Choice,
    Chosen,
    Considered,
    FellBack,
    NoBlock,
    Rendered,
    Rendering,
    choose,
    explain,
    in_order,
    render,
    variables,
)
from bespeak.content.template import TAGS, Template, compile_template

__all__ = [
    "FILTERS",
    "TAGS",
    "Block",
    "Choice",
    "Chosen",
    "Considered",
    "FellBack",
    "NoBlock",
    "Rendered",
    "Rendering",
    "Template",
    "Variable",
    "choose",
    "compile_template",
    "explain",
    "in_order",
    "inline_template",
    "load",
    "render",
    "variables",
]
