"""How each candidate has been doing in this process: its breaker, its retry budget, what was logged of it.

Kept by candidate, not by release: a candidate that two releases share is as well or ill in both. Lives on the event
loop; knows nothing of requests.
"""

import logging
import random
import time
from collections.abc import Callable

from lifeloop.core.content import Id
from lifeloop.core.gateway_brief import Continuity as Settings
from lifeloop.gateway.asking.breaker import Breaker
from lifeloop.gateway.asking.calls import NotAsked
from lifeloop.gateway.asking.retrying import Budget
from lifeloop.models.model import Unanswered

log = logging.getLogger(__name__)

WARN_SECONDS = 1.0
"""A candidate that fails is logged no more often than this: a failing endpoint must not cost its log's disk as well."""
OF_THE_REQUEST = frozenset({400, 413, 422})
"""What an endpoint answers to a request that is wrong in itself."""


class Health:
    """One candidate's breaker and budget."""

    __slots__ = ("_n_unlogged", "_warned", "breaker", "budget", "name")

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = name
        self.breaker = Breaker(settings.breaker_failures, settings.breaker_requests, settings.breaker_seconds)
        self.budget = Budget(settings.retry_budget)
        self._warned = float("-inf")
        self._n_unlogged = 0

    def admit(self, now: float) -> int:
        """Count a request and return its ticket. Raises NotAsked while the breaker is open."""
        ticket = self.breaker.admit(now)
        if not ticket:
            raise NotAsked("is left out after failures", passing=False, wait=self.breaker.waits(now))
        self.budget.note(now)
        return ticket

    def failed(self, ticket: int, failure: Unanswered, now: float) -> None:
        """Note that a request was not answered.

        A failure of the request's own (`OF_THE_REQUEST`) counts as an answer: whoever gave it is well. One that came
        before anybody was asked is not counted at all.
        """
        if isinstance(failure, NotAsked):
            self.breaker.forget(ticket, now)
        else:
            self.breaker.record(ticket, failure.status in OF_THE_REQUEST, now)

    def warn(self, why: str, now: float) -> None:
        """Log a failure, unless one was logged just before."""
        if now - self._warned < WARN_SECONDS:
            self._n_unlogged += 1
            return
        more = f" ({self._n_unlogged} more since the last such line)" if self._n_unlogged else ""
        self._warned, self._n_unlogged = now, 0
        log.warning("%s %s%s", self.name, why, more)


class Continuity:
    """The health of every candidate that was asked, by id."""

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], float] = time.perf_counter,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.now = now
        """Seconds of a clock that only goes forward."""
        self.random = random
        self._healths: dict[Id, Health] = {}

    def of(self, candidate: Id, name: str) -> Health:
        """Return a candidate's health; a new one is well."""
        health = self._healths.get(candidate)
        if health is None:
            health = self._healths[candidate] = Health(self.settings, name)
        return health
