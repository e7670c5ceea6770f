"""Names of events in conditions: as sent, letter by letter, or every name that begins so.

A star at the end stands for whatever follows; a name that itself ends in a star is written with a backslash before it.
"""

from __future__ import annotations


def prefix_of(event: str) -> str | None:
    r"""Return what the names begin with that a condition's name of events stands for; None where it is one name.

    Examples
    --------
    >>> prefix_of("Product*"), prefix_of("Product Viewed"), prefix_of("Rated 5\\*")
    ('Product', None, None)
    """
    return event[:-1] if event.endswith("*") and not event.endswith("\\*") else None


def name_of(event: str) -> str:
    r"""Return the one name of events that a condition's name stands for, given that it is no prefix.

    Examples
    --------
    >>> name_of("Product Viewed"), name_of("Rated 5\\*")
    ('Product Viewed', 'Rated 5*')
    """
    return event[:-2] + "*" if event.endswith("\\*") else event


def is_meant(event: str, name: str) -> bool:
    """Say whether a condition's name of events means an event of this name.

    Examples
    --------
    >>> is_meant("Product*", "Product Added"), is_meant("Product Added", "Product")
    (True, False)
    """
    prefix = prefix_of(event)
    return name_of(event) == name if prefix is None else name.startswith(prefix)
