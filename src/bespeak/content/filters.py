"""The filters a template may use: a closed list, each within bounds.

Left out on purpose: `safe` (it would switch escaping off), `date: "now"` (a rendering does not read the clock, so
that it can be made again), `base64_*`, `url_decode`, `strip_html`, `uniq` and others that no block has needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from liquid import RenderContext
from liquid.builtin.filters import array, math, misc, string
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context
from markupsafe import Markup, escape

from bespeak.clock import parse_time, to_datetime
from bespeak.content.limits import MAX_TEXT, ValueLimitError, size, spend
from bespeak.errors import InvalidInput

Filter = Callable[..., Any]
"""Takes the value, then positional and keyword arguments as the template gives them."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_SAFE_SCHEMES = ("http:", "https:", "mailto:", "tel:")
_INVISIBLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]+")


def safe_url(value: object) -> str:
    """Return the address when a browser would only go there, else `#`: nothing that runs, such as `javascript:`.

    Examples
    --------
    >>> safe_url("/p/1?a=b"), safe_url("https://shop.example/"), safe_url("JavaScript:alert(1)")
    ('/p/1?a=b', 'https://shop.example/', '#')
    """
    text = _INVISIBLE.sub("", str(value))
    scheme = _SCHEME.match(text)
    if scheme and scheme.group().lower() not in _SAFE_SCHEMES:
        return "#"
    if text[:2].replace("\\", "/") == "//":  # another host, by way of "the same scheme"
        return "#"
    return text or "#"


def date(value: object, form: object = "%Y-%m-%d") -> str:
    """Return an ISO 8601 text, or microseconds since 1970, in strftime's form, in UTC."""
    moment = _moment(value)
    if len(str(form)) > 100:
        raise FilterArgumentError("date: a form has at most 100 characters", token=None)
    return moment.strftime(str(form))


def join(value: object, separator: object = " ") -> str:
    """Return the elements of a list as one text; what is not marked as HTML is escaped."""
    if not isinstance(value, list | tuple):
        value = [value]
    parts: list[str] = []
    total = 0
    for element in value:  # pyright: ignore[reportUnknownVariableType]  # whatever the elements are
        if isinstance(element, list | tuple | Mapping):
            raise FilterArgumentError("join: expected texts and numbers, found a list or mapping inside", token=None)
        text = element if isinstance(element, str) else "" if element is None else str(element)  # pyright: ignore[reportUnknownArgumentType]
        total += len(text) + len(str(separator))
        if total > MAX_TEXT:
            raise ValueLimitError(f"join makes more than {MAX_TEXT:,} characters", token=None)
        parts.append(text)
    return escape(separator).join(parts)


def replace(value: object, old: object, new: object = "") -> str:
    """Return the text with every `old` replaced by `new`."""
    text = value if isinstance(value, str) else str(value)
    made = len(text) + text.count(str(old)) * (len(str(new)) - len(str(old)))
    if made > MAX_TEXT:
        raise ValueLimitError(f"replace makes {made:,} characters, at most {MAX_TEXT:,} are allowed", token=None)
    return text.replace(str(old), new if isinstance(new, Markup) else str(new))


def _moment(value: object) -> datetime:
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return to_datetime(value)
        return to_datetime(parse_time(str(value)))
    except (InvalidInput, OverflowError):
        raise FilterArgumentError(f"date: expected an ISO 8601 time, found {str(value)[:40]!r}", token=None) from None


FILTERS: Mapping[str, Filter] = {
    "abs": math.abs_,
    "append": string.append,
    "at_least": math.at_least,
    "at_most": math.at_most,
    "capitalize": string.capitalize,
    "ceil": math.ceil,
    "compact": array.compact,
    "concat": array.concat,
    "date": date,
    "default": misc.default,
    "divided_by": math.divided_by,
    "downcase": string.downcase,
    "escape": string.escape,
    "first": array.first,
    "floor": math.floor,
    "join": join,
    "last": array.last,
    "map": array.map_,
    "minus": math.minus,
    "modulo": math.modulo,
    "newline_to_br": string.newline_to_br,
    "plus": math.plus,
    "prepend": string.prepend,
    "remove": string.remove,
    "replace": replace,
    "reverse": array.reverse,
    "round": math.round_,
    "safe_url": safe_url,
    "size": misc.size,
    "slice": string.slice_,
    "sort": array.sort,
    "split": string.split,
    "strip": string.strip,
    "times": math.times,
    "truncate": string.truncate,
    "truncatewords": string.truncatewords,
    "upcase": string.upcase,
    "url_encode": string.url_encode,
    "where": array.where,
}
"""Every filter there is, by name."""


def metered(function: Filter) -> Filter:
    """Return the filter with its cost counted and the size of what goes in and comes out checked."""
    asks_environment = bool(getattr(function, "with_environment", False))

    def run(value: object, *arguments: object, context: RenderContext, **named: object) -> object:
        weight = size(value) + sum(map(size, arguments)) + sum(map(size, named.values()))
        spend(context, 1 + weight // 256)
        if asks_environment:
            named["environment"] = context.env
        result: object = function(value, *arguments, **named)
        size(result)
        return result

    return with_context(run)
