"""bespeak: a real-time personalization engine.

A profile is a fold over events. A decision is a function of a snapshot. What was decided and seen is again an event.

Nothing heavy is imported here, so that `import bespeak` and `bespeak --help` stay fast; take what you need from
its package: `from bespeak.engine import Engine`, `from bespeak.settings import Settings`.
"""

from __future__ import annotations

__version__ = "0.1.0"

__all__ = ["__version__"]
