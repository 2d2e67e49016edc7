"""Starts the parts of a gateway and stops them: what a worker holds between its first and its last request."""

import asyncio
import logging
from functools import partial

from lifeloop.core.errors import StoreError
from lifeloop.gateway.admission import Admission
from lifeloop.gateway.continuity import Continuity
from lifeloop.gateway.routing import Router
from lifeloop.gateway.serving import Parts, Serving
from lifeloop.models.loading import load_candidate
from lifeloop.store.recorder import Recorder

log = logging.getLogger(__name__)


class _Open:  # stands in for keys, limits, filters and shadows until their modules are there
    open = True

    def find(self, authorization, scope):
        return None

    def check_input(self, asked):
        return None

    def check_output(self, candidate, output):
        return ""

    def stream(self, candidate):
        return None

    def spend(self, *_):
        return None

    def admit(self, key):
        return None

    def offer(self, *_):
        return None


class _Recorder(Recorder):
    accepting = True


class _Router(Router):
    def take(self, *_):
        from lifeloop.gateway.routing import Member

        Member.in_loop = Member.passes_on = False
        live = super().take()
        for member in live.members if live else ():
            member.model = member.worker.model
        return live


def open_parts(serving: Serving) -> Parts:
    """Start what a gateway needs: its recorder, and the thread that follows the ledger."""
    recorder = _Recorder(serving.ledger)
    load = serving.load or partial(load_candidate, serving.vault)
    router = _Router(serving.ledger, serving.vault, load, serving.poll_seconds)
    router.start()
    settings = serving.settings
    return Parts(
        serving,
        router,
        recorder,
        _Open(),
        _Open(),
        _Open(),
        Admission(settings.load),
        Continuity(settings.continuity),
        _Open(),
    )


async def close_parts(parts: Parts) -> None:
    """Free the models, then write what is left."""
    await asyncio.to_thread(parts.router.close)
    try:
        await asyncio.to_thread(parts.recorder.close)
    except StoreError as error:
        log.error("%s", error)
