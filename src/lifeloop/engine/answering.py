"""The engine of trials: gets an answer to every request, from the cache or from the model, and keeps it at once.

Takes requests in chunks and gives their answers chunk by chunk, so that memory does not grow with their number. Local
models are asked in batches, endpoints in a sliding window. A kill costs what was under way, and no more.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice

from msgspec import Struct

from lifeloop.core.candidates import Answer, Request
from lifeloop.core.content import Id
from lifeloop.core.progress import Progress
from lifeloop.engine.cached import Said, encoded, key_of, known, words_of
from lifeloop.engine.members import Loaded, Purse, Timed, as_they_come
from lifeloop.engine.spending import UsedUpError
from lifeloop.models.answering_id import Prices
from lifeloop.models.model import AnswersEach, Model

COMMIT_ROWS, COMMIT_SECONDS = 500, 0.05
"""A local model's answers wait no longer than this to be committed; an endpoint's do not wait at all."""
TELL_SECONDS = 0.1
MOST_OPEN = 32
"""Chunks that may wait for one slow request; then nothing more is sent until it has come."""

Asks = Sequence[tuple[Request, int]]
"""A chunk of requests, each with the number of the time it is asked (0 the first)."""


class Context(Struct, frozen=True):
    """What answering needs beside the requests."""

    purse: Purse
    whom: Id
    """The candidate's answering id."""
    open: Callable[[], Loaded]
    """Loads the candidate; called only when it has to be asked."""
    total: int
    """Number of requests, for progress."""
    progress: Progress
    prices: Prices | None = None
    """What the candidate's tokens cost now, where it has a price of its own."""


class _Chunk:
    """Requests whose answers come in any order."""

    def __init__(self, first: int, asks: Asks, keys: list[bytes], kept: dict[bytes, Said]) -> None:
        self.first = first
        self.asks = asks
        self.keys = keys
        self.said: list[Said | None] = [kept.get(key) for key in keys]
        self.missing: dict[bytes, list[int]] = {}
        """Key to the places that wait for its answer: the same words are asked once."""
        for place, said in enumerate(self.said):
            if said is None:
                self.missing.setdefault(keys[place], []).append(first + place)
        self.left = sum(map(len, self.missing.values()))


class Answering:
    """The answers of one candidate to one trial's requests."""

    def __init__(self, context: Context) -> None:
        self.n_done = 0
        self.n_cached = 0
        """Answers that the cache had, but for those that this trial asked for itself."""
        self._with = context
        self._open: deque[_Chunk] = deque()
        self._under_way: dict[bytes, list[int]] = {}
        self._rows: list[tuple[bytes, bytes]] = []
        self._paid: list[Answer] = []
        self._n_asked = 0
        self._own: set[bytes] = set()
        self._bound = ""
        self._begun = self._committed = self._told = time.monotonic()
        self._loaded: Loaded | None = None

    @property
    def loaded(self) -> Loaded:
        """The candidate, loaded when it is first needed."""
        if self._loaded is None:
            self._loaded = self._with.open()
            self._begun = time.monotonic()
        return self._loaded

    @property
    def was_asked(self) -> bool:
        """Whether the candidate had to be loaded."""
        return self._loaded is not None

    def close(self) -> None:
        """Free the model, if there is one."""
        if self._loaded is not None:
            self._loaded.model.close()
            self._loaded.plain.close()

    def answers(self, chunks: Iterable[Asks]) -> Iterator[list[Said]]:
        """Yield for each chunk its answers, in order. Raises ModelError where the allowance is used up.

        What came back is committed when this is left, however it is left.
        """
        coming = iter(chunks)
        for asks in coming:
            chunk = self._look_up(asks)
            if chunk.left:
                yield from self._ask(chunk, coming)
            else:
                yield self._finished(chunk)
            while self._open:  # a chunk that the cache had whole, met while asking for the one before
                yield self._finished(self._open.popleft())
        self._tell("answered", anyway=True)

    def one_at_a_time(self, asks: Asks) -> list[float]:
        """Ask those that the cache has not, alone and in order, and return the seconds of each.

        For endpoints, whose answers here are those of the trial, so that timing them costs nothing. Stops at the first
        failure, which the many will meet too.
        """
        seconds: list[float] = []
        keys = [key_of(self._with.whom, request, repeat) for request, repeat in asks]
        kept = self._with.purse.responses.get(keys)
        for key, (request, _) in zip(keys, asks, strict=True):
            if key in kept or key in self._own or self._with.purse.meter.used_up(spends=self.loaded.spends):
                continue
            begun = time.perf_counter()
            answer = self.loaded.model.answer([request])[0]
            seconds.append(time.perf_counter() - begun)
            self._keep(key, request, Said(answer, seconds[-1]))
            self._n_asked += 1
            self._commit()
            if answer.error:
                return seconds[:-1]
            self._own.add(key)
        return seconds

    def seconds_of(self, asks: Asks) -> list[float]:
        """Return the seconds that each request takes alone, asked anew, as far as the allowance goes."""
        seconds: list[float] = []
        for request, _ in asks:
            if self._with.purse.meter.used_up(spends=self.loaded.spends):
                break
            begun = time.perf_counter()
            answer = self.loaded.plain.answer([request])[0]
            seconds.append(time.perf_counter() - begun)
            if self.loaded.paid or answer.usd > 0:  # a member of it may be an endpoint
                self._paid.append(answer)
                self._commit()
        return seconds

    def _look_up(self, asks: Asks) -> _Chunk:
        keys = [key_of(self._with.whom, request, repeat) for request, repeat in asks]
        kept = known(self._with.purse.responses, keys, self._with.prices)
        first = self._open[-1].first + len(self._open[-1].asks) if self._open else 0
        chunk = _Chunk(first, asks, keys, kept)
        had = len(asks) - chunk.left
        self.n_done += had
        self.n_cached += had - (sum(key in self._own for key in keys) if self._own else 0)
        self._tell("from the cache" if not chunk.left else "answering")
        return chunk

    def _ask(self, chunk: _Chunk, coming: Iterator[Asks]) -> Iterator[list[Said]]:
        """Ask for what a chunk misses, and for the chunks after it until the cache has one whole."""
        answered = _answered(self.loaded, self._feed(chunk, coming))
        try:
            with closing(answered):
                for place, answer, seconds in answered:
                    self._settle(place, Said(answer, seconds))
                    while self._open and not self._open[0].left:
                        yield self._finished(self._open.popleft())
        except UsedUpError as end:  # a member's; what it was paid for is kept already
            self._bound = end.key
        finally:
            self._commit()
        if self._bound:
            raise self._with.purse.meter.error(
                self._bound, self.n_done // self._with.purse.repeats, self._with.total // self._with.purse.repeats
            )

    def _feed(self, chunk: _Chunk, coming: Iterator[Asks]) -> Iterator[tuple[int, Request]]:
        """Give what has to be asked. Before another request goes out, what came back from an endpoint is committed.

        So a kill costs at most as many requests as may be under way.
        """
        self._open.append(chunk)
        while chunk.left:
            for key, places in chunk.missing.items():
                if key in self._under_way:
                    self._under_way[key] += places
                    continue
                self._commit_when_due()
                if self._bound_reached():
                    return
                self._under_way[key] = list(places)
                yield places[0], chunk.asks[places[0] - chunk.first][0]
            if len(self._open) >= MOST_OPEN or (asks := next(coming, None)) is None:
                return
            self._commit()  # else words that came back just now would be asked again
            chunk = self._look_up(asks)
            self._open.append(chunk)

    def _bound_reached(self) -> bool:
        spends = self.loaded.spends if self.loaded.paid else ()  # members may remember, and else they look themselves
        self._bound = self._with.purse.meter.used_up(len(self._under_way), self._n_asked, spends)
        return bool(self._bound)

    def _settle(self, place: int, said: Said) -> None:
        chunk = self._chunk_of(place)
        key = chunk.keys[place - chunk.first]
        self._keep(key, chunk.asks[place - chunk.first][0], said)
        self._n_asked += 1
        for each in self._under_way.pop(key):
            chunk = self._chunk_of(each)
            chunk.said[each - chunk.first] = said
            chunk.left -= 1
            self.n_done += 1
        self._tell("answering")

    def _chunk_of(self, place: int) -> _Chunk:
        return next(chunk for chunk in self._open if chunk.first <= place < chunk.first + len(chunk.asks))

    def _finished(self, chunk: _Chunk) -> list[Said]:
        return [said for said in chunk.said if said is not None]

    def _keep(self, key: bytes, request: Request, said: Said) -> None:
        # What failed is asked again, and so is what was made of a member's failure.
        if not said.answer.error and words_of(request) not in self._with.purse.failed:
            self._rows.append((key, encoded(said)))
        if self.loaded.paid:
            self._paid.append(said.answer)

    def _commit_when_due(self) -> None:
        waiting = len(self._rows)
        due = self.loaded.paid or waiting >= COMMIT_ROWS or time.monotonic() - self._committed >= COMMIT_SECONDS
        if waiting and due:
            self._commit()

    def _commit(self) -> None:
        usd, tokens = self._with.purse.meter.add(self._paid)
        if self._rows or usd or tokens:
            self._with.purse.responses.put(self._rows, cycle=self._with.purse.cycle, usd=usd, tokens=tokens)
        self._rows, self._paid = [], []
        self._committed = time.monotonic()

    def _tell(self, what: str, *, anyway: bool = False) -> None:
        now = time.monotonic()
        if now - self._told < TELL_SECONDS and not anyway:
            return
        self._told = now
        note = what
        if self._n_asked and now > self._begun:
            rate = self._n_asked / (now - self._begun)
            note += f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.1f}/s"
        if self._with.purse.meter.usd > 0:
            note += f" · {self._with.purse.meter.usd:.4f} USD"
        repeats = self._with.purse.repeats
        self._with.progress(self.n_done // repeats, self._with.total // repeats, note)


def _answered(loaded: Loaded, feed: Iterator[tuple[int, Request]]) -> Iterator[Timed]:
    model = loaded.model
    return as_they_come(model, feed) if isinstance(model, AnswersEach) else _in_batches(model, feed)


def _in_batches(model: Model, feed: Iterator[tuple[int, Request]]) -> Iterator[Timed]:
    while batch := list(islice(feed, max(1, model.batch_size))):
        begun = time.perf_counter()
        answers = model.answer([request for _, request in batch])
        each = (time.perf_counter() - begun) / len(batch)
        for (place, _), answer in zip(batch, answers, strict=True):
            yield place, answer, each
