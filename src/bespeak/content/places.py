"""Where in the HTML a piece of text stands: the least of an HTML tokenizer that escaping needs to know.

Escaping makes a value harmless between tags and inside a quoted attribute. It does not in a script, a style, an
event handler, an attribute without quotes, or at the start of an address. So the place of each output is known
before a block is loaded, and an output in a place where escaping would not help is refused.

References
----------
[^1]: WHATWG. HTML Living Standard, section 13.2.5, Tokenization.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal[
    "text", "open", "close", "bang", "bogus", "comment", "name", "tag", "attribute", "after", "before", "value",
    "unquoted", "raw", "plain",
]  # fmt: skip

OUTPUT = "\ufffc"
"""Stands in a `value` for what is only known when the block renders."""

_KEPT = 60
_SPACE = frozenset(" \t\n\r\f")
_RAW = frozenset({"iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "xmp"})
_PLAIN = frozenset({"textarea", "title"})
_ADDRESSES = frozenset(
    {
        "action", "archive", "background", "cite", "classid", "codebase", "data", "formaction", "href", "icon",
        "imagesrcset", "longdesc", "manifest", "ping", "poster", "profile", "src", "srcset", "usemap", "xlink:href",
    }
)  # fmt: skip
_SCHEME = re.compile(r"\s*([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_GOOD_SCHEMES = frozenset({"http", "https", "mailto", "tel"})


class Place(msgspec.Struct, frozen=True):
    """A place in an HTML document.

    Parameters
    ----------
    kind
        `text` between tags; `value` in a quoted attribute value; `plain` in a textarea or title; `raw` in a script,
        style or the like; the others are inside a tag, or a comment.
    tag
        Name of the tag, lower case; with `/` in front when it closes.
    attribute
        Name of the attribute, lower case.
    quote
        What ends the value.
    value
        How the value began, as far as it matters; in `raw`, `plain` and `comment` the last characters.
    """

    kind: Kind = "text"
    tag: str = ""
    attribute: str = ""
    quote: str = ""
    value: str = ""

    def like(self, other: Place) -> bool:
        """Say whether both are the same place, whatever a value holds so far."""
        mine = (self.kind, self.tag, self.attribute, self.quote)
        return mine == (other.kind, other.tag, other.attribute, other.quote)

    def describe(self) -> str:
        """Return the place in words."""
        match self.kind:
            case "text":
                return "text"
            case "value":
                return f"the {self.attribute} attribute of <{self.tag}>"
            case "unquoted" | "before":
                return f"the unquoted {self.attribute} attribute of <{self.tag}>"
            case "raw" | "plain":
                return f"<{self.tag}>"
            case "comment" | "bang" | "bogus":
                return "a comment"
            case _:
                return f"the tag <{self.tag}>"


TEXT = Place()


def scan(place: Place, text: str) -> Place:
    """Return the place that one comes to from `place` by way of `text`."""
    for character in text:
        place = _STEPS[place.kind](place, character)
    return place


def after_output(place: Place) -> Place:
    """Return the place behind an output: the value that it stands in has begun."""
    return msgspec.structs.replace(place, value=place.value + OUTPUT) if place.kind == "value" else place


def objection(place: Place, *, safe_url: bool) -> str | None:
    """Return why an output may not stand here, or None where escaping makes it harmless.

    Parameters
    ----------
    safe_url
        Whether the output's last filter is `safe_url`.
    """
    if place.kind in ("text", "plain"):
        return None
    if place.kind != "value":
        return f"an output cannot stand in {place.describe()}; put it between tags or in a quoted attribute"
    if place.attribute.startswith("on") or place.attribute in ("style", "srcdoc") or place.tag == "meta":
        return f"an output cannot stand in {place.describe()}, since what stands there is run; use a class or data-*"
    if place.attribute not in _ADDRESSES:
        return None
    return _address_objection(place, safe_url=safe_url)


def _address_objection(place: Place, *, safe_url: bool) -> str | None:
    scheme = _SCHEME.match(place.value)
    if scheme and scheme[1].lower() not in _GOOD_SCHEMES:
        return f"an output cannot stand in an address that begins with {scheme.group().strip()}"
    if not place.value.strip():
        where = place.describe()
        return None if safe_url else f"an output at the start of {where} needs | safe_url as its last filter"
    if scheme or re.search(r"[/?#]", place.value):
        return None
    return f"an output cannot continue the start of {place.describe()}; put a /, ? or # in front of it"


def _to(place: Place, kind: Kind, **changes: str) -> Place:
    return msgspec.structs.replace(place, kind=kind, **changes)


def _end_of_tag(place: Place) -> Place:
    if place.tag in _RAW:
        return Place("raw", tag=place.tag)
    return Place("plain", tag=place.tag) if place.tag in _PLAIN else TEXT


def _text(place: Place, c: str) -> Place:
    return Place("open") if c == "<" else place


def _open(_: Place, c: str) -> Place:
    if c.isascii() and c.isalpha():
        return Place("name", tag=c.lower())
    kinds: Mapping[str, Kind] = {"/": "close", "!": "bang", "?": "bogus", "<": "open"}
    return Place(kinds.get(c, "text"))


def _close(_: Place, c: str) -> Place:
    if c.isascii() and c.isalpha():
        return Place("name", tag="/" + c.lower())
    return TEXT if c == ">" else Place("bogus")


def _bang(place: Place, c: str) -> Place:
    if c == ">":
        return TEXT
    if c != "-":
        return Place("bogus")
    return Place("comment", value="--") if place.value else _to(place, "bang", value="-")


def _bogus(place: Place, c: str) -> Place:
    return TEXT if c == ">" else place


def _comment(place: Place, c: str) -> Place:
    return TEXT if c == ">" and place.value in ("--", "-!") else _to(place, "comment", value=(place.value + c)[-2:])


def _name(place: Place, c: str) -> Place:
    if c in _SPACE or c == "/":
        return _to(place, "tag")
    return _end_of_tag(place) if c == ">" else _to(place, "name", tag=(place.tag + c.lower())[:_KEPT])


def _tag(place: Place, c: str) -> Place:
    if c in _SPACE or c == "/":
        return place
    return _end_of_tag(place) if c == ">" else _to(place, "attribute", attribute=c.lower(), value="")


def _attribute(place: Place, c: str) -> Place:
    if c == "=":
        return _to(place, "before")
    if c in _SPACE:
        return _to(place, "after")
    if c == "/":
        return _to(place, "tag", attribute="")
    if c == ">":
        return _end_of_tag(place)
    return _to(place, "attribute", attribute=(place.attribute + c.lower())[:_KEPT])


def _after(place: Place, c: str) -> Place:
    if c in _SPACE:
        return place
    return _to(place, "before") if c == "=" else _tag(_to(place, "tag", attribute=""), c)


def _before(place: Place, c: str) -> Place:
    if c in _SPACE:
        return place
    if c in "\"'":
        return _to(place, "value", quote=c, value="")
    return _end_of_tag(place) if c == ">" else _to(place, "unquoted")


def _value(place: Place, c: str) -> Place:
    if c == place.quote:
        return _to(place, "tag", attribute="", quote="", value="")
    return place if len(place.value) >= _KEPT else _to(place, "value", value=place.value + c)


def _unquoted(place: Place, c: str) -> Place:
    if c in _SPACE:
        return _to(place, "tag", attribute="", value="")
    return _end_of_tag(place) if c == ">" else place


def _element(place: Place, c: str) -> Place:
    """Inside a script, a textarea and the like: only its own end tag ends it."""
    if place.value == f"</{place.tag}" and (c in _SPACE or c in "/>"):
        return TEXT if c == ">" else Place("tag", tag="/" + place.tag)
    return _to(place, place.kind, value=(place.value + c.lower())[-len(place.tag) - 2 :])


_STEPS: Mapping[Kind, Callable[[Place, str], Place]] = {
    "text": _text,
    "open": _open,
    "close": _close,
    "bang": _bang,
    "bogus": _bogus,
    "comment": _comment,
    "name": _name,
    "tag": _tag,
    "attribute": _attribute,
    "after": _after,
    "before": _before,
    "value": _value,
    "unquoted": _unquoted,
    "raw": _element,
    "plain": _element,
}
