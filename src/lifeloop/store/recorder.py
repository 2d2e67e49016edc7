"""The recorder: takes events and feedback from the gateway and writes them to the ledger behind its back.

Adding never waits for the database. One thread writes what has gathered, at most 500 items or 50 ms at a time, and
tries again while the database is locked or away. What memory cannot hold, or what is left at the end, goes to a spill
file and from there to the ledger once it is back, at the latest at the next start. A process that is killed outright
(kill -9, power) may lose what was added in the last 50 ms, or while the database was away; a stop by SIGTERM loses
nothing. Knows nothing of requests or models.
"""

import logging
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
from sqlalchemy.exc import DataError, IntegrityError

from lifeloop.core.errors import StoreError
from lifeloop.core.events import Event, Feedback
from lifeloop.store.ledger import Ledger
from lifeloop.store.spill import Item, SpillFile

log = logging.getLogger(__name__)

T = TypeVar("T", Event, Feedback)

BATCH = 500
"""How many items one transaction takes at most."""
GATHER_SECONDS = 0.05
"""How long the first item of a batch waits for others."""
CAPACITY = 100_000
"""How many items wait in memory; beyond that the oldest go to the spill file."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between attempts while the database is away: doubled each time, up to the longest."""


class Recorder:
    """Writes to one ledger, with one thread of its own. Safe to add to from any thread."""

    def __init__(self, ledger: Ledger, spill: Path | None = None, capacity: int = CAPACITY) -> None:
        """Start the thread. `spill` is the spill file; by default it stands next to an SQLite ledger.

        Raises StoreError where the ledger is no file and `spill` is not given.
        """
        self._ledger = ledger
        self._spill = SpillFile(spill or spill_path(ledger))
        self._capacity = capacity
        self._spill_at = capacity
        self._queue: deque[Item] = deque()
        self._writing: list[Item] = []
        self._unwritten: set[str] = set()  # ids of events in the queue or in hand
        self._spilled: set[str] = set()  # ids of events in the spill file, as far as this process put them there
        self._added = 0
        self._settled = 0  # in the ledger, in the spill file or refused
        self._replay_due = True  # a process before us may have left something
        self._hurry = False
        self._closing = False
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="lifeloop-recorder", daemon=True)
        self._thread.start()

    def add_event(self, event: Event) -> None:
        """Take an event. Returns at once."""
        self._add(_writable(event))

    def add_feedback(self, feedback: Feedback) -> None:
        """Take feedback. Returns at once."""
        self._add(_writable(feedback))

    def pending(self, event: str) -> bool:
        """Return whether an event was added here and is not yet known to be in the ledger."""
        with self._changed:
            return event in self._unwritten or event in self._spilled

    def flush(self, timeout: float) -> bool:
        """Write what was added before this call; return whether all of it is in the ledger within `timeout` seconds."""
        with self._changed:
            target = self._added
            self._hurry = True
            self._changed.notify_all()
            settled = self._changed.wait_for(lambda: self._settled >= target, timeout)
            return settled and not self._spilled

    def close(self, timeout: float = 15.0) -> None:
        """Write what is left, to the ledger or else to the spill file, and stop. A second call does nothing.

        `timeout` seconds is how long the ledger may keep us waiting. Raises StoreError where the spill file cannot
        be written either, and says how much is lost.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            if self._closed:
                return
            self._closed = True
            left = [*self._writing, *self._queue]  # some may be in the ledger too: the replay skips those
            self._queue.clear()
        if not left:
            return
        log.warning("the ledger is away: %d events and feedback go to %s", len(left), self._spill.path)
        try:
            self._put_aside(left)
        except OSError as error:
            raise StoreError(
                f"{len(left)} events and feedback are lost: neither the ledger nor the spill file takes them ({error})",
                where=str(self._spill.path),
                fix="free some space, or check the folder's permissions",
            ) from error

    # below: adding

    def _add(self, item: Item) -> None:
        with self._changed:
            if not self._closed:
                self._queue.append(item)
                self._added += 1
                if isinstance(item, Event):
                    self._unwritten.add(item.id)
                if len(self._queue) in (1, BATCH):  # the thread sleeps, or need not wait for more
                    self._changed.notify_all()
                if len(self._queue) <= self._spill_at:
                    return
        self._relieve([item] if self._closed else [])

    def _relieve(self, items: list[Item]) -> None:
        """Move the oldest of a full queue to the spill file: one short write every few hundred requests."""
        with self._changed:
            items += [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        try:
            self._put_aside(items)
        except OSError as error:
            if self._closed:
                log.error("%d events and feedback are lost, the spill file does not take them: %s", len(items), error)
                return
            with self._changed:
                self._queue.extendleft(reversed(items))
                self._spill_at = len(self._queue) + BATCH
            log.error("events beyond %d stay in memory, the spill file does not take them: %s", self._capacity, error)
        else:
            with self._changed:
                self._settled += len(items)
                self._spill_at = self._capacity
                self._changed.notify_all()

    def _put_aside(self, items: Sequence[Item]) -> None:
        self._spill.append(items)
        events = {item.id for item in items if isinstance(item, Event)}
        with self._changed:
            self._spilled |= events
            self._unwritten -= events
            self._replay_due = True

    # below: the thread

    def _run(self) -> None:
        self._replay()
        while batch := self._next_batch():
            if not self._write(batch):
                return  # closed while the ledger is away: `close` takes what is left
            with self._changed:
                idle = not self._queue and not self._closing
            if idle:
                self._replay()

    def _next_batch(self) -> list[Item]:
        """Wait for items and return the oldest; empty when closed and nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            self._changed.wait_for(lambda: len(self._queue) >= BATCH or self._hurry or self._closing, GATHER_SECONDS)
            self._writing = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            self._hurry = self._hurry and bool(self._queue)
            return self._writing

    def _write(self, batch: list[Item]) -> bool:
        """Write a batch, however long the ledger is away; return False where the recorder was closed before."""
        pause = FIRST_PAUSE
        while True:
            try:
                self._deliver(batch)
            except StoreError as error:
                if pause == FIRST_PAUSE:
                    log.warning("events wait in memory, the ledger does not take them: %s", error)
            else:
                self._settle(batch)
                return True
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, pause):
                    return False
            pause = min(pause * 2, LONGEST_PAUSE)

    def _deliver(self, items: Sequence[Item]) -> None:
        """Put items in the ledger; one that no ledger takes must not stop those behind it.

        Raises StoreError while the ledger is away.
        """
        events = [item for item in items if isinstance(item, Event)]
        feedback = [item for item in items if isinstance(item, Feedback)]
        try:
            self._ledger.add_served(events, feedback)
        except Exception as error:
            if isinstance(error, StoreError) and not isinstance(error.__cause__, DataError | IntegrityError):
                raise
            if len(items) > 1:
                for item in items:
                    self._deliver([item])
            else:
                self._refuse(items[0], error)

    def _refuse(self, item: Item, error: Exception) -> None:
        try:
            path = self._spill.refuse([item])
            log.error("the ledger refuses %s (%s); it is kept in %s", item.id, type(error).__name__, path)
        except OSError as second:
            log.error("%s is lost: the ledger refuses it (%s), and so does the disk (%s)", item.id, error, second)

    def _settle(self, items: Sequence[Item]) -> None:
        with self._changed:
            self._unwritten -= {item.id for item in items if isinstance(item, Event)}
            self._settled += len(items)
            self._writing = []
            self._changed.notify_all()

    def _replay(self) -> None:
        """Bring what was spilled to the ledger; what it does not take stays for the next time."""
        with self._changed:
            if not self._replay_due:
                return
            self._replay_due = False
        try:
            for part in self._spill.parts():
                items = self._spill.read(part)
                for start in range(0, len(items), BATCH):
                    self._deliver(items[start : start + BATCH])
                self._spill.discard(part)
                with self._changed:
                    self._spilled -= {item.id for item in items if isinstance(item, Event)}
                log.info("%d events and feedback came from the spill file to the ledger", len(items))
        except (StoreError, OSError) as error:
            log.warning("the spill file waits for the ledger: %s", error)
            with self._changed:
                self._replay_due = True


def spill_path(ledger: Ledger) -> Path:
    """Return the place of the spill file next to an SQLite ledger. Raises StoreError where the ledger is no file."""
    if "://" in ledger.name or ledger.name == ":memory:":
        raise StoreError(
            "a ledger that is no file needs a place for its spill file", where=ledger.name, fix="give a path for it"
        )
    return Path(ledger.name + ".spill.jsonl")


def _writable(item: T) -> T:
    """Return the item with texts that every database takes: no NUL, and no half of a surrogate pair."""
    changes = {}
    for name in item.__struct_fields__:
        text = getattr(item, name)
        if isinstance(text, str) and ("\x00" in text or not _encodes(text)):
            changes[name] = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return msgspec.structs.replace(item, **changes) if changes else item


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
