"""The demo: a shop of a town that does not exist, its people, and a view of what bespeak makes of them.

`run` starts it all in one process. The shop asks the engine in process, as a server-rendered site would; its
visitors, yours and the simulated ones, report through the public wire.
"""

from __future__ import annotations

from bespeak.demo.run import SEED, run

__all__ = ["SEED", "run"]
