"""The goods' pictures: SVG text, drawn from an item's shape, colour and style; no files, no network."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from xml.sax.saxutils import escape

from bespeak.catalog.item import Item
from bespeak.testing.world_shapes import SHAPES, Part
from bespeak.testing.world_words import COLOURS, STYLES, Colour

_COLOURS = {colour.name: colour for colour in COLOURS}
_FIXED = {
    "wood": "#a9764a",
    "metal": "#c9b28a",
    "steel": "#9aa1a8",
    "shade": "#2c2a2b",
    "paper": "#fbf7ef",
    "yolk": "#efb23a",
}


def picture(item: Item) -> str:
    """Return the picture of one of the world's items, 400 x 400, as SVG text; the same item, the same picture.

    Raises
    ------
    KeyError
        The item is not of a world: it has no shape, colour or style.
    """
    colour = _COLOURS[str(item.properties["color"])]
    shape = SHAPES[str(item.properties["shape"])]
    pattern = STYLES[str(item.properties["style"])]
    name = "".join(letter for letter in item.id if letter.isalnum())
    rng = Random(f"picture {item.id}")
    return "".join(
        (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" role="img">',
            f"<title>{escape(item.title)}</title><defs>",
            _light(name),
            _pattern(pattern, name, colour, rng),
            _clips(shape, name),
            "</defs>",
            _backdrop(colour, name, rng),
            *(_paint(part, place, name, colour) for place, part in enumerate(shape)),
            "</svg>",
        )
    )


def _light(name: str) -> str:
    """Return the gradients: light from the left, a soft floor shadow, a lamp's glow."""
    return (
        f'<linearGradient id="{name}l"><stop offset="0" stop-color="#fff" stop-opacity=".22"/>'
        '<stop offset=".38" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#000" '
        'stop-opacity=".26"/></linearGradient>'
        f'<radialGradient id="{name}s"><stop offset="0" stop-color="#1c1714" stop-opacity=".34"/>'
        '<stop offset="1" stop-color="#1c1714" stop-opacity="0"/></radialGradient>'
        f'<linearGradient id="{name}g" x2="0" y2="1"><stop offset="0" stop-color="#ffe9b0" stop-opacity=".75"/>'
        '<stop offset="1" stop-color="#ffe9b0" stop-opacity="0"/></linearGradient>'
    )


def _clips(shape: Sequence[Part], name: str) -> str:
    return "".join(
        f'<clipPath id="{name}c{place}"><path d="{part.d}"/></clipPath>'
        for place, part in enumerate(shape)
        if part.skin
    )


def _backdrop(colour: Colour, name: str, rng: Random) -> str:
    """Return the studio: a tinted wall with an arch or a sun, a floor, and the shadow on it."""
    wall = (
        f'<circle cx="{rng.randint(150, 250)}" cy="190" r="{rng.randint(132, 160)}" fill="#fff" opacity=".5"/>',
        '<path d="M70 400V200a130 130 0 0 1 260 0v200z" fill="#fff" opacity=".5"/>',
        f'<path d="M0 {rng.randint(210, 250)}L400 {rng.randint(140, 200)}V400H0z" fill="#fff" opacity=".42"/>',
    )[rng.randrange(3)]
    return (
        f'<rect width="400" height="400" fill="{colour.backdrop}"/>{wall}'
        f'<ellipse cx="200" cy="334" rx="158" ry="20" fill="url(#{name}s)"/>'
    )


def _paint(part: Part, place: int, name: str, colour: Colour) -> str:
    """Return one part; a skin gets its pattern and the light, clipped to it."""
    fill = (
        _FIXED.get(part.role)
        or {
            "main": colour.main,
            "dark": colour.dark,
            "light": colour.light,
            "accent": colour.accent,
            "glow": f"url(#{name}g)",
        }[part.role]
    )
    if part.stroke:
        return (
            f'<path d="{part.d}" fill="none" stroke="{fill}" stroke-width="{part.stroke:g}" '
            'stroke-linecap="round" stroke-linejoin="round"/>'
        )
    path = f'<path d="{part.d}" fill="{fill}"/>'
    if not part.skin:
        return path
    pattern = f'<rect width="400" height="400" fill="url(#{name}p)"/>' if part.role == "main" else ""
    return f'{path}<g clip-path="url(#{name}c{place})">{pattern}<path d="{part.d}" fill="url(#{name}l)"/></g>'


def _pattern(kind: str, name: str, colour: Colour, rng: Random) -> str:
    """Return the pattern of a style, in the item's own colours."""
    accent, light, dark = colour.accent, colour.light, colour.dark
    size, content = {
        "plain": (40, ""),
        "speckle": (64, _speckles(dark, light, rng)),
        "blocks": (400, f'<path d="M0 222H400V400H0z" fill="{accent}"/><path d="M0 210H400v12H0z" fill="{light}"/>'),
        "band": (
            400,
            f'<path d="M0 216H400v26H0z" fill="{accent}"/><path d="M0 206H400v4H0zM0 248H400v4H0z" fill="{light}"/>',
        ),
        "dots": (
            36,
            f'<circle cx="9" cy="9" r="5.5" fill="{accent}"/><circle cx="27" cy="27" r="5.5" fill="{accent}"/>',
        ),
        "leaves": (58, _leaves(dark, light)),
        "checks": (44, _checks(dark, accent)),
        "stripes": (30, f'<path d="M0 0h30v9H0z" fill="{accent}"/>'),
    }[kind]
    return f'<pattern id="{name}p" width="{size}" height="{size}" patternUnits="userSpaceOnUse">{content}</pattern>'


def _leaves(dark: str, light: str) -> str:
    return (
        f'<path d="M14 44C8 28 16 14 30 8c4 16-2 30-16 36zM40 52c-2-10 4-18 12-22 2 10-2 18-12 22z" fill="{light}"/>'
        f'<path d="M14 44L27 15M40 52l9-16" stroke="{dark}" stroke-width="1.6" fill="none"/>'
    )


def _checks(dark: str, accent: str) -> str:
    return (
        f'<path d="M0 0h22v44H0z" fill="{dark}" opacity=".38"/><path d="M0 0h44v22H0z" fill="{dark}" opacity=".38"/>'
        f'<path d="M33 0v44M0 33h44" stroke="{accent}" stroke-width="2" opacity=".8"/>'
    )


def _speckles(dark: str, light: str, rng: Random) -> str:
    return "".join(
        f'<circle cx="{rng.randint(3, 61)}" cy="{rng.randint(3, 61)}" r="{rng.choice((1.2, 1.8, 2.6))}" fill="{fill}"/>'
        for fill in (dark, dark, light) * 7
    )
