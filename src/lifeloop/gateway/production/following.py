"""Keeps what a worker knows up to date: calls functions over and over, each in a thread of its own.

A function that fails is called again like any other, and one that hangs delays nobody but itself: a database that does
not answer the question for keys must not keep a rollback waiting. Time is counted by a clock that only goes forward.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""How long calls under way may take, all together, before their threads are left to themselves."""


class Following:
    """Calls each function every `seconds`, from `start` until `close`."""

    def __init__(self, calls: Sequence[Callable[[], object]], seconds: float) -> None:
        self._seconds = seconds
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, args=(call,), name="lifeloop-following", daemon=True)
            for call in calls
        ]

    def start(self) -> None:
        """Make the first calls now, in the background."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Make no further calls; wait a few seconds for those under way."""
        self._stop.set()
        end = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))

    def _follow(self, call: Callable[[], object]) -> None:
        told = ""
        while not self._stop.is_set():
            try:
                call()
                told = ""
            except Exception as error:
                if repr(error) != told:  # five times a second would fill the log's disk
                    log.exception("%s failed; trying again", getattr(call, "__qualname__", call))
                told = repr(error)
            self._stop.wait(self._seconds)
