"""By hand: the command `bespeak`.

Each verb is one function, imported when it is called, so that `bespeak --help` answers at once. A verb asks the
running server when there is one, else it opens the store itself; the answers are the same.
"""

from __future__ import annotations

from bespeak.cli.main import main

__all__ = ["main"]
