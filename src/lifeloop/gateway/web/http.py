"""A request and a reply as the endpoints see them, and their way over ASGI. No framework.

A Call reads its headers and its body on demand, within the brief's limit; a Reply is bytes and headers that are ready
to send. How long a client may take for a head or a body is the protocol's business.
"""

import os
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from lifeloop.core.assignment import FIRST, SHARED
from lifeloop.gateway.web.errors import RequestError, error_body

if TYPE_CHECKING:
    from lifeloop.core.keys import Key
    from lifeloop.gateway.serving import Parts

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
WHOLE = "lifeloop.response"
"""Type of our own of the ASGI message that is a whole response: its start and its body in one."""
MEGABYTE = 1024 * 1024
_REPEATABLE = (b"idempotency-key", b"x-request-id")
"""Headers by which a client says that two requests are one."""


class Reply(Struct):
    """A whole response."""

    body: bytes
    status: int = 200
    headers: Headers = []
    """Besides the type, the length and the request's id."""
    type: tuple[bytes, bytes] = JSON


class Call:
    """One request on its way through the gateway."""

    __slots__ = ("_body", "_headers", "extra", "id", "key", "parts", "path", "receive", "scope", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send, parts: "Parts", identifier: str) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.parts = parts
        self.id = identifier
        """32 hexadecimal digits: the request's id, and that of the event that it becomes."""
        self.key: Key | None = None
        """The API key that asks; None where the gateway asks for none."""
        self.path = ""
        """What the path holds where its route ends in a name."""
        self.extra: Headers = []
        """What every response to this request says besides, errors included."""
        self._body: bytes | None = None
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value by its name in small letters, the first where there are several."""
        return self._headers.get(name)

    def authorization(self) -> bytes | None:
        """Return what proves who asks: the header `authorization`, or where there is none the key of `x-api-key`."""
        found = self._headers.get(b"authorization")
        if found is None and (key := self._headers.get(b"x-api-key")) is not None:
            return b"Bearer " + key
        return found

    async def body(self) -> bytes:
        """Return the whole body. Raises RequestError once it is too large, whatever its headers say."""
        if self._body is not None:
            return self._body
        body_mb = self.parts.serving.settings.load.body_mb
        limit = int(body_mb * MEGABYTE)
        length = self._headers.get(b"content-length")
        if length is not None and int(length) > limit:
            raise _too_large(body_mb)
        message = await self.receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body: bytes = message.get("body", b"")
            if len(body) > limit:
                raise _too_large(body_mb)
        else:
            body = await self._joined(message, limit)
        self._be_repeatable(body)
        self._body = body
        return body

    async def _joined(self, message: MutableMapping[str, Any], limit: int) -> bytes:
        """Return a body that comes in pieces, of which this is the first."""
        pieces: list[bytes] = []
        size = 0
        while True:
            if message["type"] != "http.request":
                raise RequestError(400, "The connection closed before the body was complete.", code="incomplete_body")
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise _too_large(self.parts.serving.settings.load.body_mb)
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)
            message = await self.receive()

    def _be_repeatable(self, body: bytes) -> None:
        """Let a request that its client may repeat have the same id each time, so that it is one event."""
        for name in _REPEATABLE:
            if value := self._headers.get(name):
                asker = self.key.id if self.key else ""
                digest = blake2b(b"\x00".join((asker.encode(), value, body)), digest_size=SHARED // 2)
                self.id = digest.hexdigest() + FIRST
                return

    @property
    def api_key(self) -> str:
        """Id of the key that asks, or ""."""
        return self.key.id if self.key else ""

    def count(self, n: int) -> None:
        """Count a call that asks for `n` answers as so many requests of its key. Raises RequestError 429."""
        if n > 1 and self.key is not None:
            limits = self.parts.limits
            stale = {name for name, _ in limits.headers(self.key)}
            self.extra = [header for header in self.extra if header[0] not in stale]
            limits.admit_more(self.key, n - 1)
            self.extra += limits.headers(self.key)

    def user_key(self, named: str | None = None) -> str:
        """Return by whom rollouts assign: a hash of the user that the request names; "" assigns the request by itself.

        An API key is no user: many ask with one, and a share of a few keys is no share of the traffic.
        """
        if not named and (header := self.header(b"x-lifeloop-user")):
            named = header.decode("latin-1")
        return _hashed(self.parts.serving.project, named) if named else ""


def answer_headers(event: str, candidate: str, release: str) -> Headers:
    """Return the headers that say who answered, and under which event."""
    return [
        (b"x-lifeloop-event", event.encode()),
        (b"x-lifeloop-candidate", header_value(candidate)),
        (b"x-lifeloop-release", release.encode()),
    ]


@lru_cache(maxsize=1024)
def header_value(text: str) -> bytes:
    """Return a text as a header can hold it: what Latin-1 does not know, and what ends a line, is a question mark."""
    return "".join(c if c.isprintable() else "?" for c in text).encode("latin-1", "replace")


async def send_reply(call: Call, reply: Reply) -> None:
    """Send a whole response, with the request's id."""
    body = reply.body
    headers: Headers = [(b"x-request-id", call.id.encode()), *reply.headers, *call.extra]
    if reply.status != 204:
        headers += (reply.type, (b"content-length", b"%d" % len(body)))
    await call.send({"type": WHOLE, "status": reply.status, "headers": headers, "body": body})


def error_reply(error: RequestError) -> Reply:
    """Return an error as a response."""
    headers = [(name.lower().encode("latin-1"), header_value(value)) for name, value in error.headers.items()]
    return Reply(error_body(error), error.status, headers)


def request_ids() -> Iterator[str]:
    """Yield ids of calls: 32 hexadecimal digits, the last of which are for the places of a call's events.

    They begin with about the second, so that the ledger's index of them grows at its end: at random places an event
    would cost it half as much again. The other 80 bits are random, drawn for many at once: a system call for each would
    cost more than the rest of the way.
    """
    n = SHARED // 2 - 4
    while True:
        about = f"{int(time.time()):08x}"
        pool = os.urandom(n * 256)
        for start in range(0, len(pool), n):
            yield about + pool[start : start + n].hex() + FIRST


@lru_cache(maxsize=8192)
def _hashed(project: str, named: str) -> str:
    return blake2b(f"{project}\0{named}".encode(), digest_size=16).hexdigest()


def _too_large(body_mb: float) -> RequestError:
    return RequestError(413, f"The body is larger than {body_mb:g} MB.", code="body_too_large")
