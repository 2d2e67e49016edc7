"""Releases, rollouts, rollbacks, failures and requests in any order: what a request holds is open, and what nobody
wants is closed.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from release_scene import Releases

from lifeloop.gateway.production.routing import Router
from lifeloop.gateway.production.split import wanted_of

NAMES = st.sampled_from("abcd")


class Gateway(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.scene = Releases(Path(self.folder.name))
        self.loop = asyncio.new_event_loop()
        self.warm = True
        self.router = self.loop.run_until_complete(self.made())
        self.under_way = []
        self.seen = None  # what the ledger said at the last look that reached it

    async def made(self):
        return Router(self.scene.ledger, self.scene.vault, self.scene.load, warm=self.warm)

    @rule(name=NAMES, fallback=st.lists(NAMES, max_size=2))
    def promote(self, name, fallback):
        self.scene.promote(self.scene.release(name, *fallback))

    @precondition(lambda self: self.scene.ledger.production)
    @rule(name=NAMES, strategy=st.sampled_from(["canary", "shadow"]), share=st.sampled_from([0.2, 1.0]))
    def roll_out(self, name, strategy, share):
        self.scene.roll_out(self.scene.release(name), strategy, share)

    @precondition(lambda self: self.scene.ledger.previous or self.scene.ledger.rollout)
    @rule()
    def roll_back(self):
        if self.scene.ledger.rollout:
            self.scene.ledger.rollout = None
        else:
            self.scene.roll_back()

    @precondition(lambda self: self.scene.ledger.rollout)
    @rule()
    def finish_rollout(self):
        self.scene.promote(self.scene.ledger.rollout.release)

    @rule(broken=st.sets(NAMES))
    def break_some(self, broken):
        self.scene.broken = broken

    @rule(away=st.booleans())
    def lose_the_ledger(self, away):
        self.scene.ledger.away = away

    @rule()
    def look(self):
        self.router.look()
        end = time.monotonic() + 2
        while self.router._loading:
            assert time.monotonic() < end
            time.sleep(0.0005)
        if not self.scene.ledger.away:
            self.seen = self.scene.ledger.traffic()

    @rule(user=st.text(max_size=2))
    def ask(self, user):
        taken = [self.router.take(user, "e"), self.router.take_shadow(user)]
        self.under_way += [(live, tuple(live.members)) for live in taken if live]

    @precondition(lambda self: self.under_way)
    @rule(place=st.integers(0, 99))
    def answer(self, place):
        live, _ = self.under_way.pop(place % len(self.under_way))
        self.router.give_back(live)

    @rule()
    def turn_the_loop(self):
        self.loop.run_until_complete(asyncio.sleep(0))

    @invariant()
    def what_a_request_holds_is_open(self):
        for live, members in self.under_way:
            assert live.members == members
            assert not any(member.model.n_closed for member in members)

    @invariant()
    def what_answers_is_in_production_or_was_while_that_is_not_loaded(self):
        if self.seen is None or self.seen.production is None:
            assert self.router.peek() is None
            return
        failed = self.router._failed
        if self.seen.production.id not in failed:
            assert self.router.peek().id == self.seen.production.id
        if self.router.readiness().ready:
            assert self.router.readiness().problem or not failed

    @invariant()
    def what_nobody_wants_is_closed(self):
        if self.seen is None:
            return
        self.loop.run_until_complete(asyncio.sleep(0))
        wanted = {one.release for one in wanted_of(self.seen, warm=self.warm)}
        production = self.router.peek()
        kept = set(self.router._lives.values()) | {live for live, _ in self.under_way}
        assert {live.id for live in self.router._lives.values()} <= wanted | ({production.id} if production else set())
        end = time.monotonic() + 2
        while self.scene.open() != {member.name for live in kept for member in live.members}:
            assert time.monotonic() < end, "a model is open that nobody wants"
            time.sleep(0.0005)

    def teardown(self):
        for live, _ in self.under_way:
            self.router.give_back(live)
        self.loop.run_until_complete(asyncio.to_thread(self.router.close))
        self.loop.close()
        end = time.monotonic() + 2
        while self.scene.open():
            assert time.monotonic() < end
            time.sleep(0.001)
        assert all(model.n_closed == 1 for models in self.scene.models.values() for model in models)
        self.folder.cleanup()


class ColdGateway(Gateway):
    async def made(self):
        self.warm = False
        return await super().made()


Gateway.TestCase.settings = ColdGateway.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    phases=[Phase.reuse, Phase.generate],  # shrinking what waits in vain would take minutes
)
TestGateway = Gateway.TestCase
TestColdGateway = ColdGateway.TestCase
