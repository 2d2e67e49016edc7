"""GET /docs: the API for people, one page made here from the OpenAPI description. No scripts, nothing from outside."""

import json
from collections.abc import Mapping
from functools import lru_cache
from html import escape
from typing import Any

from lifeloop.gateway.endpoints.openapi import describe
from lifeloop.gateway.web.http import Call, Headers, Reply

_SAFE: Headers = [
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
    (b"x-content-type-options", b"nosniff"),
]
_ERROR = '{"error": {"message": …, "type": …, "param": …, "code": …}}'
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430 }
h2 { margin: 2.5rem 0 .3rem; font-size: 1.1rem } code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #f3f5f8; padding: .7rem .9rem; border-radius: 6px; overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: .6rem 0 }
td { text-align: left; padding: .25rem .8rem .25rem 0; vertical-align: top; border-bottom: 1px solid #e3e7ec }
.method { color: #fff; background: #2f5d8c; border-radius: 4px; padding: .1rem .45rem; font-size: .8rem }
.quiet { color: #5b6675 }
@media (prefers-color-scheme: dark) {
  body { background: #14181d; color: #dfe4ea } pre { background: #1e242b } a { color: #8ab8e6 }
  td { border-color: #303842 } .quiet { color: #98a3b0 }
}
"""


async def docs(call: Call) -> Reply:
    """Give the page."""
    page = _page(call.parts.serving.project)
    return Reply(page, headers=_SAFE, type=(b"content-type", b"text/html; charset=utf-8"))


@lru_cache(maxsize=8)
def _page(project: str) -> bytes:
    api = describe(project)
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>{escape(api['info']['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(api['info']['title'])}</h1><p>{escape(api['info']['description'])} ",
        "The same for machines: <a href='openapi.json'>openapi.json</a>.</p>",
        f"<p class='quiet'>Errors are <code>{escape(_ERROR)}</code>; every response has <code>x-request-id</code>.</p>",
    ]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            parts.append(_operation(path, method, operation, api["components"]["schemas"]))
    return "".join(parts).encode()


def _operation(path: str, method: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    head = f"<h2><span class='method'>{method.upper()}</span> <code>{escape(path)}</code></h2>"
    more = f"<span class='quiet'>{escape(operation.get('description', ''))}</span>"
    told = f"<p>{escape(operation['summary'])} {more}</p>"
    example = _example(path, method, operation)
    fields = ""
    if "requestBody" in operation:
        media = operation["requestBody"]["content"]["application/json"]
        fields = _fields(schemas[media["schema"]["$ref"].rpartition("/")[2]])
    statuses = ", ".join(operation["responses"])
    return f"{head}{told}<pre>{escape(example)}</pre>{fields}<p class='quiet'>Answers with {statuses}.</p>"


def _example(path: str, method: str, operation: Mapping[str, Any]) -> str:
    for parameter in operation.get("parameters", ()):
        path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    key = " -H 'Authorization: Bearer KEY'" if "security" in operation else ""
    if method == "get":
        return f"curl{key} $URL{path}"
    body = json.dumps(operation["requestBody"]["content"]["application/json"]["example"])
    return f"curl{key} $URL{path} -d '{body}'"


def _fields(schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        f"<tr><td><code>{escape(name)}</code>{' <b>required</b>' if name in required else ''}</td>"
        f"<td>{escape(_type(field))}</td></tr>"
        for name, field in schema["properties"].items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _type(field: Mapping[str, Any]) -> str:
    """Return a JSON schema in a few words."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(each) for each in field["anyOf"] if each.get("type") != "null"))
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if "enum" in field:
        return " or ".join(json.dumps(value) for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {})) or 'anything'}"
    bounds = [f"at least {field['minimum']}"] if "minimum" in field else []
    bounds += [f"at most {field['maximum']}"] if "maximum" in field else []
    return " ".join([str(field.get("type", "anything")), *([f"({', '.join(bounds)})"] if bounds else [])])
