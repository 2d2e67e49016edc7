"""What waits in memory because the disk is full: it goes straight to the ledger, or to the log once there is room.

Takes items and says whether it takes more. Its thread lives only while something waits. What waits here is lost with a
`kill -9`, so it is short: at most a second or so of a busy gateway, and nothing is added once the ledger is away too.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from lifeloop.core.errors import StoreError
from lifeloop.store.delivering import deliver
from lifeloop.store.ledger import Ledger
from lifeloop.store.served_lines import Item

log = logging.getLogger(__name__)

CAPACITY = 10_000
"""How many items wait at most."""
BYTES = 64 << 20
"""How much they take at most, as lines."""
BATCH = 500
PAUSE_SECONDS = 0.1
"""How often both the disk and the ledger are tried while neither takes anything."""

Kept = tuple[bytes, Item]


class Overflow:
    """A short queue to a ledger. Safe to use from any thread."""

    def __init__(self, ledger: Ledger, append: Callable[[bytes], None]) -> None:
        """`append` writes a line to the log, or raises OSError."""
        self._ledger = ledger
        self._append = append
        self._queue: deque[Kept] = deque()
        self._bytes = 0
        self._events: set[str] = set()
        self._away = False
        self._working = False
        self._changed = threading.Condition()

    @property
    def accepting(self) -> bool:
        """Whether an item would be taken now."""
        return not self._away and len(self._queue) < CAPACITY and self._bytes < BYTES

    def add(self, line: bytes, item: Item) -> bool:
        """Take an item and return True, or return False where nothing can be done with it."""
        with self._changed:
            if not self.accepting:
                return False
            self._queue.append((line, item))
            self._bytes += len(line)
            self._events.add(item.id)
            if not self._working:
                self._working = True
                threading.Thread(target=self._run, name="lifeloop-overflow", daemon=True).start()
            return True

    def holds(self, event: str) -> bool:
        """Return whether an event of that id waits here."""
        return event in self._events

    def wait(self, timeout: float) -> int:
        """Wait until nothing waits, at most `timeout` seconds; return how many items do then."""
        with self._changed:
            self._changed.wait_for(lambda: not self._queue, timeout)
            return len(self._queue)

    # below: the thread

    def _run(self) -> None:
        log.error("the disk takes no more of the event log; events go straight to the ledger")
        while batch := self._first():
            n = self._to_log(batch) or self._to_ledger(batch)
            with self._changed:
                self._away = not n
                for _ in range(n):
                    line, item = self._queue.popleft()
                    self._bytes -= len(line)
                    self._events.discard(item.id)
                self._changed.notify_all()
                if not n:
                    self._changed.wait(PAUSE_SECONDS)

    def _first(self) -> list[Kept]:
        with self._changed:
            self._working = bool(self._queue)
            return [self._queue[place] for place in range(min(BATCH, len(self._queue)))]

    def _to_log(self, batch: Sequence[Kept]) -> int:
        """Write what the disk takes; return how many items that is."""
        for place, (line, _) in enumerate(batch):
            try:
                self._append(line)
            except OSError:
                return place
        return len(batch)

    def _to_ledger(self, batch: Sequence[Kept]) -> int:
        try:
            refused = deliver(self._ledger, batch, lambda kept: kept[1])
        except StoreError as error:
            if not self._away:
                log.error("neither the disk nor the ledger takes events; requests are refused: %s", error)
            return 0
        for (_, item), reason in refused:
            log.error("%s is lost: the ledger refuses it (%s), and the disk is full", item.id, reason)
        return len(batch)
