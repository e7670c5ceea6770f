"""Folding: what makes "de", "DE" and "d\u00e9" one text.

Case and accents go, and joined letters come apart. Letters of other scripts stay what they are: the Cyrillic letter
that looks like an a is no a.

References
----------
[^1]: Unicode Standard, section 3.13 (full case folding) and annex 15 (decomposition NFKD).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

CACHE_MAX = 10_000
"""Folded texts that are kept; only those of at most `CACHED_MAX` characters."""
CACHED_MAX = 100

_MARKS = tuple(
    range(first, last + 1)
    for first, last in ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
)
"""Blocks of accents. Marks of single scripts stay: there, as with Japanese or Hindi vowels, they make other letters."""
_LETTERS = str.maketrans(
    {
        **{chr(mark): "" for block in _MARKS for mark in block},
        "\u00f8": "o",
        "\u0142": "l",
        "\u0111": "d",
        "\u00f0": "d",
        "\u0127": "h",
        "\u0131": "i",
        "\u0167": "t",
        "\u0180": "b",
        "\u0268": "i",
        "\u0289": "u",
        "\u0249": "j",
        "\u024d": "r",
        "\u024f": "y",
        "\u00e6": "ae",
        "\u0153": "oe",
        "\u00fe": "th",
        "\u014b": "ng",
        "\u0138": "k",
        "\u1e9e": "ss",
    }
)
"""What is left of accents, and of Latin letters with strokes and joined ones, which Unicode does not take apart."""


def fold(text: str) -> str:
    """Return a text without case and accents; folding what is folded changes nothing.

    Examples
    --------
    >>> fold("Stra\u00dfe"), fold("\u00c9t\u00e9"), fold("S\u00f8ren"), fold("\u212bngstr\u00f6m")
    ('strasse', 'ete', 'soren', 'angstrom')
    >>> fold("\u0430") == "a"  # Cyrillic
    False
    """
    if text.isascii():
        return text if text.islower() else text.lower()
    return _folded_short(text) if len(text) <= CACHED_MAX else _folded(text)


def _folded(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = decomposed.translate(_LETTERS) or decomposed  # of nothing but accents, the accents are the text
    return unicodedata.normalize("NFC", bare)


_folded_short = lru_cache(maxsize=CACHE_MAX)(_folded)
