"""The recorder: takes events and feedback from the gateway and sees to it that they get to the ledger.

Each is appended to the segment log before `add_event` returns, which takes microseconds and keeps it from being lost
with the process; a shipper, in this process or in another one, brings it to the ledger behind the request's back. While
the disk is full it goes to the ledger by way of memory, and while the ledger is away too nothing is taken: a request
that nobody can record is better refused than forgotten. Knows nothing of requests or models.
"""

import time
from pathlib import Path

from lifeloop.core.errors import StoreError
from lifeloop.core.events import Event, Feedback
from lifeloop.store import tails
from lifeloop.store.ledger import Ledger
from lifeloop.store.overflow import Overflow
from lifeloop.store.segments import SegmentLog
from lifeloop.store.served_lines import Item, encode, start_of
from lifeloop.store.shipping import Shipper

LOOK_SECONDS = 0.005
"""How often `flush` looks whether what it waits for is in the ledger."""


class Recorder:
    """Writes one process's segments of a folder. Safe to add to from any thread, an event loop's included."""

    def __init__(self, ledger: Ledger, folder: Path | None = None, *, writer: str = "", ship: bool = True) -> None:
        """Open the log in a folder, by default the one next to an SQLite ledger.

        `writer` is how the names of its segments begin. With `ship`, this process brings what all processes wrote to
        the folder to the ledger; without, another one must. Raises StoreError where the ledger is no file and `folder`
        is not given, or where the folder cannot be made.
        """
        self._folder = folder or events_folder(ledger)
        self._log = SegmentLog(self._folder, writer)
        self._overflow = Overflow(ledger, self._log.append)
        self._shipper = Shipper(ledger, self._folder) if ship else None
        if self._shipper is not None:
            self._shipper.start()

    def add_event(self, event: Event) -> None:
        """Take an event; a `kill -9` from here on does not lose it. Raises StoreError where nothing takes it."""
        self._add(event)

    def add_feedback(self, feedback: Feedback) -> None:
        """Take feedback as durably as an event. Raises StoreError where nothing takes it."""
        self._add(feedback)

    @property
    def accepting(self) -> bool:
        """Whether events can be taken: False while the disk is full and the ledger away."""
        return self._overflow.accepting

    def pending(self, event: str) -> bool:
        """Return whether an event was taken by a process of this folder and is not known to be in the ledger yet.

        Reads what has not been shipped yet: some 0.1 ms as a rule, longer after the ledger was away.
        """
        return self._overflow.holds(event) or tails.holds(self._folder, start_of(event))

    def flush(self, timeout: float) -> bool:
        """Return whether all that was added here before is in the ledger, or put aside, within `timeout` seconds."""
        end = time.monotonic() + timeout
        if self._overflow.wait(timeout):
            return False
        sizes = self._log.written()
        while not tails.is_shipped(self._folder, sizes):
            if time.monotonic() >= end:
                return False
            if self._shipper is not None:
                self._shipper.hurry()
            time.sleep(LOOK_SECONDS)
        return True

    def close(self, timeout: float = 15.0) -> None:
        """See what was added to the disk and, where this process ships, to the ledger; then stop.

        `timeout` seconds is how long the ledger may keep us; what it has not taken then is in the folder, for the next
        start. Raises StoreError where the disk is full and the ledger away, and says how much is lost. A second call
        does nothing. What is added later goes to the folder.
        """
        end = time.monotonic() + timeout
        lost = self._overflow.wait(timeout)
        self._log.close()
        if self._shipper is not None:
            self._shipper.close(max(0.0, end - time.monotonic()))
        if lost:
            raise StoreError(
                f"{lost} events and feedback are lost: neither the disk nor the ledger takes them",
                where=str(self._folder),
                fix="free some space, and check that the ledger can be reached",
            )

    def _add(self, item: Item) -> None:
        line = encode(item)
        try:
            self._log.append(line)
        except OSError as error:
            if not self._overflow.add(line, item):
                reason = error.strerror or str(error)
                raise StoreError(
                    f"the event log cannot be written ({reason}), and the ledger takes nothing",
                    where=str(self._folder),
                    fix="free some space, and check that the ledger can be reached",
                ) from error


def events_folder(ledger: Ledger) -> Path:
    """Return the folder of the segment log next to an SQLite ledger. Raises StoreError where the ledger is no file."""
    if "://" in ledger.name or ledger.name == ":memory:":
        raise StoreError(
            "a ledger that is no file needs a folder for its event log", where=ledger.name, fix="give a path for it"
        )
    return Path(ledger.name + ".events")
