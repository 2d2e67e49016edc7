"""The seam of models: what can answer, and what a kind of model knows about itself.

To add a kind: one module with a settings type, a `load` and an `estimate`, declared under `lifeloop.models`; if it has
to be made first, a trainer of the same name under `lifeloop.trainers`. `tests/contracts/test_models.py` must pass.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from msgspec import Struct

from lifeloop.core.candidates import Answer, Candidate, Choices, Estimate, Machine, Message, Request
from lifeloop.core.data import Profile


class Model(Protocol):
    """A loaded candidate. Used by one thread at a time unless `concurrency` is more than 1."""

    batch_size: int
    """How many requests `answer` takes at its best; 1 for models that answer one by one."""
    concurrency: int
    """How many threads may call `answer` and `stream` at the same time."""

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return one answer a request, in order. A request that fails gets an answer with `error`, and no exception."""

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the output in pieces as they come, and last the whole Answer. Closing the iterator stops the work."""

    def close(self) -> None:
        """Free what the model holds. Calling it twice does no harm."""


@runtime_checkable
class AnswersEach(Protocol):
    """What a model may offer besides: answers as they come. For endpoints, which are paid and answer out of order."""

    def answer_each(self, requests: Iterable[tuple[int, Request]]) -> Iterator[tuple[int, Answer]]:
        """Yield each answer with its request's number, in any order, with at most `concurrency` under way.

        Takes another request only when it can be sent at once, after yielding all that has come back until then.
        Closing the iterator cancels what is under way.
        """


@runtime_checkable
class AnswersInLoop(Protocol):
    """What a model may offer besides: answers on the caller's event loop, without a thread. For what only waits.

    Connections belong to the loop that first asks; `close` may be called from any thread. Errors are raised as
    `Unanswered`; an answer's `error` is left to models in threads.
    """

    async def answer_in_loop(self, request: Request, seconds: float) -> Answer:
        """Return the answer within `seconds`. Tries once: the asker decides about trying again. Raises Unanswered."""

    def stream_in_loop(self, request: Request, seconds: float) -> AsyncIterator[str | Choices | Answer]:
        """Yield what the model adds as it comes, and last the whole Answer.

        `seconds` is the time until the first piece, and between what brings the answer on; a byte that says nothing or
        an empty piece is no sign of life. Raises Unanswered, also in the middle.

        `aclose` hangs up at once and gives the connection's place back.
        """


@runtime_checkable
class PassesOn(Protocol):
    """What a model may offer besides: it heeds `Request.options` and the `extra` of messages."""

    passes_on: bool


@runtime_checkable
class Embeds(Protocol):
    """What a model may offer besides: vectors of texts. May be called from any thread, also while others are answered.

    One in a loop has `embed_in_loop(texts, seconds)` instead, which gives the vectors and an Answer without output that
    holds tokens and price.
    """

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector a text, all of one length."""


class Unanswered(Exception):
    """A model that did not answer, in a way that says whether asking again may help."""

    def __init__(self, why: str, detail: str = "", *, passing: bool = True, status: int = 0, wait: float = 0.0) -> None:
        super().__init__(why, detail)
        self.why = why
        """In words for anybody: "timed out", "failed"."""
        self.detail = detail
        """In words for the event alone."""
        self.passing = passing
        """Whether it may pass: a reset, a 500 or a 429 does, a 400 does not."""
        self.status = status
        """What the endpoint answered; 0 where it answered nothing."""
        self.wait = wait
        """Seconds that the endpoint asked to wait; 0 where it did not."""


class Writing(Struct, frozen=True):
    """A text that a model is to write under messages of the asker's own: the task it serves plays no part."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float
    seed: int
    """For models that can be held to one; two writings that differ in it are two draws."""
    schema: dict[str, Any] | None = None
    """The JSON schema to hold the text to, for models that can be."""


@runtime_checkable
class Writes(Protocol):
    """What a model may offer besides: texts that are no answers to requests, such as rows to train on."""

    batch_size: int

    def write(self, writings: Sequence[Writing]) -> list[Answer]:
        """Return one answer a writing, in order, as `answer` does. The candidate's prompt and shots are not used."""


class ModelKind(Protocol):
    """What the registry holds for each kind."""

    settings: type[Struct]
    """The keys of `[candidates.NAME]` besides `kind`, with defaults; frozen, unknown fields forbidden."""
    tasks: tuple[str, ...]
    """The tasks it can do; empty for all."""
    version: str
    """Changed by hand when the same settings would answer differently. One whose models are `Writes` also has `writes`,
    which is true. One whose models read columns of data.slices has `columns(settings)`, which names them; one whose
    settings name files of the project has `files(settings)`, key to path."""

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the candidate ready to answer. `folder` holds what training made, or is None.

        Raises ModelError that says what is missing.
        """

    def estimate(self, settings: Any, profile: Profile, machine: Machine) -> Estimate:
        """Return what a candidate of these settings will need on this data and machine."""


def whole(model: Model, request: Request) -> Iterator[str | Answer]:
    """Stream for models that cannot: the whole output as one piece, then the answer."""
    answer = model.answer([request])[0]
    if not answer.error:
        yield answer.output
    yield answer
