"""From the words of a command line to the function of its verb, and from its errors to an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import cast

from bespeak.cli.words import build_parser
from bespeak.errors import BespeakError, SettingsError

DONE, FAILED, MISUSED = 0, 1, 2
"""Exit codes: it is done; it did not work and the message says why; the command line or the settings are wrong."""

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what is wrong goes to standard error in one message."""
    arguments = build_parser().parse_args(argv)
    try:
        return _verb(arguments)(arguments)
    except SettingsError as error:
        return _complain(error.message, MISUSED)
    except BespeakError as error:
        return _complain(error.message, FAILED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has enough, as `head` has
        return DONE
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)


def _verb(arguments: Namespace) -> Callable[[Namespace], int]:
    module, _, function = cast("str", arguments.run).partition(":")
    return cast("Callable[[Namespace], int]", getattr(importlib.import_module(f"bespeak.cli.{module}"), function))


def _complain(message: str, code: int) -> int:
    print(f"bespeak: {message}", file=sys.stderr)
    return code
