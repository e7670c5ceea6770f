"""OpenAPI: what FastAPI knows of the owner's endpoints, joined with the schemas of the hot ones.

The hot endpoints never meet FastAPI, so that nothing is spent there on validation twice; their schemas come from
the very msgspec types that decode and encode them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from bespeak.decide import DecideRequest
from bespeak.server.answers import ErrorBody
from bespeak.server.decisions import RECOMMENDATIONS, Recommendations, ShownDecision
from bespeak.server.ingest import Verdicts
from bespeak.server.scopes import scope_for

_REF = "#/components/schemas/{name}"
_IDS = {
    "userId": {"type": ["string", "null"], "description": "Your own id of a known person; this or `anonymousId`."},
    "anonymousId": {"type": ["string", "null"], "description": "The id of a device nobody has identified yet."},
    "userSignature": {
        "type": "string",
        "description": "HMAC-SHA256 of the user id with the key's signing secret, in hexadecimal.",
    },
}
_COMMON = {
    **_IDS,
    "messageId": {"type": "string", "maxLength": 100, "description": "What duplicates are told by; made when missing."},
    "timestamp": {"type": "string", "format": "date-time"},
    "sentAt": {
        "type": "string",
        "format": "date-time",
        "description": "The sender's clock when it sent; corrects its skew.",
    },
    "context": {
        "type": "object",
        "description": "Page, campaign, device, consent (`consent.categoryPreferences`), ...",
    },
}
_CALLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "track": (
        "Somebody did something",
        {"event": {"type": "string", "examples": ["Product Viewed"]}, "properties": {"type": "object"}},
        ["event"],
    ),
    "identify": ("Who somebody is, and what they are like", {"traits": {"type": "object"}}, []),
    "page": (
        "A page was seen",
        {"name": {"type": "string"}, "category": {"type": "string"}, "properties": {"type": "object"}},
        [],
    ),
    "screen": ("An app's screen was seen", {"name": {"type": "string"}, "properties": {"type": "object"}}, []),
    "group": (
        "Somebody belongs to a group",
        {"groupId": {"type": "string"}, "traits": {"type": "object"}},
        ["groupId"],
    ),
    "alias": ("Two ids are one person", {"previousId": {"type": "string"}}, ["previousId"]),
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "/v1/track": {
        "anonymousId": "device-1",
        "event": "Product Viewed",
        "properties": {"product_id": "sku-1"},
    },
    "/v1/identify": {"anonymousId": "device-1", "userId": "1234", "traits": {"country": "DE"}},
    "/v1/page": {"anonymousId": "device-1", "name": "Home"},
    "/v1/screen": {"anonymousId": "device-1", "name": "Start"},
    "/v1/group": {"userId": "1234", "groupId": "acme"},
    "/v1/alias": {"userId": "1234", "previousId": "device-1"},
    "/v1/batch": {"batch": [{"type": "track", "userId": "1234", "event": "Order Completed"}]},
    "/v1/import": {"batch": [{"type": "track", "userId": "1234", "event": "Order Completed"}]},
    "/v1/events": {"batch": [{"type": "track", "messageId": "m1", "userId": "1234", "event": "Product Viewed"}]},
    "/v1/decide": {"anonymousId": "device-1", "slots": [{"id": "home", "n": 4}]},
}


def body_of(kind: Any) -> dict[str, Any]:  # noqa: ANN401  a type form has no better type
    """Return FastAPI's `openapi_extra` for a body that msgspec decodes into `kind`."""
    (schema,), _ = msgspec.json.schema_components((kind,), ref_template=_REF)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def join_hot(schema: dict[str, Any], extra: tuple[type, ...]) -> dict[str, Any]:
    """Return FastAPI's schema with the hot endpoints, their types, the types in `extra`, and the ways to show a key."""
    kinds = (DecideRequest, ShownDecision, Recommendations, Verdicts, ErrorBody, *extra)
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    joined = {**schema}
    joined["components"] = {
        **schema.get("components", {}),
        "schemas": {**schema.get("components", {}).get("schemas", {}), **components, **_call_schemas()},
        "securitySchemes": _security_schemes(),
    }
    owned = {path: {**operations} for path, operations in schema.get("paths", {}).items()}
    for path, operations in owned.items():
        for method, operation in operations.items():
            if path.startswith("/v1/"):
                operation["responses"].pop("422", None)
                operation["responses"] |= _errors("400", "401", "403")
                _scoped(method, operation)
    joined["paths"] = {**_hot_paths(), **owned}
    return joined


def _scoped(method: str, operation: dict[str, Any]) -> dict[str, Any]:
    """Say which scope an operation needs: as the role of its ways to show a key, and in words."""
    scope = scope_for(method, operation["tags"][0])
    roles = [] if scope is None else [scope]
    operation["security"] = [{"basic": roles}, {"header": roles}]
    operation["responses"]["403"]["description"] = f"The key may not do this; it needs the scope {scope}"
    return operation


def _hot_paths() -> dict[str, Any]:
    paths = {
        f"/v1/{name}": _post(summary, name.title(), "Success", path=f"/v1/{name}")
        for name, (summary, _, _) in _CALLS.items()
    }
    paths["/v1/batch"] = _post("Many events", "Batch", "Success", path="/v1/batch")
    paths["/v1/import"] = _post("Many events (Segment's older name)", "Batch", "Success", path="/v1/import")
    paths["/v1/events"] = _post("Many events, answered one by one", "Batch", "Verdicts", path="/v1/events")
    paths["/v1/decide"] = _post(
        "What to show on a page", "DecideRequest", "ShownDecision", path="/v1/decide", tag="decisions"
    )
    paths[RECOMMENDATIONS] = {"get": _scoped("get", _recommendations())}
    return paths


def _post(summary: str, request: str, answer: str, *, path: str, tag: str = "events") -> dict[str, Any]:
    content = {"schema": {"$ref": _REF.format(name=request)}, "example": _EXAMPLES[path]}
    operation: dict[str, Any] = {
        "tags": [tag],
        "summary": summary,
        "operationId": path.removeprefix("/v1/"),
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": _answers(answer),
    }
    if tag == "events":
        operation["parameters"] = [_STRICT]
    return {"post": _scoped("post", operation)}


_STRICT = {
    "name": "X-Strict-Mode",
    "in": "header",
    "schema": {"type": "string", "enum": ["1"]},
    "description": "With `1`, one bad event refuses the whole request with 400.",
}


def _recommendations() -> dict[str, Any]:
    described = {
        "user_id": "A known person; with a write key it needs `signature`.",
        "anonymous_id": "A device.",
        "signature": "HMAC of the user id.",
        "n": "How many items, 0 to 200; 10 by default.",
        "item": "The item that the page is about.",
        "category": "Only items of this category.",
        "slot": "A slot's name, for rules that concern it.",
        "explain": "`1`: with the reasons; secret key.",
    }
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "integer" if name == "n" else "string"}, "description": text}
        for name, text in described.items()
    ]
    return {
        "tags": ["decisions"],
        "summary": "Items for one person, in short",
        "operationId": "recommendations",
        "parameters": parameters,
        "responses": _answers("Recommendations"),
    }


def _answers(name: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF.format(name=name)}}}
    return {"200": {"description": "Done", "content": content}, **_errors("400", "401", "403", "429", "503")}


def _errors(*statuses: str) -> dict[str, Any]:
    meanings = {
        "400": "Malformed, too large, or refused under strict mode",
        "401": "No key, or one that is unknown, revoked, expired or replaced",
        "403": "The key may not do this",
        "429": "Too much at once; see Retry-After",
        "503": "Not now; see Retry-After",
    }
    content = {"application/json": {"schema": {"$ref": _REF.format(name="ErrorBody")}}}
    return {status: {"description": meanings[status], "content": content} for status in statuses}


def _call_schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {
        name.title(): {
            "type": "object",
            "properties": {**_COMMON, **fields},
            "required": required,
            "description": summary,
        }
        for name, (summary, fields, required) in _CALLS.items()
    }
    typed = [
        {"allOf": [{"$ref": _REF.format(name=name.title())}], "properties": {"type": {"const": name}}}
        for name in _CALLS
    ]
    schemas["Batch"] = {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": {"oneOf": typed}},
            "context": {"type": "object", "description": "Merged under the context of each event."},
            "sentAt": {"type": "string", "format": "date-time"},
            "writeKey": {"type": "string", "description": "For senders that cannot set headers."},
        },
    }
    schemas["Success"] = {"type": "object", "properties": {"success": {"const": True}}, "required": ["success"]}
    return schemas


def _security_schemes() -> dict[str, Any]:
    return {
        "basic": {"type": "http", "scheme": "basic", "description": "The key as the user; the password is empty."},
        "header": {"type": "apiKey", "in": "header", "name": "X-Write-Key", "description": "The key."},
    }
