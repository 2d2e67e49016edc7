"""Loads a candidate so that its members are asked only what they have not been asked before.

A cascade asks its members what their own trials asked them already; the cache has that. Latency must not profit from
it, so the same members also stand behind a plain copy of the candidate.
"""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.content import Id
from lifeloop.engine.cached import Said, Words, encoded, key_of, known, narrowed, words_of
from lifeloop.engine.spending import Meter, UsedUpError
from lifeloop.models.answering_id import Prices, answering_id, draws_at_random, prices_of
from lifeloop.models.columns_read import columns_read
from lifeloop.models.loading import load_candidate
from lifeloop.models.model import AnswersEach, Model, ModelKind, whole
from lifeloop.store.responses import Responses
from lifeloop.store.vault import Vault


class Loaded(Struct, frozen=True):
    """One candidate, twice over the same weights."""

    model: Model
    """Asks its members through the cache."""
    plain: Model
    """Asks them every time: for the clock."""
    paid: bool = False
    """Whether an endpoint is paid for each of its answers."""
    spends: frozenset[str] = frozenset()
    """What its answers, or its members', are sure to spend: "tokens", and "usd" where there is a price."""


class Purse(Struct, frozen=True):
    """Where members' answers are looked up, kept and counted."""

    responses: Responses
    meter: Meter
    cycle: int
    repeats: int
    """How often each example is asked."""
    failed: set[Words] = set()
    """What some member failed to answer: whatever was made of that is asked for again."""


def load(vault: Vault, identifier: Id, purse: Purse) -> Loaded:
    """Return a candidate with its members behind the cache. Raises as `load_candidate` does."""
    candidate = vault.get_value(identifier, Candidate)
    if not candidate.members:
        model = load_candidate(vault, identifier)
        if not isinstance(model, AnswersEach):
            return Loaded(model, model)
        spends = {"usd", "tokens"} if any(prices_of(vault, identifier) or ()) else {"tokens"}
        return Loaded(model, model, paid=True, spends=frozenset(spends))
    kind: ModelKind = plugins.get("models", candidate.kind, where=f"candidate {candidate.name}")
    folder: Path | None = vault.folder(candidate.files) if candidate.files else None
    members = [load(vault, member, purse) for member in candidate.members]
    pairs = zip(candidate.members, members, strict=True)
    asked = [_asked_once(vault, member, loaded, purse) for member, loaded in pairs]
    plain = kind.load(candidate, folder, [loaded.plain for loaded in members])
    together = frozenset[str]().union(*(loaded.spends for loaded in members))
    return Loaded(kind.load(candidate, folder, asked), plain, spends=together)


Timed = tuple[int, Answer, float]
"""A request's place, its answer, and the seconds that took."""


def as_they_come(model: AnswersEach, feed: Iterable[tuple[int, Request]]) -> Generator[Timed, None, None]:
    """Yield an endpoint's answers as they come. Closing the iterator cancels what is under way."""
    sent: dict[int, float] = {}

    def noted() -> Iterator[tuple[int, Request]]:
        for place, request in feed:
            sent[place] = time.perf_counter()
            yield place, request

    with closing(model.answer_each(noted())) as answered:
        for place, answer in answered:
            yield place, answer, time.perf_counter() - sent.pop(place)


def _asked_once(vault: Vault, member: Id, loaded: Loaded, purse: Purse) -> Model:
    # Where examples are asked several times and the member draws at random, every time must be a draw of its own.
    whom = "" if purse.repeats > 1 and draws_at_random(vault, member) else answering_id(vault, member)
    return Remembering(loaded, whom, purse, prices_of(vault, member), columns_read(vault, member))


class Remembering:
    """A member that answers from the cache what it can; what it says besides is counted and kept.

    With `whom` "" nothing is looked up or kept.
    """

    def __init__(
        self, loaded: Loaded, whom: Id, purse: Purse, prices: Prices | None, columns: frozenset[str] = frozenset()
    ) -> None:
        self._model = loaded.model
        self._loaded = loaded
        self._whom = whom
        self._purse = purse
        self._prices = prices
        self._columns = columns
        self.batch_size = loaded.model.batch_size
        self.concurrency = loaded.model.concurrency

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return one answer a request, in order. Raises UsedUpError where the allowance ends."""
        requests = [narrowed(request, self._columns) for request in requests]
        keys = [key_of(self._whom, request) for request in requests] if self._whom else []
        found = known(self._purse.responses, keys, self._prices)
        answers = {place: found[key].answer for place, key in enumerate(keys) if key in found}
        waiting = [(place, request) for place, request in enumerate(requests) if place not in answers]
        model = self._model
        fresh = self._each(model, waiting) if isinstance(model, AnswersEach) else self._together(waiting)
        for timed in fresh:
            self._keep(timed, requests, keys)
            answers.update((place, answer) for place, answer, _ in timed)
        return [answers[place] for place in range(len(requests))]

    def _together(self, waiting: Sequence[tuple[int, Request]]) -> Iterator[list[Timed]]:
        if waiting:
            begun = time.perf_counter()
            answers = self._model.answer([request for _, request in waiting])
            each = (time.perf_counter() - begun) / len(waiting)
            yield [(place, answer, each) for (place, _), answer in zip(waiting, answers, strict=True)]

    def _each(self, model: AnswersEach, waiting: Sequence[tuple[int, Request]]) -> Iterator[list[Timed]]:
        """Yield answers one by one, and send no request that the allowance does not cover."""
        meter, bound, sent, come = self._purse.meter, "", 0, 0

        def feed() -> Iterator[tuple[int, Request]]:
            nonlocal bound, sent
            for place, request in waiting:
                bound = meter.used_up(sent - come, meter.n_paid, self._loaded.spends)
                if bound:
                    return
                sent += 1
                yield place, request

        with closing(as_they_come(model, feed())) as answered:
            for timed in answered:
                come += 1
                yield [timed]
        if bound:
            raise UsedUpError(bound)

    def _keep(self, fresh: Sequence[Timed], requests: Sequence[Request], keys: Sequence[bytes]) -> None:
        """Commit what came, and what it cost."""
        purse, composed = self._purse, self._loaded.model is not self._loaded.plain
        usd, tokens = purse.meter.add(answer for _, answer, _ in fresh) if self._loaded.paid else (0.0, 0)
        purse.failed.update(words_of(requests[place]) for place, answer, _ in fresh if answer.error)
        good = [
            (keys[place], encoded(Said(answer, seconds)))
            for place, answer, seconds in fresh
            if keys and not answer.error and not (composed and words_of(requests[place]) in purse.failed)
        ]
        if good or usd or tokens:
            purse.responses.put(good, cycle=purse.cycle, usd=usd, tokens=tokens)

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the whole output, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Close the member."""
        self._model.close()
