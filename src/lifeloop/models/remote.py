"""Remote: any OpenAI-compatible endpoint, paid by the token. Turns requests into chat completions and prices them.

The key comes from the environment variable that the brief names, never from the brief itself.
"""

import contextlib
import os
import ssl
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Choices, Contract, Estimate, Machine, Request
from lifeloop.core.data import Profile
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.models import prompting
from lifeloop.models.completion_asking import Asking
from lifeloop.models.completion_reading import Garbage, Said, read_completion, read_embeddings
from lifeloop.models.completion_stream import StreamReading
from lifeloop.models.endpoint import Endpoint, Reply
from lifeloop.models.llamacpp import FILE, Learned
from lifeloop.models.model import Model, Unanswered, Writing
from lifeloop.models.upstream import Upstream, check

CHARACTERS_A_TOKEN = 4
"""Of English text, about; for answers whose tokens nobody told."""

_extra_of = attrgetter("extra")


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which endpoint and model, what a token costs, how to decode."""

    url: str
    """Base URL, ending in /v1."""
    model: str
    """The model's name there."""
    api_key_env: str = ""
    """Environment variable that holds the key; without one, none is sent."""
    prompt: str = ""
    shots: int = 0
    shot_words: int = 200
    max_words: int = 2000
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0
    concurrency: int = 8
    timeout_seconds: float = 60.0
    retries: int = 4
    temperature: float = 0.0
    max_tokens: int = 0
    """0: as the task asks."""


class Remote:
    """A client of one endpoint. In a loop (the gateway) it tries once; in threads (the engine) as often as told."""

    passes_on = True

    def __init__(
        self, candidate: Candidate, learned: Learned, key: str, *, context: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings = msgspec.convert(candidate.settings, Settings)
        contract: Contract = plugins.get("tasks", candidate.task).contract(candidate.labels)
        self._asking = Asking(
            candidate.prompt or prompting.PLAIN,
            contract,
            [(prompting.cut(text, settings.shot_words), said) for text, said in learned.shots],
            model=settings.model,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens or contract.max_tokens,
            max_words=settings.max_words,
        )
        self.batch_size = self.concurrency = max(1, settings.concurrency)
        self._url, self._key = settings.url.rstrip("/"), key
        self._upstream = Upstream(f"{self._url}/chat/completions", key, context=context)
        self._vectors = Upstream(f"{self._url}/embeddings", key, context=context)
        self._threaded: Endpoint | None = None
        self._lock = threading.Lock()

    # on the caller's event loop

    async def answer_in_loop(self, request: Request, seconds: float) -> Answer:
        """Return the answer within `seconds`. Tries once. Raises Unanswered."""
        status, headers, reply = await self._upstream.post(self._body(request), seconds)
        if status != 200:
            check(status, headers)
        try:
            said = read_completion(reply, choices=_wants_choices(request))
        except Garbage as garbage:
            raise Unanswered("failed", garbage.why, status=status) from None
        return self._answered(said)

    async def stream_in_loop(self, request: Request, seconds: float) -> AsyncIterator[str | Choices | Answer]:
        """Yield what comes, all of one read at once, then the whole Answer. Raises Unanswered, also in the middle.

        What says nothing, such as the comments that keep a connection alive, gives the endpoint no more time.
        """
        reading = StreamReading(choices=_wants_choices(request))
        stream = await self._upstream.stream(self._body(request, streams=True), seconds)
        pieces: list[str] = []
        try:
            if stream.status != 200:
                check(stream.status, stream.headers)
            async for read in stream:
                came = reading.feed(read)
                if reading.moved and (pieces or came):
                    stream.moved()
                for added in came:
                    pieces.append(added if isinstance(added, str) else added.text)
                    yield added
                if reading.done:
                    break
            else:
                for added in reading.end():
                    pieces.append(added if isinstance(added, str) else added.text)
                    yield added
            if not reading.whole:
                raise Unanswered("failed", "the endpoint ended its stream in the middle")
            stream.done()
        except Garbage as garbage:
            raise Unanswered("failed", garbage.why, status=stream.status) from None
        finally:
            stream.close()
        yield self._answered(reading.said("".join(pieces)))

    async def embed_in_loop(self, texts: Sequence[str], seconds: float) -> tuple[list[list[float]], Answer]:
        """Return one vector a text, and an Answer without output that holds tokens and price. Raises Unanswered."""
        body = msgspec.json.encode({"model": self._settings.model, "input": texts, "encoding_format": "float"})
        status, headers, reply = await self._vectors.post(body, seconds)
        if status != 200:
            check(status, headers)
        try:
            vectors, read = read_embeddings(reply, len(texts))
        except Garbage as garbage:
            raise Unanswered("failed", garbage.why, status=status) from None
        return vectors, Answer(output="", tokens_in=read, usd=self._price(read, 0))

    def so_far(self, request: Request, output: str) -> Answer:
        """Return what an answer that was hung up after `output` came to, its tokens estimated from its characters."""
        read = max(1, len(self._body(request)) // CHARACTERS_A_TOKEN)
        written = -(-len(output) // CHARACTERS_A_TOKEN)
        return Answer(output=output, tokens_in=read, tokens_out=written, usd=self._price(read, written))

    # in threads

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return answers, asked for at the same time up to the concurrency."""
        answers = dict(self.answer_each(enumerate(requests)))
        return [answers[place] for place in range(len(requests))]

    def answer_each(self, requests: Iterable[tuple[int, Request]]) -> Iterator[tuple[int, Answer]]:
        """Yield answers as they come, at most `concurrency` under way. Closing the iterator cancels the rest."""
        unsent: list[tuple[int, Answer]] = []
        with_choices: set[int] = set()

        def bodies() -> Iterator[tuple[int, bytes]]:
            for number, request in requests:
                try:
                    body = self._asking.body(request)
                except LifeloopError as error:  # a prompt's template may fail on one input alone
                    unsent.append((number, Answer(output="", error=error.what)))
                else:
                    if _wants_choices(request):
                        with_choices.add(number)
                    yield number, body

        with contextlib.closing(self._endpoint().ask_each(bodies())) as replies:
            for number, reply in replies:
                yield number, self._read(reply, choices=number in with_choices)
                while unsent:
                    yield unsent.pop()
        yield from unsent

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield pieces as the endpoint sends them, then the answer. A failure on the way is the answer's error."""
        reading, pieces, failure = StreamReading(), [], ""
        try:
            body = self._asking.body(request, streams=True)
            with contextlib.closing(self._endpoint().stream(body)) as lines:
                for line in lines:
                    for added in reading.feed(f"{line}\n".encode()):
                        if isinstance(added, str):
                            pieces.append(added)
                            yield added
                    if reading.done:
                        break
        except LifeloopError as error:
            failure = error.what
        except Garbage as garbage:
            failure = garbage.why
        yield self._answered(reading.said("".join(pieces)), failure)

    def write(self, writings: Sequence[Writing]) -> list[Answer]:
        """Return texts of the model's own, asked for at the same time. Neither seed nor schema is sent: not every
        endpoint knows them.
        """
        bodies = ((number, self._asking.written(writing)) for number, writing in enumerate(writings))
        with contextlib.closing(self._endpoint().ask_each(bodies)) as replies:
            found = {number: self._read(reply) for number, reply in replies}
        return [found[number] for number in range(len(writings))]

    def close(self) -> None:
        """Close the connections."""
        self._upstream.close()
        self._vectors.close()
        with self._lock:
            if self._threaded is not None:
                self._threaded.close()

    def _endpoint(self) -> Endpoint:
        """Return the client for threads; it has a thread of its own, which is not started where nobody asks so."""
        with self._lock:
            if self._threaded is None:
                settings = self._settings
                self._threaded = Endpoint(
                    f"{self._url}/chat/completions",
                    self._key,
                    settings.timeout_seconds,
                    max(0, settings.retries),
                    self.concurrency,
                )
            return self._threaded

    def _body(self, request: Request, *, streams: bool = False) -> bytes:
        """Return a request's body. Raises Unanswered where the prompt's template fails on it: others may do better."""
        try:
            return self._asking.body(request, streams=streams)
        except LifeloopError as error:
            raise Unanswered("failed", error.what, passing=False) from None

    def _read(self, reply: Reply, *, choices: bool = False) -> Answer:
        if reply.error:
            return Answer(output="", error=reply.error)
        try:
            return self._answered(read_completion(reply.body, choices=choices))
        except Garbage as garbage:
            return self._answered(Said("", garbage.read, garbage.written), garbage.why)

    def _answered(self, said: Said, error: str = "") -> Answer:
        return Answer(
            output=said.text,
            tokens_in=said.read,
            tokens_out=said.written,
            usd=self._price(said.read, said.written),
            error=error,
            finish=said.finish,
            choices=said.choices,
        )

    def _price(self, read: int, written: int) -> float:
        return (read * self._settings.usd_per_million_in + written * self._settings.usd_per_million_out) / 1e6


def _wants_choices(request: Request) -> bool:
    """Return whether the answer may hold what is no mere text."""
    return bool(request.options) or any(map(_extra_of, request.messages))


class RemoteKind:
    """Model kind "remote"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "2"
    writes = True

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the client. Nothing is sent yet."""
        settings = msgspec.convert(candidate.settings, Settings)
        learned = msgspec.json.decode((folder / FILE).read_bytes(), type=Learned) if folder else Learned()
        key = os.environ.get(settings.api_key_env, "") if settings.api_key_env else ""
        if settings.api_key_env and not key:
            raise ModelError(
                f"the environment variable {settings.api_key_env} is not set",
                where=f"candidates.{candidate.name}.api_key_env",
                fix=f"export {settings.api_key_env}=…",
            )
        try:
            return Remote(candidate, learned, key)
        except ModelError as error:
            where = error.where or f"candidates.{candidate.name}"
            raise ModelError(error.what, where=where, fix=error.fix) from None

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the price of the tokens; a second a request is assumed."""
        words = min(profile.mean_chars / 6.0, settings.max_words) + settings.shots * settings.shot_words / 2
        read = words * 1.4 + 60
        written = 5 if profile.n_labels else 150
        usd = (read * settings.usd_per_million_in + written * settings.usd_per_million_out) / 1e6
        return Estimate(
            memory_gb=0.15,
            build_seconds=0.1,
            seconds_per_item=1.0 / max(1, settings.concurrency),
            usd_per_item=usd,
            basis=f"{read:.0f} tokens in and {written} out an item",
        )


KIND = RemoteKind()
