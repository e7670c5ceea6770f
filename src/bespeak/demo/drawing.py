"""Drawing pages: Liquid templates of the shop, with everything escaped that is not marked as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from liquid import CachingFileSystemLoader, Environment
from liquid.undefined import StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent
_environment = Environment(
    autoescape=True,
    undefined=StrictUndefined,
    loader=CachingFileSystemLoader(FOLDER / "templates", ext=".liquid", auto_reload=False),
)


def draw(template: str, values: Mapping[str, object]) -> Markup:
    """Return a template of the shop filled with `values`; a name that is not given is an error, not a gap."""
    return Markup(_environment.get_template(template).render(**values))  # noqa: S704 - autoescape made it so
