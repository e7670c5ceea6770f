"""Traces of somebody: where a word still stands, in any file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def found_in(folder: Path, words: Iterable[str | bytes]) -> list[str]:
    """Search every byte of every file under a folder.

    Text is looked for in UTF-8, in UTF-16 and in hexadecimal, bytes as they are.

    Returns
    -------
    The name of the file and the word, for each hit.
    """
    forms = [(word, _forms(word)) for word in words]
    hits: list[str] = []
    for file in sorted(each for each in folder.rglob("*") if each.is_file()):
        data = file.read_bytes()
        hits += [f"{file.name}: {word!r}" for word, known in forms if any(form in data for form in known)]
    return hits


def _forms(word: str | bytes) -> tuple[bytes, ...]:
    if isinstance(word, bytes):
        return (word,)
    return word.encode(), word.encode("utf-16-le"), word.encode().hex().encode()
