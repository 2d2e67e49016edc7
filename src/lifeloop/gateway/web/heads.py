"""What the head of a request may be: how large, how its body may be coded, and what is left of it without an offer.

Takes what the parser found, gives it checked, or the error that its sender is told. Knows nothing of connections.
"""

from collections.abc import Sequence

import httptools

from lifeloop.gateway.web.errors import RequestError

MAX_HEAD = 64 * 1024
"""Bytes of a head."""
MAX_HEADERS = 256
"""Headers of a request."""

Headers = Sequence[tuple[bytes, bytes]]


def check_size(url: bytes, headers: Headers) -> None:
    """Hold a head against the limits. Raises RequestError 431."""
    size = len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
    if size > MAX_HEAD or len(headers) > MAX_HEADERS:
        raise too_large()


def too_large() -> RequestError:
    """Return the error of a head that is above the limits."""
    return RequestError(431, "The head of the request is too large.", code="head_too_large")


def check_coding(coding: bytes, *, again: bool) -> None:
    """Hold a `transfer-encoding` against the one that is undone here. Raises RequestError 501.

    Whatever else servers before this one make of it, such as another coding or one named twice, they might take the
    body to end elsewhere, and what follows to be another request.
    """
    if again or coding.lower() != b"chunked":
        raise RequestError(501, "`transfer-encoding` may be `chunked` and nothing else.", code="unsupported_encoding")


def without_offer(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """Return a whole head as it was sent, without its offer to go on in another protocol."""
    lines = [b"%b: %b\r\n" % header for header in headers if header[0] != b"upgrade"]
    return b"".join([b"%b %b HTTP/%b\r\n" % (method, url, version.encode()), *lines, b"\r\n"])


def refusal_of(error: httptools.HttpParserError) -> RequestError:
    """Return what a client is told whose bytes the parser does not take: what stopped it, where that was one of us."""
    if isinstance(error.__context__, RequestError):
        return error.__context__
    return RequestError(400, "This is no HTTP request.", code="invalid_http")


def split(url: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of a request's target."""
    if url.startswith(b"/"):
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)  # a whole URL, as proxies are asked; raises where it is none
    return parsed.path or b"/", parsed.query or b""
