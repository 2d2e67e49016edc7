"""What an API key may still ask for: requests and tokens in any minute, money in a day. Shared by a machine's workers.

A window is the last 60 whole seconds and the one under way, so that no 60 seconds ever see more requests than the
limit; a request may have to wait up to a second longer than it would by a stop-watch. A call that asks for several
answers is as many requests: the first is counted with the call, the others once its body is read. Tokens and money are
known only after an answer: they are charged then, and what is under way meanwhile may overdraw a window by as much.
Minutes follow the monotonic clock, which never jumps; days follow the clock that events are stamped with.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

from lifeloop.core.keys import Key, KeyLimits
from lifeloop.gateway.protection.counters import Counters
from lifeloop.gateway.web.errors import RequestError

WINDOW = 60
"""Seconds."""
DAY = 86400
NANO = 1_000_000_000
"""Money is counted in whole billionths of a dollar."""
_REQUESTS, _TOKENS = 0, 1


class _State:
    """One key's limits, where its counters are, and what was last seen of them."""

    __slots__ = ("day", "free", "limits", "named", "nano_a_day", "remaining", "rings")

    def __init__(self, limits: KeyLimits, counters: Counters, slot: int) -> None:
        self.limits = limits
        self.free = not limits.any
        self.rings = [counters.ring(slot, number, WINDOW) for number in (_REQUESTS, _TOKENS)]
        self.day = counters.day(slot)
        self.nano_a_day = limits.usd_per_day * NANO
        self.remaining = [limits.requests_per_minute, limits.tokens_per_minute]
        self.named = [
            (ring, b"x-ratelimit-remaining-" + what, (b"x-ratelimit-limit-" + what, b"%d" % limit))
            for ring, what, limit in zip((_REQUESTS, _TOKENS), (b"requests", b"tokens"), self.remaining, strict=True)
            if limit
        ]  # headers: what never changes is made once


class Limits:
    """The limits of all keys. For the event loop alone, and returns at once."""

    def __init__(
        self,
        shared: Path | None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shared` is the file that the workers of this machine share; None for a gateway of one process.

        `clock` gives seconds since the epoch, UTC; `monotonic` is the same for all processes of the machine.
        """
        self._shared = Counters(shared)
        self._alone: Counters | None = None
        self._clock = clock
        self._monotonic = monotonic
        self._states: dict[str, _State] = {}
        self._elsewhere: dict[str, tuple[int, int, int]] = {}  # day, spent by the ledger, spent here when it was asked
        self._day, self._day_ends = 0, 0.0

    def admit(self, key: Key) -> None:
        """Count a request of a key. Raises RequestError 429, which says when to try again, where a limit is reached."""
        state = self._states.get(key.id)
        if state is None or state.limits is not key.limits:
            state = self._open(key)
        if state.free:
            return
        limits, remaining = state.limits, state.remaining
        now = self._monotonic()
        second = int(now)
        if limits.usd_per_day:
            self._check_money(key.id, state)
        if limits.tokens_per_minute:
            left = remaining[_TOKENS] = limits.tokens_per_minute - state.rings[_TOKENS].total(second)
            if left <= 0:
                raise self._refused(state, _TOKENS, now, limits.tokens_per_minute, "tokens")
        if limits.requests_per_minute:
            # Counted first and looked at then: of two processes that do so at once, one sees the other.
            ring = state.rings[_REQUESTS]
            ring.add(second, 1)
            left = remaining[_REQUESTS] = limits.requests_per_minute - ring.total(second)
            if left < 0:
                ring.add(second, -1)
                raise self._refused(state, _REQUESTS, now, limits.requests_per_minute, "requests")

    def admit_more(self, key: Key, n: int) -> None:
        """Count what a call asks for besides the one request that it was admitted as: all `n`, or none.

        Raises RequestError 429 where they do not fit now, or never will.
        """
        state = self._states.get(key.id)
        limit = key.limits.requests_per_minute
        if n <= 0 or not limit or state is None:
            return
        if n + 1 > limit:
            message = f"This API key may use {limit} requests a minute, and this call is {n + 1} in one; send fewer."
            headers = {name.decode(): value.decode() for name, value in _headers(state, {})}
            headers["x-should-retry"] = "false"  # as OpenAI tells its clients
            raise RequestError(429, message, code="rate_limit_exceeded", headers=headers)
        now = self._monotonic()
        second = int(now)
        ring = state.rings[_REQUESTS]
        ring.add(second, n)
        left = state.remaining[_REQUESTS] = limit - ring.total(second)
        if left < 0:
            ring.add(second, -n)
            raise self._refused(state, _REQUESTS, now, limit, "requests", n + 1)

    def spend(self, key_id: str, tokens: int, usd: float) -> None:
        """Charge a key that was admitted with what its answer took: tokens read and written, and money."""
        state = self._states.get(key_id)
        if state is None or state.free:
            return
        if tokens > 0:
            state.rings[_TOKENS].add(int(self._monotonic()), tokens)
        if usd > 0:
            state.day.add(self._today(), round(usd * NANO))

    def headers(self, key: Key) -> list[tuple[bytes, bytes]]:
        """Return OpenAI's `x-ratelimit-…` headers as things stood when the key's last request was admitted here."""
        state = self._states.get(key.id)
        return _headers(state, {}) if state is not None else []

    def spent_here(self, key: Key) -> int:
        """Return what this machine spent today for a key, in billionths of a dollar."""
        state = self._states.get(key.id)
        if state is None or state.limits is not key.limits:
            state = self._open(key)
        return state.day.total(int(self._clock() // DAY))  # another thread asks

    def set_elsewhere(self, key_id: str, day: int, usd: float, here: int) -> None:
        """Note what the ledger says a key spent in a day (since the epoch).

        `here` is what `spent_here` gave just before the events were counted: what came later comes on top.
        """
        self._elsewhere[key_id] = (day, round(usd * NANO), here)

    def close(self) -> None:
        """Give the shared file back; what was counted stays in it."""
        self._shared.close()
        if self._alone is not None:
            self._alone.close()

    def _open(self, key: Key) -> _State:
        counters, slot = self._shared, 0
        if key.limits.any:
            try:
                slot = counters.slot(key.id)
            except (OSError, OverflowError):  # a full disk, or more keys than the file has room for
                self._alone = counters = self._alone or Counters(None)
                slot = counters.slot(key.id)
        state = self._states[key.id] = _State(key.limits, counters, slot)
        return state

    def _today(self) -> int:
        """Return the day (since the epoch), reckoned once."""
        now = self._clock()
        if not 0.0 < self._day_ends - now <= DAY:
            self._day = int(now // DAY)
            self._day_ends = (self._day + 1.0) * DAY
        return self._day

    def _check_money(self, key_id: str, state: _State) -> None:
        today = self._today()
        spent = here = state.day.total(today)
        elsewhere = self._elsewhere.get(key_id)
        if elsewhere is not None and elsewhere[0] == today:
            _, ledger, then = elsewhere
            spent = max(here, ledger + max(here - then, 0))
        if spent < state.nano_a_day:
            return
        seconds = max(1, math.ceil((today + 1) * DAY - self._clock()))
        raise RequestError(
            429,
            f"This API key has spent its {state.limits.usd_per_day:g} USD of today.",
            code="insufficient_quota",
            headers={"retry-after": str(min(seconds, DAY))},
        )

    def _refused(self, state: _State, ring: int, now: float, limit: int, what: str, n: int = 1) -> RequestError:
        seconds = _wait(state, ring, now, limit, n)
        said = _headers(state, {ring: seconds})
        return RequestError(
            429,
            f"This API key may use {limit} {what} a minute, and has; try again in {seconds} s.",
            code="rate_limit_exceeded",
            headers={"retry-after": str(seconds), **{name.decode(): value.decode() for name, value in said}},
        )


def _wait(state: _State, ring: int, now: float, limit: int, n: int) -> int:
    """Return after how many seconds, whole ones, a window has room for `n` again if nobody asks meanwhile."""
    second = int(now)
    counted = state.rings[ring]
    total = counted.total(second)
    for other in range(second - WINDOW, second + 1):
        total -= counted.at(other)
        if total + n <= limit:
            return max(1, math.ceil(other + WINDOW + 1 - now))
    return WINDOW + 1


def _headers(state: _State, resets: dict[int, int]) -> list[tuple[bytes, bytes]]:
    found = []
    for ring, name, limit in state.named:
        remaining = state.remaining[ring]
        found += (limit, (name, b"%d" % (remaining if remaining > 0 else 0)))
        if ring in resets:
            found.append((name.replace(b"remaining", b"reset"), b"%ds" % resets[ring]))
    return found
