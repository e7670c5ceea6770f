"""Import maps by file or by the name of a shipped one."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec
import yaml

from bespeak.errors import DefinitionError
from bespeak.sources.import_map import ImportMap

_LARGEST = 256 * 1024
_SUFFIX = ".yaml"


def shipped_maps() -> tuple[str, ...]:
    """Return the names of the maps that come with bespeak."""
    folder = files("bespeak.sources.maps")
    return tuple(sorted(entry.name.removesuffix(_SUFFIX) for entry in folder.iterdir() if entry.name.endswith(_SUFFIX)))


def load_map(name: str | Path) -> ImportMap:
    """Return the map in a YAML file, or the shipped one of that name.

    Raises
    ------
    DefinitionError
        There is no such file and no such name, or what is there is not a map; the message says where and why.
    """
    if str(name) in shipped_maps():
        text = files("bespeak.sources.maps").joinpath(f"{name}{_SUFFIX}").read_bytes()
        return parse_map(text, where=f"map {name}")
    path = Path(name)
    if not path.is_file():
        raise DefinitionError(f"no import map {str(name)!r}: give a YAML file, or one of {', '.join(shipped_maps())}")
    if path.stat().st_size > _LARGEST:
        raise DefinitionError(f"{path}: a map has at most {_LARGEST:,} bytes")
    return parse_map(path.read_bytes(), where=str(path))


def parse_map(text: bytes, *, where: str) -> ImportMap:
    """Return the map that YAML text holds.

    Raises
    ------
    DefinitionError
        It is not YAML, or not a map; `where` begins the message.
    """
    try:
        found: object = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DefinitionError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise DefinitionError(f"{where}: a map is an object with name and sections")
    try:
        return msgspec.convert(found, ImportMap)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DefinitionError(f"{where}: {error}") from None
