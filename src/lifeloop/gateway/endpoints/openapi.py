"""GET /openapi.json: the API in OpenAPI 3.1, made of the types that decode and encode it and one table of endpoints.

What the table says of statuses is what tests hold the gateway to. Knows nothing of how requests are answered.
"""

from functools import lru_cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.gateway.endpoints.bodies import ChatBody, EmbeddingsBody, FeedbackBody, TaskBody, TextBody
from lifeloop.gateway.endpoints.releases import ReleasesReply
from lifeloop.gateway.endpoints.replies import (
    ChatReply,
    EmbeddingsReply,
    ErrorReply,
    FeedbackReply,
    ModelReply,
    ModelsReply,
    TaskAnswer,
    TaskAnswers,
    TextReply,
)
from lifeloop.gateway.production.routing import Readiness
from lifeloop.gateway.web.http import Call, Reply

EVERYWHERE = (400, 405, 408, 431, 500, 503)
"""Statuses of errors that any path may answer with."""
WITH_KEY = (401, 403, 429)
"""The same of paths that ask for a key."""
_LOCATION = {"description": "The page.", "schema": {"type": "string"}}
_TEMPLATE = "#/components/schemas/{name}"


class Described(Struct, frozen=True):
    """What one path takes and gives."""

    path: str
    method: str
    summary: str
    replies: tuple[type, ...] = ()
    body: type | None = None
    example: dict[str, Any] = {}
    """A body; the word PROJECT in it stands for the project's name."""
    errors: tuple[int, ...] = ()
    """Statuses besides those of `EVERYWHERE`, and of `WITH_KEY` where it has a scope."""
    scope: str = ""
    streams: bool = False
    """Whether it also gives server-sent events."""
    media: str = "application/json"
    status: int = 200


TABLE: tuple[Described, ...] = (
    Described(
        "/v1/chat/completions",
        "post",
        "Answer a conversation, as OpenAI's chat completions do.",
        (ChatReply,),
        ChatBody,
        {"model": "PROJECT", "messages": [{"role": "user", "content": "Where is my parcel?"}]},
        (404, 413),
        "infer",
        streams=True,
    ),
    Described(
        "/v1/completions",
        "post",
        "Answer one prompt or several, as OpenAI's older completions do.",
        (TextReply,),
        TextBody,
        {"model": "PROJECT", "prompt": "Where is my parcel?"},
        (404, 413),
        "infer",
        streams=True,
    ),
    Described(
        "/v1/embeddings",
        "post",
        "Give the vectors of texts, where a candidate of the release has them.",
        (EmbeddingsReply,),
        EmbeddingsBody,
        {"model": "PROJECT", "input": ["Where is my parcel?"]},
        (404, 413),
        "infer",
    ),
    Described(
        "/v1/tasks/{project}",
        "post",
        "Do the project's task on a text, on many texts or on a conversation.",
        (TaskAnswer, TaskAnswers),
        TaskBody,
        {"text": "Where is my parcel?"},
        (404, 413),
        "infer",
    ),
    Described(
        "/v1/feedback",
        "post",
        "Say what was good or bad about an answer.",
        (FeedbackReply,),
        FeedbackBody,
        {"event": "THE-ID-OF-AN-ANSWER", "rating": 1},
        (404, 413),
        "feedback",
    ),
    Described("/v1/models", "get", "List the names that may stand as `model`.", (ModelsReply,), scope="infer"),
    Described("/v1/models/{id}", "get", "Describe one of them.", (ModelReply,), errors=(404,), scope="infer"),
    Described("/v1/releases", "get", "Say who serves in this process, and how well.", (ReleasesReply,), scope="admin"),
    Described("/", "get", "Lead to the page for people.", status=307),
    Described("/healthz", "get", "200 while the process answers."),
    Described("/readyz", "get", "200 once the released candidate is loaded and until the process stops.", (Readiness,)),
    Described("/openapi.json", "get", "This description."),
    Described("/docs", "get", "The same for people.", media="text/html"),
)


async def description(call: Call) -> Reply:
    """Give the description."""
    return Reply(msgspec.json.encode(describe(call.parts.serving.project)))


@lru_cache(maxsize=8)
def describe(project: str) -> dict[str, Any]:
    """Return the OpenAPI description of a project's gateway."""
    types = [each for row in TABLE for each in (*row.replies, *([row.body] if row.body else []))]
    _, components = msgspec.json.schema_components([*types, ErrorReply], ref_template=_TEMPLATE)
    paths: dict[str, Any] = {}
    for row in TABLE:
        paths.setdefault(row.path, {})[row.method] = _operation(row, project)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"lifeloop: {project}",
            "version": version("lifeloop"),
            "description": "Answers with the released candidate of a lifeloop project, in OpenAI's protocol.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _operation(row: Described, project: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{row.method}{row.path.replace('/', '_').replace('{', '').replace('}', '').replace('.', '_')}",
        "summary": row.summary,
        "responses": _responses(row),
    }
    if row.scope:
        operation["security"] = [{"key": []}, {"header": []}, {}]  # none is asked for until a first key is made
        operation["description"] = f"Asks for a key of scope `{row.scope}`, once the project has any key."
    if "{" in row.path:
        name = row.path[row.path.index("{") + 1 : row.path.index("}")]
        schema: dict[str, Any] = {"type": "string"} | ({"enum": [project]} if name == "project" else {})
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": schema, "example": project},
        ]
    if row.body is not None:
        schema = {"$ref": _TEMPLATE.format(name=row.body.__name__)}
        media = {"schema": schema, "example": _named(row.example, project)}
        operation["requestBody"] = {"required": True, "content": {"application/json": media}}
    return operation


def _responses(row: Described) -> dict[str, Any]:
    refs = [{"$ref": _TEMPLATE.format(name=kind.__name__)} for kind in row.replies]
    schema: dict[str, Any] = {"anyOf": refs} if len(refs) > 1 else refs[0] if refs else {}
    content: dict[str, Any] = {row.media: {"schema": schema} if schema else {}}
    if row.streams:
        content["text/event-stream"] = {}
    request_id = {"x-request-id": {"description": "The id of the request.", "schema": {"type": "string"}}}
    done: dict[str, Any] = {"description": "Done.", "headers": request_id, "content": content}
    if row.status == 307:
        done = {"description": f"{HTTPStatus(307).phrase}.", "headers": {**request_id, "location": _LOCATION}}
    responses: dict[str, Any] = {str(row.status): done}
    for status in sorted({*EVERYWHERE, *row.errors, *(WITH_KEY if row.scope else ())}):
        reply: dict[str, Any] = {"$ref": _TEMPLATE.format(name="ErrorReply")}
        if status == 503 and row.path == "/readyz":
            reply = {"anyOf": [*refs, reply]}
        responses[str(status)] = {
            "description": f"{HTTPStatus(status).phrase}.",
            "headers": request_id,
            "content": {"application/json": {"schema": reply}},
        }
    return responses


def _named(value: Any, project: str) -> Any:
    if isinstance(value, dict):
        return {key: _named(each, project) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each, project) for each in value]
    return project if value == "PROJECT" else value
