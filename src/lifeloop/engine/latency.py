"""How long a candidate takes for one request at a time, and how much memory: measured once, kept for later trials.

An endpoint is timed on answers that the trial needs anyway; a model that answers in batches, on probes of its own.
"""

from collections.abc import Sequence

import msgspec

from lifeloop.core.content import Id
from lifeloop.engine.answering import Answering, Asks
from lifeloop.engine.cached import Clocked, clocked, keep_clocked, words_of
from lifeloop.engine.memory import peak_mb
from lifeloop.store.responses import Responses

PROBES = 32
"""Requests sent one at a time to measure the latency of a candidate."""
WARM_UP = 2
"""The first ones do not count."""
FOREIGN = "(none of the examples)"
"""Makes of an example's words what no example says."""


class Clock:
    """What is known of one candidate's latency and memory."""

    def __init__(self, responses: Responses, whom: Id, probes: Asks) -> None:
        self._responses = responses
        self._whom = whom
        self._probes = probes
        self._known = clocked(responses, whom)
        self._early: list[float] = []

    @property
    def memory_mb(self) -> float:
        """What a process that loaded the candidate needed at most, in megabytes; 0 before anything was measured."""
        return self._known.memory_mb if self._known else 0.0

    def before(self, answering: Answering) -> None:
        """Time the first answers of an endpoint that was not timed yet; the trial finds them in the cache."""
        if self._known is None and answering.loaded.paid and answering.loaded.model.batch_size > 1:
            self._early = answering.one_at_a_time(self._probes)[WARM_UP:]

    def after(self, answering: Answering, seconds: Sequence[float]) -> Sequence[float]:
        """Return the seconds of one request at a time, given those that each answer took, and keep what is new."""
        known = self._known or self._measured(answering, seconds)
        if answering.was_asked:  # else this process knows nothing of the model's needs
            known = msgspec.structs.replace(known, memory_mb=max(known.memory_mb, peak_mb()))
        if known != self._known:
            if self._whole(answering, known):
                keep_clocked(self._responses, self._whom, known)
            self._known = known
        if known.one_by_one and len(seconds) > WARM_UP:
            return seconds[WARM_UP:]
        return known.seconds or seconds or (0.0,)

    def _measured(self, answering: Answering, seconds: Sequence[float]) -> Clocked:
        loaded = answering.loaded
        one_by_one = loaded.model.batch_size == 1 and loaded.model is loaded.plain  # else its members may remember
        if one_by_one and len(seconds) > WARM_UP:
            return Clocked((), 0.0, one_by_one)
        if loaded.paid:  # nothing is paid for the clock alone; many at once take a little longer than one
            return Clocked(tuple(self._early or seconds[: PROBES + WARM_UP]), 0.0, one_by_one)
        return Clocked(tuple(self._probed(answering)), 0.0, one_by_one)

    def _probed(self, answering: Answering) -> list[float]:
        # An encoder remembers the texts that it met last: those of the trial, when there are few. So foreign words
        # come first, and no probe twice.
        asked = self._distinct()
        warm_up = [(msgspec.structs.replace(request, text=f"{request.text} {FOREIGN}"), 0) for request, _ in asked]
        return answering.seconds_of([*warm_up[:WARM_UP], *asked])[len(warm_up[:WARM_UP]) :]

    def _distinct(self) -> Asks:
        first = {(words_of(request), repeat): (request, repeat) for request, repeat in self._probes[:PROBES]}
        return list(first.values())

    def _whole(self, answering: Answering, known: Clocked) -> bool:
        """Return whether that many were timed as there are; the budget, or a failure, may have cut them short."""
        wanted = min(PROBES, len(self._probes)) - WARM_UP if answering.loaded.paid else len(self._distinct())
        return known.one_by_one or len(known.seconds) >= max(1, wanted)
