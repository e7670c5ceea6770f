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
_STROKES = zip(
    "\u2c65\u0180\u023c\u0111\u0247\ua799\u01e5\u0127\u0268\u0249\ua741\u0142\u00f8\u1d7d\u024d\u0167\ua7b9\u024f\u01b6",
    "abcdefghijkloprtuyz",
    strict=True,
)
"""Latin letters with a stroke, which Unicode does not take apart."""
_JOINED = zip("\u00e6\u0153\u00fe\u00f0\u0131\u014b\u0138", ["ae", "oe", "th", "d", "i", "ng", "k"], strict=True)
"""Other Latin letters that people type in one or two plain ones."""
_LETTERS = str.maketrans({**{chr(mark): "" for block in _MARKS for mark in block}, **dict(_STROKES), **dict(_JOINED)})
"""What is left of each, after decomposition."""


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
