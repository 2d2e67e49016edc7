"""Cross-origin requests: which pages may call the gateway from a browser. By default none may.

Takes the brief's origins and what a browser sends, gives the headers of the Fetch standard. Cookies are never asked
for: a page proves what it may by its key, like everybody else.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lifeloop.core.gateway_brief import ANY_ORIGIN

if TYPE_CHECKING:
    from lifeloop.gateway.web.http import Headers, Reply, Scope

MAX_AGE = b"600"
"""Seconds that a browser may remember a preflight's answer."""
_METHODS = b"GET, POST, OPTIONS"
_HEADERS = b"authorization, x-api-key, content-type"
_EXPOSED = (
    b"x-request-id, x-lifeloop-event, x-lifeloop-candidate, x-lifeloop-release, retry-after, "
    b"x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    b"x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,1000}")


def headers(origins: Sequence[str], origin: bytes | None) -> "Headers":
    """Return what a reply says to a page of that origin: nothing where it is not allowed, or no page asks."""
    if not origins:
        return []
    allowed = _allowed(origins, origin)
    if allowed is None:
        return [(b"vary", b"Origin")]
    return [
        (b"access-control-allow-origin", allowed),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    ]


def preflight(origins: Sequence[str], scope: "Scope") -> "Reply | None":
    """Return the answer to a browser that asks before it asks, or None where a request is no such thing.

    It needs no key: browsers send none with it.
    """
    from lifeloop.gateway.web.http import Reply

    if not origins or scope["method"] != "OPTIONS":
        return None
    sent = dict(scope["headers"])
    origin, method = sent.get(b"origin"), sent.get(b"access-control-request-method")
    if origin is None or method is None:
        return None
    allowed = _allowed(origins, origin)
    if allowed is None:
        return Reply(b"", 403, [(b"vary", b"Origin")])
    names = sent.get(b"access-control-request-headers", b"")
    return Reply(
        b"",
        204,
        [
            (b"access-control-allow-origin", allowed),
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", names if _NAMES.fullmatch(names) else _HEADERS),
            (b"access-control-max-age", MAX_AGE),
            (b"vary", b"Origin, Access-Control-Request-Headers"),
        ],
    )


def _allowed(origins: Sequence[str], origin: bytes | None) -> bytes | None:
    if origin is None:
        return None
    if ANY_ORIGIN in origins:
        return b"*"
    return origin if origin.decode("latin-1") in origins else None
