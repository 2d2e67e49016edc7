"""Calls to a model that is asked in threads, on their way between the event loop and a thread, and how one can fail.

Knows nothing of threads' lives, of releases or of events.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lifeloop.core.candidates import Request
from lifeloop.models.model import Unanswered

if TYPE_CHECKING:
    from lifeloop.gateway.asking.pieces import Pieces

log = logging.getLogger(__name__)


class NotAsked(Unanswered):
    """A model that did not answer because nobody put the request to it; says nothing of how it is."""


class Call:
    """Work for a thread, and since when the thread has shown no sign of life."""

    __slots__ = ("given_up", "limit", "outcome", "pieces", "requests", "since", "texts")

    def __init__(self, requests: Sequence[Request], limit: float) -> None:
        self.requests = requests
        self.limit = limit
        self.outcome: asyncio.Future[Any] | None = None
        self.pieces: Pieces | None = None  # where they go, if the one request is to be streamed
        self.texts: Sequence[str] | None = None  # what is to be turned into vectors, if no request is to be answered
        self.since = 0.0
        self.given_up = False

    def stuck(self, now: float) -> bool:
        """Return whether its thread has been silent for longer than the call may take."""
        return now - self.since > self.limit


def as_unanswered(error: BaseException) -> Unanswered:
    """Return what a model raised as a failure; one that says itself how it failed is believed."""
    if isinstance(error, Unanswered):
        return error
    return Unanswered("failed", f"{type(error).__name__}: {error}", passing=False)


def tell(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Have the loop call something, from a thread."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        log.debug("an answer came after the gateway had stopped")
