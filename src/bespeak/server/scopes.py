"""What each endpoint asks of a key, by its tag and method: enforced by the gate, and shown in `/openapi.json`."""

from __future__ import annotations

from bespeak.errors import Forbidden, Problem
from bespeak.privacy import Key, Scope

_READING: dict[str, Scope] = {
    "decisions": "decide",
    "events": "profiles:read",  # the quarantine holds what people sent
    "profiles": "profiles:read",
    "lists": "profiles:read",
    "previews": "profiles:read",  # they name people
    "items": "catalog:read",
    "definitions": "definitions:read",
    "keys": "keys",
    "server": "ops",
}
_CHANGING: dict[str, Scope] = {
    **_READING,
    "events": "events",
    "profiles": "profiles:erase",
    "lists": "events",  # who is put on a list is an event of theirs
    "items": "catalog:write",
    "definitions": "definitions:write",
}


class MissingScope(Forbidden):
    """The key is known, and was not given what this needs."""

    code = "missing_scope"


def scope_for(method: str, tag: str) -> Scope | None:
    """Return the scope that an endpoint needs; None for one of an unknown tag, which is for keys without scopes alone.

    Examples
    --------
    >>> scope_for("GET", "profiles"), scope_for("DELETE", "profiles"), scope_for("GET", "weather")
    ('profiles:read', 'profiles:erase', None)
    """
    return (_READING if method.upper() in ("GET", "HEAD") else _CHANGING).get(tag)


def require(key: Key, scope: Scope | None) -> None:
    """Refuse a key that may not do what a scope stands for.

    Raises
    ------
    MissingScope
        The message names the scope, what the key has, and what would do.
    """
    if key.scopes is None and key.kind == "secret":
        return
    if scope is not None and key.allows(scope):
        return
    has = ", ".join(key.scopes or sorted(key.allowed))
    needed = scope or "a key without scopes"
    option = f" --scope {scope}" if scope else ""
    raise MissingScope(
        f"key {key.id} lacks the scope {needed}; it has: {has}. Use a key that has it:"
        f" `bespeak keys create --kind {_kind(key, scope)}{option}`",
        problems=(Problem("scope", needed, has),),
    )


def require_no_less(key: Key, other: Key) -> None:
    """Refuse a key that would get hold of one that may more than itself.

    Raises
    ------
    MissingScope
        `other` may something that `key` may not.
    """
    if key.scopes is None and key.kind == "secret":
        return
    if other.scopes is None and other.kind == "secret":
        require(key, None)
    for scope in sorted(other.allowed - key.allowed):
        require(key, scope)


def _kind(key: Key, scope: Scope | None) -> str:
    return key.kind if scope in ("events", "decide") else "secret"
