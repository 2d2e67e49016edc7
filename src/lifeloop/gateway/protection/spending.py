"""What keys spent today by the ledger: so that a limit of money outlives restarts and holds on all machines.

Looks now and then, in the background, and tells the limits; between two looks they count what this machine spends.
Knows nothing of requests.
"""

import logging
import time
from collections.abc import Callable

from lifeloop.core.errors import StoreError
from lifeloop.gateway.protection.keys import KeyRing
from lifeloop.gateway.protection.limits import DAY, Limits
from lifeloop.store.ledger import Ledger

log = logging.getLogger(__name__)

SECONDS = 5.0
"""Between two looks at the ledger."""


class Spending:
    """Follows the events of keys that have a limit of money. `look` blocks; it is for a thread of its own."""

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyRing,
        limits: Limits,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds since the epoch, UTC."""
        self._ledger = ledger
        self._keys = keys
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._next = 0.0
        self._day = -1
        self._counted = 0  # events up to this sequence number are in the totals
        self._totals: dict[str, float] = {}
        self._until = 0  # events up to this one were there at the last look,
        self._here: dict[str, int] = {}  # when this machine had spent so much

    def look(self) -> None:
        """Count what was added since the last look and tell the limits, if it is time. Errors wait for the next.

        It counts the events that the look before saw: PostgreSQL numbers events before they can be seen, and by now
        whatever has a lower number can be.
        """
        keys = {key.id: key for key in self._keys.limited}
        if not keys or self._monotonic() < self._next:
            return
        self._next = self._monotonic() + SECONDS
        here = {identifier: self._limits.spent_here(key) for identifier, key in keys.items()}
        try:
            until = self._ledger.last_event()
            self._count(frozenset(keys), until, here)
        except StoreError as error:
            log.warning("what API keys spent cannot be read; what this machine spends is still counted: %s", error)
            return
        for identifier in keys:
            spent = self._totals.get(identifier, 0.0)
            self._limits.set_elsewhere(identifier, self._day, spent, self._here.get(identifier, 0))
        self._until, self._here = until, here

    def _count(self, keys: frozenset[str], until: int, here: dict[str, int]) -> None:
        day = int(self._clock() // DAY)
        if day != self._day or keys - self._totals.keys():
            totals = dict.fromkeys(keys, 0.0)
            totals |= self._ledger.spending(keys, day * DAY, 0, until)
            self._day, self._totals, self._counted = day, totals, until
            self._here = here
            return
        if self._until <= self._counted:
            return
        for key, usd in self._ledger.spending(keys, day * DAY, self._counted, self._until).items():
            self._totals[key] += usd
        self._counted = self._until
