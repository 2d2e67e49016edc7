"""Releases without a server: models that say when they are loaded, asked and closed, and what a ledger would say."""

import asyncio
import functools
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

from lifeloop.core.candidates import Answer, Candidate
from lifeloop.core.errors import StoreError
from lifeloop.core.evidence import Release
from lifeloop.gateway.production.routing import Router
from lifeloop.store.rows import ReleaseRow, RolloutRow, Traffic
from lifeloop.store.vault import Vault


class Model:
    """Answers with its name; must not be asked after it was closed, nor be closed twice."""

    batch_size = concurrency = 4

    def __init__(self, name: str) -> None:
        self.name = name
        self.n_closed = 0

    def answer(self, requests):
        assert not self.n_closed, "asked after it was closed"
        return [Answer(output=self.name) for _ in requests]

    def stream(self, request):
        yield self.answer([request])[0]

    def close(self) -> None:
        self.n_closed += 1


class Paper:
    """What a ledger would say of traffic; written by tests, read by routers."""

    def __init__(self) -> None:
        self.production = self.previous = self.rollout = None
        self.away = False
        self.n_asked = 0

    def traffic(self) -> Traffic:
        self.n_asked += 1
        if self.away:
            raise StoreError("the database is away", where="test", fix="wait")
        return Traffic(self.production, self.previous, self.rollout)


class Releases:
    """Candidates and releases of one vault, and what was loaded of them."""

    def __init__(self, folder) -> None:
        self.vault = Vault(str(folder / "vault"), folder / "cache")
        self.ledger = Paper()
        self.models: dict[str, list[Model]] = {}
        self.made: dict[str, Any] = {}
        self.broken: set[str] = set()
        self.gates: dict[str, threading.Event] = {}
        self._n = 0

    def candidate(self, name: str, **fields) -> str:
        return self.vault.put_value(Candidate(name=name, kind="scene", task="chat", labels=(), settings={}, **fields))

    def release(self, name: str, *fallback: str) -> str:
        self._n += 1
        others = tuple(self.candidate(other) for other in fallback)
        return self.vault.put_value(
            Release(cycle=self._n, verdict="v", candidate=self.candidate(name), name=name, fallback=others)
        )

    def row(self, release: str) -> ReleaseRow:
        value = self.vault.get_value(release, Release)
        return ReleaseRow(self._n, release, "v", value.candidate, value.name, 1700000000.0)

    def promote(self, release: str) -> None:
        """Put a release in production; the one that is there becomes the one before."""
        self.ledger.previous, self.ledger.production = self.ledger.production, self.row(release)
        self.ledger.rollout = None

    def roll_back(self) -> None:
        self.ledger.production, self.ledger.previous = self.ledger.previous, None
        self.ledger.rollout = None

    def roll_out(self, release: str, strategy: str, share: float, settings: str = "{}") -> None:
        control = self.ledger.production.id
        row = RolloutRow(1, release, control, strategy, "running", 0, share, settings, "", "", 1700000000.0)
        self.ledger.rollout = row

    def load(self, identifier: str) -> Model:
        name = self.vault.get_value(identifier, Candidate).name
        if gate := self.gates.get(name):
            assert gate.wait(20)
        if name in self.broken:
            raise OSError(f"/srv/secret/{name} is missing")
        self.models.setdefault(name, []).append(self.made.get(name) or Model(name))
        return self.models[name][-1]

    def open(self) -> set[str]:
        """Return the names of the candidates whose models are loaded."""
        return {name for name, models in self.models.items() for model in models if not model.n_closed}

    @asynccontextmanager
    async def router(self, **options):
        router = Router(self.ledger, self.vault, self.load, **options)
        try:
            yield router
        finally:
            await asyncio.to_thread(router.close)
        await until(lambda: not self.open())
        assert all(model.n_closed == 1 for models in self.models.values() for model in models)

    async def look(self, router: Router, condition: Callable[[], bool] = lambda: True) -> None:
        """Let the router look until a condition holds, and until it loads nothing any more."""
        await until(lambda: (router.look(), condition())[1] and not router._loading)
        await asyncio.sleep(0.01)


def in_loop(test):
    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, "waited in vain"
        await asyncio.sleep(0.005)
