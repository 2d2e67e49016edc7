"""Loads a candidate so that its members are asked only what they have not been asked before.

A cascade asks its members what their own trials asked them already; the cache has that. Latency must not profit from
it, so the same members also stand behind a plain copy of the candidate.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.content import Id
from lifeloop.engine.cached import Said, encoded, key_of, known
from lifeloop.engine.spending import Meter
from lifeloop.models.answering_id import answering_id, draws_at_random
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


class Purse(Struct, frozen=True):
    """Where members' answers are looked up, kept and counted."""

    responses: Responses
    meter: Meter
    cycle: int
    repeats: int
    """How often each example is asked."""


def load(vault: Vault, identifier: Id, purse: Purse) -> Loaded:
    """Return a candidate with its members behind the cache. Raises as `load_candidate` does."""
    candidate = vault.get_value(identifier, Candidate)
    if not candidate.members:
        model = load_candidate(vault, identifier)
        return Loaded(model, model, paid=isinstance(model, AnswersEach))
    kind: ModelKind = plugins.get("models", candidate.kind, where=f"candidate {candidate.name}")
    folder: Path | None = vault.folder(candidate.files) if candidate.files else None
    members = [load(vault, member, purse) for member in candidate.members]
    pairs = zip(candidate.members, members, strict=True)
    asked = [_asked_once(vault, member, loaded, purse) for member, loaded in pairs]
    plain = kind.load(candidate, folder, [loaded.plain for loaded in members])
    return Loaded(kind.load(candidate, folder, asked), plain)


def _asked_once(vault: Vault, member: Id, loaded: Loaded, purse: Purse) -> Model:
    # Where examples are asked several times and the member draws at random, every time must be a draw of its own.
    whom = "" if purse.repeats > 1 and draws_at_random(vault, member) else answering_id(vault, member)
    return Remembering(loaded, whom, purse)


class Remembering:
    """A member that answers from the cache what it can; what it says besides is counted and kept.

    With `whom` "" nothing is looked up or kept.
    """

    def __init__(self, loaded: Loaded, whom: Id, purse: Purse) -> None:
        self._model = loaded.model
        self._paid = loaded.paid
        self._whom = whom
        self._purse = purse
        self.batch_size = loaded.model.batch_size
        self.concurrency = loaded.model.concurrency

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return one answer a request, in order."""
        keys = [key_of(self._whom, request) for request in requests] if self._whom else []
        found = {key: said.answer for key, said in known(self._purse.responses, keys).items()}
        waiting = [place for place in range(len(requests)) if not keys or keys[place] not in found]
        begun = time.perf_counter()
        fresh = self._model.answer([requests[place] for place in waiting]) if waiting else []
        each = (time.perf_counter() - begun) / max(1, len(fresh))
        usd, tokens = self._purse.meter.add(fresh) if self._paid else (0.0, 0)
        answers = dict(zip(waiting, fresh, strict=True))
        good = [place for place in waiting if keys and not answers[place].error]
        rows = [(keys[place], encoded(Said(answers[place], each))) for place in good]
        if rows or usd or tokens:
            self._purse.responses.put(rows, cycle=self._purse.cycle, usd=usd, tokens=tokens)
        return [answers[place] if place in answers else found[keys[place]] for place in range(len(requests))]

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the whole output, then the answer."""
        return whole(self, request)

    def close(self) -> None:
        """Close the member."""
        self._model.close()
