"""The threads of one model: calls wait in order, are put to it together up to its batch size, and may be given up.

A call that nobody waits for any more is dropped from the queue. Under way, a stream ends at its next piece, and so does
a single answer of a model that takes requests one by one, since it is read as a stream. Knows nothing of sockets.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct

from lifeloop.core.candidates import Answer, Choices, Request
from lifeloop.models.model import Embeds, Model, Unanswered

log = logging.getLogger(__name__)


class Embedded(Struct, frozen=True):
    """Vectors of texts, and an Answer without output that holds their tokens and price."""

    vectors: list[list[float]]
    answer: Answer


Result = str | Choices | list[Answer] | Embedded | Unanswered
"""What a call is told: pieces of a stream, and last the answers, the vectors, or why there are none."""


class Call:
    """Work for a model. `tell` is called from its thread."""

    __slots__ = ("given_up", "requests", "stream", "tell", "texts")

    def __init__(
        self,
        tell: Callable[[Result], None],
        requests: Sequence[Request] = (),
        *,
        stream: bool = False,
        texts: Sequence[str] = (),
    ) -> None:
        self.tell, self.requests, self.stream, self.texts = tell, requests, stream, texts
        self.given_up = 0.0
        """When its asker left; 0 while it waits."""


class Desk:
    """A model with at most `model.concurrency` threads, started as they are needed."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._batch_size = max(1, model.batch_size)
        self._most = max(1, model.concurrency)
        self._changed = threading.Condition()
        self._waiting: deque[Call] = deque()
        self._running: set[Call] = set()
        self._threads = self._idle = 0

    def ask(self, call: Call) -> None:
        """Queue a call. Returns at once."""
        with self._changed:
            self._waiting.append(call)
            if self._idle < len(self._waiting) and self._threads < self._most:
                self._threads += 1
                self._idle += 1
                threading.Thread(target=self._run, name=f"model-{self._threads}", daemon=True).start()
            self._changed.notify()

    def give_up(self, call: Call) -> None:
        """Stop working on a call as soon as the model lets go of it."""
        with self._changed:
            call.given_up = time.monotonic()
            if call in self._waiting:
                self._waiting.remove(call)

    def seconds_stuck(self) -> float:
        """Return for how long the model has worked on a call that was given up; 0 where on none."""
        with self._changed:
            left = [call.given_up for call in self._running if call.given_up]
        return time.monotonic() - min(left) if left else 0.0

    # below: the threads

    def _run(self) -> None:
        while True:
            calls = self._next()
            try:
                self._work(calls)
            except Unanswered as failure:
                _tell_all(calls, failure)
            except Exception as error:  # a plugin's model may raise anything; its thread goes on
                log.exception("the model failed")
                _tell_all(calls, Unanswered("failed", f"{type(error).__name__}: {error}", passing=False))
            with self._changed:
                self._running.difference_update(calls)
                self._idle += 1

    def _next(self) -> list[Call]:
        """Return one call, or several that can be answered together."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            calls = [self._waiting.popleft()]
            size = len(calls[0].requests)
            while self._waiting and _joins(calls[0], self._waiting[0]):
                size += len(self._waiting[0].requests)
                if size > self._batch_size:
                    break
                calls.append(self._waiting.popleft())
            self._running.update(calls)
            self._idle -= 1
            return calls

    def _work(self, calls: Sequence[Call]) -> None:
        first = calls[0]
        if first.texts:
            first.tell(self._embed(first.texts))
        elif first.stream:
            self._stream(first, tell_pieces=True)
        elif self._batch_size == 1 and len(first.requests) == 1 and not first.requests[0].options:
            self._stream(first, tell_pieces=False)
        else:
            answers = self._model.answer([request for call in calls for request in call.requests])
            for call in calls:
                call.tell([answers.pop(0) for _ in call.requests])

    def _embed(self, texts: Sequence[str]) -> Embedded:
        if not isinstance(self._model, Embeds):
            raise Unanswered("failed", "it gives no vectors", passing=False)
        counts = getattr(self._model, "count_tokens", None)
        return Embedded(self._model.embed(texts), Answer(output="", tokens_in=counts(texts) if counts else 0))

    def _stream(self, call: Call, *, tell_pieces: bool) -> None:
        pieces = self._model.stream(call.requests[0])
        try:
            for piece in pieces:
                if isinstance(piece, Answer):
                    call.tell([piece])
                    return
                if call.given_up:
                    return
                if tell_pieces:
                    call.tell(piece)
            call.tell(Unanswered("failed", "its stream ended without an answer"))
        finally:
            if (close := getattr(pieces, "close", None)) is not None:
                close()


def _joins(first: Call, other: Call) -> bool:
    return not (first.stream or first.texts or other.stream or other.texts)


def _tell_all(calls: Sequence[Call], failure: Unanswered) -> None:
    for call in calls:
        call.tell(failure)
