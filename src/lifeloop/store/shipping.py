"""The shipper: brings what all writers of a folder appended to its segment log to the ledger, and removes it then.

Takes a folder and a ledger. At least once with ids, so each item is in the ledger exactly once; also what processes
left that were killed. Segments of living writers are read as they grow. While the ledger is away everything stays
where it is. Of several shippers of a folder one works, the others wait for it to end. Knows nothing of gateways.
"""

import fcntl
import logging
import os
import sys
import threading
from pathlib import Path

from lifeloop.core.errors import StoreError
from lifeloop.store import tails
from lifeloop.store.delivering import deliver
from lifeloop.store.ledger import Ledger
from lifeloop.store.served_lines import Item, decode
from lifeloop.store.spill import adopt

log = logging.getLogger(__name__)

SHIPPING_NICENESS = 5
"""Of the thread that ships: where a core is short, workers get most of it."""
BATCH = 2000
"""How many items one transaction takes at most."""
POLL_SECONDS = 0.05
"""How often a shipper that has nothing to do looks for more."""
GATHER_SECONDS = 0.25
"""How long one that has just shipped lets more come together: an item of a small transaction costs several times as
much as one of a large one."""
TURN_SECONDS = 0.5
"""How often one that waits for another shipper of the folder looks whether it is its turn."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between attempts while the ledger is away: doubled each time, up to the longest."""
LAST_TRIES = 3
"""How often one that is closed tries a ledger that takes nothing; the segments wait for the next start."""
LOCK, REFUSED = "shipper.lock", "refused.jsonl"
"""Files of the folder: who holds the first ships; the second keeps what no ledger takes."""


class Shipment:
    """Where the shipping of a folder stands. For one thread, which holds the folder's lock."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        """Take up where the last shipper stopped."""
        self._ledger = ledger
        self._folder = folder
        self._offsets = tails.shipped(folder)
        self._remembered = dict(self._offsets)
        self._complained = False
        self._refused: list[bytes] = []  # lines that are yet to be put aside
        self.behind = False
        """Whether the last step left lines for another one."""
        adopt(folder, ledger.name)

    def step(self) -> int:
        """Ship one batch, remove segments that are done with, and return how many lines were shipped.

        Raises StoreError while the ledger takes nothing; then nothing has changed.
        """
        lines, ends, read_out = self._next_batch()
        items, damaged = decode(lines)
        refused = deliver(self._ledger, items, _item) if items else []
        for line in damaged:
            log.error("a line of the event log cannot be read; it is kept in %s", REFUSED)
            self._refused.append(line)
        for (line, item), reason in refused:
            log.error("the ledger refuses %s (%s); it is kept in %s", item.id, reason, REFUSED)
            self._refused.append(line)
        if self._put_aside():
            self._advance(ends, read_out)
        else:
            self._offsets |= ends  # in memory alone: whoever comes after us finds the refused ones again
        return len(lines)

    def _next_batch(self) -> tuple[list[bytes], dict[str, int], list[str]]:
        """Return lines of the segments, some of each, how far those are read then, and which hold no further one."""
        found: list[bytes] = []
        ends, read_out = {}, []
        self.behind = False
        for name, size in tails.segments(self._folder).items():
            if (room := BATCH - len(found)) <= 0:
                self.behind = True
                break
            end = offset = self._offsets.get(name, 0)
            if size > offset:
                try:
                    lines, end = tails.read(self._folder / name, offset, room)
                except OSError as error:
                    log.error("%s cannot be read: %s", name, error)
                    continue
                found += lines
            if end > offset:
                ends[name] = end
            if end >= size or end == offset:
                read_out.append(name)
            else:
                self.behind = True
        return found, ends, read_out

    def _put_aside(self) -> bool:
        """Keep what the ledger refuses in a file of its own; return whether all of it is there."""
        if not self._refused:
            return True
        data = b"".join(line + b"\n" for line in self._refused)
        try:
            descriptor = os.open(self._folder / REFUSED, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                before = os.fstat(descriptor).st_size
                if os.write(descriptor, data) != len(data):
                    os.ftruncate(descriptor, before)
                    return False
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        self._refused = []
        return True

    def _advance(self, ends: dict[str, int], read_out: list[str]) -> None:
        """Remove the segments that are done with, and write down how far the others are shipped."""
        self._offsets |= ends
        for name in read_out:
            rest = tails.remove_if_finished(self._folder / name, self._offsets.get(name, 0))
            if rest:
                log.warning("%s ends in the middle of a line, of which nobody was told that it is kept", name)
        there = tails.segments(self._folder)
        self._offsets = {name: offset for name, offset in self._offsets.items() if name in there}
        if self._offsets == self._remembered:
            return
        try:
            tails.remember(self._folder, self._offsets)
            self._remembered, self._complained = dict(self._offsets), False
        except OSError as error:  # the disk is full: a start from here would ship some again, which does no harm
            if not self._complained:
                log.warning("how far the event log is shipped cannot be written down: %s", error)
            self._complained = True


class Shipper:
    """Ships a folder's segments with a thread of its own, from `start` to `close`."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self._ledger = ledger
        self._folder = folder
        self._goal: dict[str, int] = {}  # what must be shipped before we may end
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lifeloop-shipper", daemon=True)

    def start(self) -> None:
        """Start to ship."""
        self._thread.start()

    def hurry(self) -> None:
        """Let it look for more at once."""
        self._wake.set()

    def close(self, timeout: float = 15.0) -> bool:
        """Ship what is there and stop; return whether all of it is in the ledger within `timeout` seconds.

        What is not stays in the folder for the next shipper. A second call changes nothing.
        """
        self._goal = self._goal or tails.segments(self._folder)
        self._closing.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
            self._given_up.set()
            self._wake.set()
        return tails.is_shipped(self._folder, self._goal)

    # below: the thread

    def _run(self) -> None:
        descriptor = self._wait_for_turn()
        if descriptor < 0:
            return
        if sys.platform == "linux":  # of threads: what waits in the folder is safe, requests come first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), SHIPPING_NICENESS)
        try:
            self._ship()
        finally:
            os.close(descriptor)

    def _wait_for_turn(self) -> int:
        """Return the descriptor that holds the folder's lock; -1 where we are closed while another holds it."""
        while True:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return descriptor
                except OSError:
                    os.close(descriptor)
            except OSError as error:
                log.warning("the event log cannot be shipped: %s", error)
            if self._closing.wait(TURN_SECONDS):
                return -1

    def _ship(self) -> None:
        shipment = Shipment(self._ledger, self._folder)
        failures = 0
        while not self._given_up.is_set():
            closing = self._closing.is_set()
            try:
                shipped = shipment.step()
            except Exception as error:  # whatever it is, the next try may do, and nothing is lost meanwhile
                failures += 1
                self._complain(error, failures)
                if closing and failures >= LAST_TRIES:
                    return
                (self._given_up if closing else self._closing).wait(
                    min(FIRST_PAUSE * 2 ** min(failures - 1, 30), LONGEST_PAUSE)
                )
                continue
            if failures:
                log.info("the ledger takes events again")
                failures = 0
            if closing and tails.is_shipped(self._folder, self._goal):
                return
            if not shipment.behind:
                self._wake.wait(GATHER_SECONDS if shipped else POLL_SECONDS)
                self._wake.clear()

    def _complain(self, error: Exception, failures: int) -> None:
        if failures > 1:
            return
        if isinstance(error, StoreError):
            log.warning("events wait in %s, the ledger does not take them: %s", self._folder, error)
        else:
            log.error("events wait in %s, they cannot be shipped", self._folder, exc_info=error)


def _item(kept: tuple[bytes, Item]) -> Item:
    return kept[1]
