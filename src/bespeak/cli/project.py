"""`bespeak init`: a project folder that works at once."""

from __future__ import annotations

from argparse import Namespace
from importlib.resources import files
from pathlib import Path

from bespeak.cli.client import CONFIG, ask, connected
from bespeak.cli.definitions import apply_folder
from bespeak.cli.keys import created_text
from bespeak.cli.output import show
from bespeak.errors import Conflict, InvalidInput

SCAFFOLD = files("bespeak.cli").joinpath("scaffold")
PLACES = (CONFIG, "segments/first.yaml", "rules/first.yaml", "experiments/first.yaml", "content/first.yaml")
_KEYS = (("write", "site"), ("secret", "backend"))


def init(arguments: Namespace) -> int:
    """Make the folder, put its definitions in force, and make a write and a secret key."""
    directory = Path(arguments.directory)
    if (directory / CONFIG).exists():
        raise Conflict(f"{directory / CONFIG} is there already: this is a project folder; `bespeak serve` runs it")
    _scaffold(directory)
    if arguments.config is None:
        arguments.config = str(directory / CONFIG)
    with connected(arguments) as client:
        applied = apply_folder(client, directory)
        keys = [ask(client, "POST", "/v1/keys", {"kind": kind, "name": name}) for kind, name in _KEYS]
    lines = [f"made {directory / place}" for place in PLACES]
    lines += [f"{len(applied)} definitions are in force", *(created_text(key) for key in keys)]
    step = f"cd {directory} && bespeak serve" if arguments.directory != "." else "bespeak serve"
    return show(
        arguments,
        {"directory": str(directory), "files": list(PLACES), "keys": keys},
        "\n".join([*lines, f"next: {step}"]),
    )


def _scaffold(directory: Path) -> None:
    try:
        for place in PLACES:
            target = directory / place
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.write_bytes(SCAFFOLD.joinpath(place).read_bytes())
        ignore = directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("# The store and its keys are no part of the project.\n.bespeak/\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{directory}: cannot be written: {error.strerror}") from None
