"""`python -m bespeak` is the command `bespeak`."""

from __future__ import annotations

import sys

from bespeak.cli import main

if __name__ == "__main__":
    sys.exit(main())
