"""Errors as OpenAI's clients expect them: `{"error": {"message", "type", "param", "code"}}`.

Messages are made here and in the endpoints from what the caller may know; what a model, a database or the interpreter
said stays in the log and in the event, since it may hold a prompt or a path of the server. Knows nothing of HTTP but
statuses.
"""

from collections.abc import Mapping

import msgspec

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


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


def failed() -> RequestError:
    """Return the error of a request that met a fault of ours."""
    message = "The gateway failed on this request; its log holds the reason."
    return RequestError(500, message, code="internal_error")


def error_body(error: RequestError) -> bytes:
    """Return the JSON of an error."""
    kind = "server_error" if error.status >= 500 else _TYPES.get(error.status, "invalid_request_error")
    return msgspec.json.encode(
        {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    )
