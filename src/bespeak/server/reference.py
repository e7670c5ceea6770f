"""The page at `/docs`: the API reference, drawn from `/openapi.json` as plain HTML.

No script, no outside request: it reads well without a network, on a phone, and under a strict content policy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, cast

Json = Mapping[str, Any]

_ORDER = ("events", "decisions", "profiles", "items", "definitions", "keys", "server")
_TITLES = {
    "events": "Events in",
    "decisions": "Decisions out",
    "profiles": "Profiles",
    "items": "Items",
    "definitions": "Definitions",
    "keys": "Keys",
    "server": "The server itself",
}
_CODE = re.compile(r"`([^`]+)`")


def render_reference(schema: Json) -> str:
    """Return the whole page for an OpenAPI 3.1 document.

    Examples
    --------
    >>> page = render_reference({"info": {"title": "x", "version": "1"}, "paths": {}})
    >>> "<script" in page
    False
    """
    info = schema["info"]
    groups = _grouped(schema)
    components: Json = schema.get("components", {}).get("schemas", {})
    navigation = (
        "".join(f'<li><a href="#{tag}">{escape(_TITLES.get(tag, tag.title()))}</a></li>' for tag in groups)
        + '<li><a href="#types">Types</a></li>'
    )
    sections = "".join(_group(tag, operations) for tag, operations in groups.items())
    types = "".join(_type(name, kind) for name, kind in sorted(components.items()))
    return _PAGE.format(
        title=escape(str(info["title"])),
        version=escape(str(info["version"])),
        description=_prose(str(info.get("description", ""))),
        navigation=navigation,
        sections=sections,
        types=types,
        style=_STYLE,
    )


def _grouped(schema: Json) -> dict[str, list[tuple[str, str, Json]]]:
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for path, operations in cast("Mapping[str, Json]", schema["paths"]).items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            found.setdefault(tag, []).append((method.upper(), path, operation))
    known = [tag for tag in _ORDER if tag in found]
    return {tag: found[tag] for tag in (*known, *sorted(set(found) - set(known)))}


def _group(tag: str, operations: list[tuple[str, str, Json]]) -> str:
    inner = "".join(_operation(method, path, operation) for method, path, operation in operations)
    return f'<section id="{tag}"><h2>{escape(_TITLES.get(tag, tag.title()))}</h2>{inner}</section>'


def _operation(method: str, path: str, operation: Json) -> str:
    name = escape(str(operation.get("operationId", f"{method}{path}")), quote=True)
    parts = [
        f"<p>{_prose(str(operation['description']))}</p>" if operation.get("description") else "",
        _parameters(operation),
        _body(operation),
        _curl(method, path, operation),
        _responses(operation),
    ]
    summary = escape(str(operation.get("summary", "")))
    return (
        f'<details><summary><span class="method {method.lower()}">{method}</span>'
        f'<code>{escape(path)}</code><span class="what">{summary}</span></summary>'
        f'<div class="inner" id="op-{name}">{"".join(parts)}</div></details>'
    )


def _parameters(operation: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(str(one['name']))}</code></td><td>{escape(str(one['in']))}</td>"
        f"<td>{_kind(one.get('schema', {}))}</td><td>{_prose(str(one.get('description', '')))}</td></tr>"
        for one in operation.get("parameters", ())
    )
    return _table("Parameters", ("name", "in", "type", "meaning"), rows)


def _body(operation: Json) -> str:
    content: Json = operation.get("requestBody", {}).get("content", {})
    kinds = [_kind(one.get("schema", {})) for one in content.values()]
    return f"<h3>Body</h3><p>{' or '.join(kinds)}</p>" if kinds else ""


def _curl(method: str, path: str, operation: Json) -> str:
    lines = [f"curl -X {method} http://127.0.0.1:8000{path}"]
    if operation.get("security"):
        lines.append("-u KEY:")
    content: Json = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "example" in content:
        lines.append("-d '" + json.dumps(content["example"]) + "'")
    shown = " \\\n  ".join(escape(line) for line in lines)
    return f'<h3>Try it</h3><pre tabindex="0"><code>{shown}</code></pre>'


def _responses(operation: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{escape(str(one.get('description', '')))}</td>"
        f"<td>{' '.join(_kind(each.get('schema', {})) for each in one.get('content', {}).values())}</td></tr>"
        for status, one in cast("Mapping[str, Json]", operation.get("responses", {})).items()
    )
    return _table("Answers", ("status", "when", "body"), rows)


def _type(name: str, kind: Json) -> str:
    required = set(kind.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code>{'' if field in required else ' <small>optional</small>'}</td>"
        f"<td>{_kind(one)}</td><td>{_prose(str(one.get('description', '')))}</td></tr>"
        for field, one in cast("Mapping[str, Json]", kind.get("properties", {})).items()
    )
    description = str(kind.get("description", "")).split("\n\n", 1)[0]
    inner = f"<p>{_prose(description)}</p>{_table('', ('field', 'type', 'meaning'), rows)}"
    anchor = escape(name, quote=True)
    return (
        f"<details><summary><code>{escape(name)}</code></summary>"
        f'<div class="inner" id="type-{anchor}">{inner}</div></details>'
    )


def _kind(schema: Json) -> str:
    """Say a JSON schema in a word or two, with a link where it is a named type."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f'<a href="#type-{escape(name, quote=True)}">{escape(name)}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_unique(_kind(one) for one in schema[several]))
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    kind = schema.get("type", "anything")
    return escape(" or ".join(cast("list[str]", kind)) if isinstance(kind, list) else str(kind))


def _unique(values: Iterator[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _table(title: str, heads: tuple[str, ...], rows: str) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    named = f"<h3>{title}</h3>" if title else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'{named}<div class="wide" tabindex="0">{table}</div>'


def _prose(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))


_STYLE = """
:root { color-scheme: light dark; --ink: #1c2230; --soft: #545d70; --line: #d9dee8; --paper: #ffffff; --field: #f4f6fa;
  --link: #1f4fbf; --get: #0b6b3a; --post: #1f4fbf; --put: #8a4b00; --delete: #a3152b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf2; --soft: #a9b2c5; --line: #333c4f; --paper: #141924;
  --field: #1d2433; --link: #8db3ff; --get: #63d297; --post: #8db3ff; --put: #f0b429; --delete: #ff8fa0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
header, main { max-width: 62rem; margin: 0 auto; padding: 1rem; }
header { padding-top: 2rem; }
h1 { margin: 0; font-size: 1.9rem; } h1 small { color: var(--soft); font-size: 1rem; font-weight: 400; }
h2 { margin: 2rem 0 .6rem; font-size: 1.3rem; } h3 { margin: 1rem 0 .3rem; font-size: .95rem; }
p { margin: .4rem 0; } a { color: var(--link); }
nav ul { display: flex; flex-wrap: wrap; gap: .4rem 1.1rem; padding: 0; list-style: none; }
nav a { display: inline-block; padding: .3rem 0; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; background: var(--paper); }
details[open] > summary { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: .65rem .8rem; }
summary { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem .7rem; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
summary code { font-weight: 600; overflow-wrap: anywhere; } .what { color: var(--soft); }
.method { font: 700 .8rem ui-monospace, monospace; min-width: 4rem; }
.get { color: var(--get); } .post { color: var(--post); } .put { color: var(--put); } .delete { color: var(--delete); }
.inner { padding: .4rem .8rem .9rem; scroll-margin-top: 3.5rem; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .9em; }
pre { background: var(--field); padding: .7rem; border-radius: .4rem; overflow-x: auto; margin: .3rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; } small { color: var(--soft); }
"""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} API</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<header>
<h1>{title} API <small>{version}</small></h1>
<p>{description}</p>
<p>Show a key as the user of HTTP Basic (<code>-u KEY:</code>), as <code>X-Write-Key</code>, or as
<code>writeKey</code> in the body of events. A <em>write key</em> sends events and asks for decisions about its own
device; a <em>secret key</em> does everything, unless it is held to scopes: under 403 each call names its own. For
programs: <a href="/openapi.json">openapi.json</a>.</p>
<nav aria-label="Contents"><ul>{navigation}</ul></nav>
</header>
<main>
{sections}
<section id="types"><h2>Types</h2>{types}</section>
</main>
</body>
</html>
"""
