"""Errors as OpenAI's clients expect them: `{"error": {"message", "type", "param", "code"}}`, with a request id.

Messages are made here and in the endpoints from what the caller may know; what a model, a database or the interpreter
said stays in the log and in the event, since it may hold a prompt or a path of the server.
"""

import logging
import os
from collections.abc import Iterator, Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

REQUEST_ID = "lifeloop.request"
"""Key of the scope under which a request's id stands; it is also the id of the event that it becomes."""

_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class RequestError(Exception):
    """A request that is not answered, in words for its sender."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})


def not_ready() -> RequestError:
    """Return the error of a gateway without a loaded release."""
    return RequestError(
        503,
        "No released candidate is loaded yet; see /readyz, and try again shortly.",
        code="not_ready",
        headers={"retry-after": "1"},
    )


def error_body(error: RequestError) -> bytes:
    """Return the JSON of an error."""
    kind = "server_error" if error.status >= 500 else _TYPES.get(error.status, "invalid_request_error")
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    )


def error_response(error: RequestError) -> Response:
    """Return an error as a response."""
    return Response(error_body(error), error.status, error.headers, "application/json")


async def on_request_error(request: Request, error: Exception) -> Response:
    """Answer a RequestError that an endpoint raised."""
    assert isinstance(error, RequestError)
    return error_response(error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what routing itself refuses: an unknown path or a wrong method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return error_response(RequestError(404, "There is nothing at this path.", code="unknown_url", headers=headers))
    if error.status_code == 405:
        allowed = headers.get("Allow", "")
        message = f"This path does not take {request.method}; it takes {allowed}."
        return error_response(RequestError(405, message, code="method_not_allowed", headers=headers))
    return error_response(RequestError(error.status_code, "The request cannot be served.", headers=headers))


async def on_any_error(request: Request, error: Exception) -> Response:
    """Answer a fault of ours; Starlette hands the exception on to the server's log."""
    failed = RequestError(500, "The gateway failed on this request; its log holds the reason.", code="internal_error")
    failed.headers["x-request-id"] = request.scope.get(REQUEST_ID, "")
    return error_response(failed)


class RequestIds:
    """Middleware that gives every request an id and sends it back as `x-request-id`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._ids = _ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identifier = next(self._ids)
        scope[REQUEST_ID] = identifier
        header = (b"x-request-id", identifier.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self.app(scope, receive, send_with_id)


def _ids() -> Iterator[str]:
    """Yield ids of 32 hexadecimal digits; a system call for each would cost more than the rest of the middleware."""
    while True:
        pool = os.urandom(4096)
        for start in range(0, len(pool), 16):
            yield pool[start : start + 16].hex()
