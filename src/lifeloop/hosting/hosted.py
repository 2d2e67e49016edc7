"""A model that lives in a process of its own, as a worker sees it: asked over a socket, on any event loop or thread.

Takes the keeper's socket and a candidate's id, gives a Model. While the process is away its requests fail at once with
`Unanswered`, so that the gateway asks the next candidate; the first request after its return connects anew.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lifeloop.core.candidates import Answer, Choices, Request
from lifeloop.core.content import Id
from lifeloop.core.errors import ModelError
from lifeloop.hosting.frames import (
    Answers,
    Ask,
    Cancel,
    Embed,
    Failed,
    Frame,
    Hold,
    Line,
    Piece,
    Ready,
    Refused,
    Vectors,
    packed,
    read_from,
)
from lifeloop.models.model import Model, Unanswered

T = TypeVar("T")
Added = str | Choices | Answer

PATIENCE = 24 * 3600.0
"""Seconds that a caller in a thread waits: whoever asks in threads keeps the time there."""
AWAY = "is starting again"
"""Why a request fails while there is no process."""


def hosted(control: Path, candidate: Id, seconds: float = 3600.0) -> Model:
    """Return a candidate that the keeper at `control` holds, once it is loaded. Blocks, for `seconds` at most.

    Raises ModelError that says why it cannot be loaded.
    """
    lease = socket.socket(socket.AF_UNIX)
    lease.settimeout(seconds)
    try:
        lease.connect(str(control))
        lease.sendall(packed(Hold(candidate)))
        said = read_from(lease.recv)
    except OSError as error:
        lease.close()
        raise ModelError(f"the keeper of models does not answer: {error}", fix="start the gateway anew") from error
    if isinstance(said, Ready):
        return (HostedEmbedding if said.embeds else Hosted)(said, lease)
    lease.close()
    if isinstance(said, Refused):
        raise ModelError(said.what, where=said.where, fix=said.fix)
    raise ModelError("the keeper of models hung up", fix="start the gateway anew")


class Hosted:
    """A client of one process. Holds it for as long as it is open."""

    def __init__(self, facts: Ready, lease: socket.socket) -> None:
        self.batch_size, self.concurrency, self.passes_on = facts.batch_size, facts.concurrency, facts.passes_on
        self._socket, self._lease = facts.socket, lease
        self._clients: dict[asyncio.AbstractEventLoop, _Client] = {}
        self._lock = threading.Lock()
        self._own: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def answer_in_loop(self, request: Request, seconds: float) -> Answer:
        """Return the answer within `seconds`. Raises Unanswered."""
        (answer,) = await self._answers((request,), seconds)
        if answer.error:
            raise Unanswered("failed", answer.error, passing=False)
        return answer

    async def stream_in_loop(self, request: Request, seconds: float) -> AsyncGenerator[Added, None]:
        """Yield pieces as they come and last the Answer; `seconds` is the longest silence, which no empty piece ends.

        Raises Unanswered.
        """
        now = asyncio.get_running_loop().time
        async with self._client().call(lambda number: Ask(number, (request,), seconds, stream=True)) as came:
            until = now() + seconds
            while True:
                frame = await _next(came, until - now())
                if isinstance(frame, Answers):
                    if frame.answers[0].error:
                        raise Unanswered("failed", frame.answers[0].error, passing=False)
                    yield frame.answers[0]
                    return
                if isinstance(frame, Piece) and (frame.raw or frame.text):
                    yield Choices(frame.raw, frame.text) if frame.raw else frame.text
                    until = now() + seconds

    async def _answers(self, requests: tuple[Request, ...], seconds: float) -> tuple[Answer, ...]:
        async with self._client().call(lambda number: Ask(number, requests, seconds)) as came:
            frame = await _next(came, seconds)
        assert isinstance(frame, Answers)
        return frame.answers

    async def _vectors(self, texts: Sequence[str], seconds: float) -> Vectors:
        async with self._client().call(lambda number: Embed(number, tuple(texts), seconds)) as came:
            frame = await _next(came, seconds)
        assert isinstance(frame, Vectors)
        return frame

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return one answer a request, in order. Blocks."""
        if not requests:
            return []
        try:
            return list(self._wait_for(self._answers(tuple(requests), PATIENCE)))
        except Unanswered as failure:
            return [Answer(output="", error=_told(failure)) for _ in requests]

    def stream(self, request: Request) -> Iterator[Any]:
        """Yield pieces as they come and last the Answer. Closing the iterator stops the work."""
        pieces, sent = self.stream_in_loop(request, PATIENCE), ""
        try:
            while True:
                piece: Added = self._wait_for(_taken(pieces))
                if not isinstance(piece, Answer):
                    sent += piece if isinstance(piece, str) else piece.text
                yield piece
                if isinstance(piece, Answer):
                    return
        except Unanswered as failure:
            yield Answer(output=sent, error=_told(failure))
        finally:
            with contextlib.suppress(Unanswered):  # closed meanwhile
                self._wait_for(pieces.aclose())

    def close(self) -> None:
        """Let the process go; the keeper ends it once nobody holds it."""
        with self._lock:
            self._closed = True
            clients, self._clients = dict(self._clients), {}
            own, self._own = self._own, None
        for loop, client in clients.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed, and its connections with it
                loop.call_soon_threadsafe(client.close)
        if own is not None:
            own.call_soon_threadsafe(own.stop)
        self._lease.close()

    def _client(self) -> "_Client":
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            with self._lock:
                if self._closed:
                    raise Unanswered("failed", "it is closed", passing=False)
                client = self._clients[loop] = _Client(self._socket)
        return client

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on a loop of this model's own, for callers in threads."""
        with self._lock:
            if self._own is None and not self._closed:
                self._own = asyncio.new_event_loop()
                threading.Thread(target=_run, args=(self._own,), name="hosted", daemon=True).start()
            own = self._own
        if own is None:
            work.close()
            raise Unanswered("failed", "it is closed", passing=False)
        return asyncio.run_coroutine_threadsafe(work, own).result()


class HostedEmbedding(Hosted):
    """The same for a model that turns texts into vectors too."""

    async def embed_in_loop(self, texts: Sequence[str], seconds: float) -> tuple[list[list[float]], Answer]:
        """Return one vector a text within `seconds`, and an Answer with their tokens and price. Raises Unanswered."""
        found = await self._vectors(texts, seconds)
        return found.vectors, Answer(output="", tokens_in=found.tokens_in, usd=found.usd)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector a text. Blocks. Raises Unanswered."""
        return self._wait_for(self._vectors(texts, PATIENCE)).vectors


class _Client:
    """One connection of one loop, made when it is needed and made anew when it was lost."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._line: Line | None = None
        self._connecting = asyncio.Lock()
        self._calls: dict[int, tuple[Line, asyncio.Queue[Frame]]] = {}
        self._last = 0

    @contextlib.asynccontextmanager
    async def call(self, ask: Callable[[int], Frame]) -> AsyncIterator[asyncio.Queue[Frame]]:
        """Send a frame under a new number and give what comes back; what is left before its end is cancelled."""
        line = self._line if self._line is not None and self._line.is_open else await self._connect()
        self._last += 1
        number = self._last
        came: asyncio.Queue[Frame] = asyncio.Queue()
        self._calls[number] = (line, came)
        try:
            line.send(ask(number))
            yield came
        except (ValueError, OverflowError, TypeError) as error:
            raise Unanswered("failed", f"a request that cannot be sent: {error}", passing=False) from error
        finally:
            if self._calls.pop(number, None) is not None:
                line.send(Cancel(number))

    async def _connect(self) -> Line:
        async with self._connecting:
            if self._line is not None and self._line.is_open:
                return self._line
            try:
                _, self._line = await asyncio.get_running_loop().create_unix_connection(
                    lambda: Line(self._heard, self._lost), self._path
                )
            except OSError as error:
                raise Unanswered(AWAY, str(error.strerror)) from None
            return self._line

    def _heard(self, line: Line, frame: Frame) -> None:
        number = getattr(frame, "number", 0)
        call = self._calls.get(number) if isinstance(frame, Piece) else self._calls.pop(number, None)
        if call is not None:
            call[1].put_nowait(frame)

    def _lost(self, line: Line) -> None:
        for number in [number for number, call in self._calls.items() if call[0] is line]:
            self._calls.pop(number)[1].put_nowait(Failed(number, AWAY, "its process ended"))

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()


async def _taken(pieces: AsyncGenerator[Added, None]) -> Added:
    return await anext(pieces)


async def _next(came: asyncio.Queue[Frame], seconds: float) -> Frame:
    try:
        async with asyncio.timeout(seconds):
            frame = await came.get()
    except TimeoutError:
        raise Unanswered("timed out", f"after {seconds:g} s") from None
    if isinstance(frame, Failed):
        raise Unanswered(frame.why, frame.detail, passing=frame.passing, status=frame.status, wait=frame.wait)
    return frame


def _told(failure: Unanswered) -> str:
    return f"{failure.why}: {failure.detail}" if failure.detail else failure.why


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()
