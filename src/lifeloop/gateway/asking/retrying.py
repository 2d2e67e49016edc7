"""Trying again: whether there is budget for it, and how long to wait before.

A budget lets retries be a share of the requests of the last seconds, so that they cannot double an overload (as in
Finagle, gRPC and Envoy), and a few besides, so that a gateway with little traffic retries at all. Pure: `now` is
seconds of any clock that only goes forward, `random` gives numbers in [0, 1).
"""

from collections.abc import Callable

WINDOW = 10
"""Seconds over which retries are held against requests."""
RESERVE = 3
"""Retries that each window has besides."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds before the first retry at most, doubled each time; one that would have to wait for longer is not made."""


class Budget:
    """How many retries the requests of the last `WINDOW` seconds allow."""

    __slots__ = ("_n_requests", "_n_retries", "_requests", "_retries", "_second", "_share")

    def __init__(self, share: float) -> None:
        self._share = share
        self._requests = [0] * WINDOW  # rings, a place a second
        self._retries = [0] * WINDOW
        self._n_requests = self._n_retries = 0
        self._second = 0

    def note(self, now: float) -> None:
        """Count a request."""
        second = int(now)
        if second != self._second:
            self._forget_until(second)
        self._requests[second % WINDOW] += 1
        self._n_requests += 1

    def take(self, now: float) -> bool:
        """Return whether one retry is allowed now, and count it if so."""
        second = int(now)
        if second != self._second:
            self._forget_until(second)
        if self._n_retries + 1 > self._share * self._n_requests + RESERVE:
            return False
        self._retries[second % WINDOW] += 1
        self._n_retries += 1
        return True

    def _forget_until(self, second: int) -> None:
        for passed in range(max(self._second + 1, second - WINDOW + 1), second + 1):
            place = passed % WINDOW
            self._n_requests -= self._requests[place]
            self._n_retries -= self._retries[place]
            self._requests[place] = self._retries[place] = 0
        self._second = max(second, self._second)


def pause(attempt: int, asked: float, random: Callable[[], float]) -> float:
    """Return the seconds to wait before retry number `attempt` (from 0): full jitter (Brooker, 2015), and at least what
    the endpoint asked for.
    """
    ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
    return float(max(asked, ceiling * random()))
