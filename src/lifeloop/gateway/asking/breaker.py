"""The circuit breaker of one candidate: leaves it out for a while after too many of its last requests failed.

Takes what became of requests and the time, says whether a further one may be sent. Knows nothing of candidates, of what
counts as a failure, or of clocks: `now` is seconds of any clock that only goes forward. (Nygard, Release It!, 2007.)
"""

LONGEST_OPEN = 60.0
"""Seconds that a candidate is left out at most before the next probe; also after one of which nothing is heard."""


class Breaker:
    """Closed: everything goes through. Open: nothing does. Half-open: one probe decides which it will be.

    `admit` gives a ticket that goes back with the result. Results of requests that began before the breaker last
    changed its mind say nothing of how things are now, and are not counted.
    """

    __slots__ = ("_first", "_n_failed", "_place", "_results", "_share", "_ticket", "open_seconds", "until")

    def __init__(self, share: float, requests: int, seconds: float) -> None:
        """Open when `share` of the last `requests` results are failures, for `seconds` at first."""
        self._share = share
        self._results = bytearray(requests)  # a ring: 1 for an answer, 2 for a failure, 0 for none yet
        self._place = 0
        self._n_failed = 0
        self._first = min(seconds, LONGEST_OPEN)
        self._ticket = 1
        self.open_seconds = self._first
        """How long it stays open the next time."""
        self.until = 0.0
        """When it may be probed; 0 while it is closed."""

    def admit(self, now: float) -> int:
        """Return the ticket of a request that may be sent, or 0 where it may not."""
        if not self.until:
            return self._ticket
        if now < self.until:
            return 0
        self.until = now + LONGEST_OPEN
        self._ticket += 1
        return self._ticket

    def record(self, ticket: int, ok: bool, now: float) -> None:
        """Note what became of an admitted request."""
        if ticket != self._ticket:
            return
        if self.until:
            self._conclude(ok, now)
            return
        results, place = self._results, self._place
        self._n_failed += (not ok) - (results[place] == 2)
        results[place] = 1 if ok else 2
        self._place = place + 1 if place + 1 < len(results) else 0
        if not ok and results[-1] and self._n_failed >= self._share * len(results):
            self._open(now)

    def forget(self, ticket: int, now: float) -> None:
        """Note that an admitted request ended without a result, as where its sender left: a probe's place is free."""
        if ticket == self._ticket and self.until:
            self._ticket += 1
            self.until = now

    def spoke(self, ticket: int, now: float) -> int:
        """Note that a stream began to come: a probe has succeeded with that. Return the ticket for its end."""
        if ticket == self._ticket and self.until:
            self._conclude(True, now)
            return self._ticket
        return ticket

    def waits(self, now: float) -> float:
        """Return the seconds until the next probe is possible; 0 while requests go through."""
        return max(0.0, self.until - now) if self.until else 0.0

    def _conclude(self, ok: bool, now: float) -> None:
        """Close after a probe that was answered, open for twice as long after one that was not."""
        if not ok:
            self._open(now)
            return
        self._ticket += 1
        self.until = 0.0
        self.open_seconds = self._first
        self._results = bytearray(len(self._results))
        self._place = self._n_failed = 0

    def _open(self, now: float) -> None:
        self._ticket += 1
        self.until = now + self.open_seconds
        self.open_seconds = min(2 * self.open_seconds, LONGEST_OPEN)
