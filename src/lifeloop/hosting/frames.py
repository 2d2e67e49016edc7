"""What passes between workers, the processes that hold models, and their keeper: MessagePack with its length before it.

Takes and gives frozen values over a socket of this machine and this user. Knows nothing of models or processes.
"""

import asyncio
from collections.abc import Callable

import msgspec
from msgspec import Struct

from lifeloop.core.candidates import Answer, Request
from lifeloop.core.content import Id

HEAD = 4
"""Bytes of a frame's length, the highest first."""


class Hold(Struct, frozen=True, tag="hold"):
    """A worker wants a candidate, for as long as its connection lasts."""

    candidate: Id


class Job(Struct, frozen=True, tag="job"):
    """What a new process is to hold, and where it is to be asked."""

    vault: str
    cache: str
    candidate: Id
    socket: str
    slots: int
    canary: str = ""
    """A word that goes into system prompts; "" for none."""


class Ready(Struct, frozen=True, tag="ready"):
    """The candidate is loaded; what it can do."""

    socket: str
    batch_size: int
    concurrency: int
    passes_on: bool
    embeds: bool


class Refused(Struct, frozen=True, tag="refused"):
    """The candidate cannot be loaded: the parts of a ModelError."""

    what: str
    where: str = ""
    fix: str = ""


class Ping(Struct, frozen=True, tag="ping"):
    """Is anybody there?"""


class Pong(Struct, frozen=True, tag="pong"):
    """Somebody is."""

    seconds_stuck: float = 0.0
    """Since when the model works on something that nobody waits for any more."""


class Ask(Struct, frozen=True, tag="ask"):
    """Requests to be answered; one alone may be streamed."""

    number: int
    requests: tuple[Request, ...]
    seconds: float
    stream: bool = False


class Embed(Struct, frozen=True, tag="embed"):
    """Texts to be turned into vectors."""

    number: int
    texts: tuple[str, ...]
    seconds: float


class Cancel(Struct, frozen=True, tag="cancel"):
    """Nobody waits for this number any more."""

    number: int


class Answers(Struct, frozen=True, tag="answers"):
    """One answer a request. Ends a number, for a stream with one answer."""

    number: int
    answers: tuple[Answer, ...]


class Vectors(Struct, frozen=True, tag="vectors"):
    """One vector a text, with what that took. Ends a number."""

    number: int
    vectors: list[list[float]]
    tokens_in: int = 0
    usd: float = 0.0


class Piece(Struct, frozen=True, tag="piece"):
    """What a stream adds: text, or an endpoint's own choices."""

    number: int
    text: str
    raw: str = ""


class Failed(Struct, frozen=True, tag="failed"):
    """The parts of an `Unanswered`. Ends a number."""

    number: int
    why: str
    detail: str = ""
    passing: bool = True
    status: int = 0
    wait: float = 0.0


Frame = (
    Hold | Job | Ready | Refused | Ping | Pong | Ask | Embed | Cancel | Answers | Vectors | Piece | Failed
)  # fmt: skip
_decoder = msgspec.msgpack.Decoder(Frame)
_encoder = msgspec.msgpack.Encoder()


def packed(frame: Frame) -> bytes:
    """Return a frame as it travels. Raises ValueError or OverflowError for what MessagePack cannot hold."""
    body = _encoder.encode(frame)
    return len(body).to_bytes(HEAD, "big") + body


def read_from(receive: Callable[[int], bytes]) -> Frame | None:
    """Return the next frame of a blocking socket's `recv`, or None at its end."""
    head = _exactly(receive, HEAD)
    body = _exactly(receive, int.from_bytes(head, "big")) if head else b""
    return _decoder.decode(body) if body else None


def _exactly(receive: Callable[[int], bytes], size: int) -> bytes:
    found = b""
    while len(found) < size:
        if not (part := receive(size - len(found))):
            return b""
        found += part
    return found


class Line(asyncio.Protocol):
    """One connection on an event loop: tells of each frame that comes, and once of its end."""

    def __init__(
        self, heard: Callable[["Line", Frame], None], lost: Callable[["Line"], None] = lambda line: None
    ) -> None:
        self._heard, self._lost = heard, lost
        self._transport: asyncio.Transport | None = None
        self._came = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Take what came apart."""
        came = self._came
        came += data
        start = 0
        while (body := start + HEAD) <= len(came):
            end = body + int.from_bytes(came[start:body], "big")
            if end > len(came):
                break
            self._heard(self, _decoder.decode(memoryview(came)[body:end].tobytes()))
            start = end
        del came[:start]

    def connection_lost(self, error: Exception | None) -> None:
        """Tell of the end."""
        self._transport = None
        self._lost(self)

    @property
    def is_open(self) -> bool:
        """Whether what is sent may arrive."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, frame: Frame) -> None:
        """Send a frame; on a closed connection nothing happens. Raises as `packed` does."""
        data = packed(frame)
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()
