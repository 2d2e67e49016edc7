"""Shadows: a release that answers unseen what another one has just answered, so that the two can be compared.

Takes a request that is over, asks in the background and writes an event that names the shown one. Never delays or
changes what is shown: few shadow requests are under way at a time and the rest are dropped, their failures are their
own, and they count towards nobody's limits.
"""

import asyncio
import logging
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from lifeloop.core.errors import StoreError
from lifeloop.core.gateway_brief import Continuity as Settings
from lifeloop.gateway.asking.answering import Asked, Outcome, answer_one, to_event
from lifeloop.gateway.asking.continuity import Continuity
from lifeloop.gateway.production.lives import Live

if TYPE_CHECKING:  # it holds what calls us
    from lifeloop.gateway.serving import Parts

log = logging.getLogger(__name__)

UNDER_WAY = 16
"""Shadow requests at a time; more are dropped."""
STOP_SECONDS = 5.0
"""How long those under way may take once the gateway stops."""


class Shadows:
    """The shadow requests of one process. Lives on the event loop."""

    def __init__(self, settings: Settings, under_way: int = UNDER_WAY) -> None:
        # A failed shadow request is not tried again, and the breaker of what is shown learns nothing of it.
        self._continuity = Continuity(msgspec.structs.replace(settings, retries=0))
        self._room = under_way
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.n_asked = 0
        """Requests that a shadow was asked."""
        self.n_dropped = 0
        """Requests that it should have been asked, while too many were under way."""

    def offer(self, parts: "Parts", asked: Asked, live: Live, outcome: Outcome) -> None:
        """Ask the shadow release what was asked of `live`, if there is one and the request is of its share.

        Returns at once.
        """
        if self._closed:
            return
        shadow = parts.router.take_shadow(asked.event)
        if shadow is None:
            return
        if shadow is live or len(self._tasks) >= self._room:
            self.n_dropped += shadow is not live
            parts.router.give_back(shadow)
            return
        self.n_asked += 1
        task = asyncio.get_running_loop().create_task(self._ask(parts, asked, shadow))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, seconds: float = STOP_SECONDS) -> None:
        """Take no more, let those under way end, and give up on the rest."""
        self._closed = True
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _ask(self, parts: "Parts", asked: Asked, shadow: Live) -> None:
        unseen = Asked(_event_id(shadow, asked), parts.serving.clock(), asked.input, asked.request, asked.user_key)
        outcome, now = Outcome(), self._continuity.now
        started = now()
        try:
            alone = shadow.without_fallbacks()
            await answer_one(msgspec.structs.replace(parts, continuity=self._continuity), alone, asked.request, outcome)
            outcome.seconds = now() - started
            event = to_event(alone, unseen, outcome, parts.redact)
            parts.recorder.add_event(msgspec.structs.replace(event, shadow_of=asked.event))
        except StoreError as error:
            log.warning("an answer that nobody saw could not be recorded: %s", error)
        except Exception:
            log.exception("asking a shadow failed")
        finally:
            parts.router.give_back(shadow)


def _event_id(shadow: Live, asked: Asked) -> str:
    """Return the id of the shadow's event: the same for a request that its client repeats."""
    return blake2b(f"{shadow.id}/{asked.event}".encode(), digest_size=16).hexdigest()
