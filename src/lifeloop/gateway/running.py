"""Starts the parts of a gateway and stops them: what a worker holds between its first and its last request."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from lifeloop.core.content import Id
from lifeloop.core.errors import StoreError
from lifeloop.gateway.admission import Admission
from lifeloop.gateway.asking.continuity import Continuity
from lifeloop.gateway.production.following import Following
from lifeloop.gateway.production.routing import Router
from lifeloop.gateway.production.shadowing import Shadows
from lifeloop.gateway.protection.filters import Filters
from lifeloop.gateway.protection.keys import KeyRing
from lifeloop.gateway.protection.limits import Limits
from lifeloop.gateway.protection.redaction import redactor
from lifeloop.gateway.protection.spending import Spending
from lifeloop.gateway.serving import Parts, Serving
from lifeloop.models.canary import with_canary
from lifeloop.models.loading import load_candidate
from lifeloop.models.model import Model
from lifeloop.store.recorder import Recorder, events_folder

log = logging.getLogger(__name__)

TRAFFIC, KEYS = ".traffic.json", ".keys.json"
"""What stands behind the event log's folder in the names of the files that keep, for a start while the ledger is away,
what was in production last, and which keys there were."""


class Running(Struct, frozen=True):
    """A gateway's parts, and what keeps them up to date."""

    parts: Parts
    following: Following


def start(serving: Serving) -> Running:
    """Start what a gateway needs. On the event loop; what reads the ledger begins in the background.

    Raises BriefError where the brief names a filter or a kind of personal data that is none, StoreError where a ledger
    that is no file needs a folder for its event log.
    """
    settings = serving.settings
    protection = settings.protection
    folder = serving.events or events_folder(serving.ledger)
    filters = Filters(protection, serving.canary)
    redact = redactor(protection.redact, protection.regions, serving.task.name)
    recorder = Recorder(serving.ledger, folder, writer=serving.writer, ship=serving.ship)
    traffic_file, keys_file = (folder.with_name(folder.name + ending) for ending in (TRAFFIC, KEYS))
    warm = settings.hosting.warm
    router = Router(serving.ledger, serving.vault, _loader(serving, filters), warm=warm, memory=traffic_file)
    keys = KeyRing(serving.ledger, serving.project, serving.clock, memory=keys_file)
    limits = Limits(serving.limits, serving.clock)
    spending = Spending(serving.ledger, keys, limits, serving.clock)
    following = Following([router.look, keys.refresh, spending.look], serving.poll_seconds)
    parts = Parts(
        serving=serving,
        router=router,
        recorder=recorder,
        keys=keys,
        limits=limits,
        filters=filters,
        admission=Admission(settings.load),
        continuity=Continuity(settings.continuity),
        shadows=Shadows(settings.continuity),
        redact=redact,
    )
    following.start()
    return Running(parts, following)


async def stop(running: Running) -> None:
    """End what answers unseen, free the models, then see to it that what was recorded is on its way to the ledger."""
    parts = running.parts
    await parts.shadows.close()
    await asyncio.to_thread(running.following.close)
    await asyncio.to_thread(parts.router.close)
    try:
        await asyncio.to_thread(parts.recorder.close)
    except StoreError as error:
        log.error("%s", error)
    parts.limits.close()


def _loader(serving: Serving, filters: Filters) -> Callable[[Id], Model]:
    """Return how candidates are loaded: once the filters know which prompts they answer under."""
    marked = partial(with_canary, word=serving.canary) if serving.canary else None
    load = serving.load or partial(load_candidate, serving.vault, prepare=marked)

    def learn_and_load(identifier: Id) -> Model:
        filters.learn(serving.vault, identifier)
        return load(identifier)

    return learn_and_load
