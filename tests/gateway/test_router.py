"""Which models are loaded and when, which release a request meets, and what happens when something cannot be had."""

import asyncio
import random
import threading
import time
from types import SimpleNamespace

import pytest
from postgres_server import own_server
from release_scene import Releases, in_loop, until

from lifeloop.core.gateway_brief import Gateway
from lifeloop.gateway import app
from lifeloop.gateway.production import routing
from lifeloop.gateway.production.following import Following
from lifeloop.gateway.production.routing import Arriving
from lifeloop.store.ledger import open_ledger


@pytest.fixture
def scene(tmp_path):
    return Releases(tmp_path)


def named(router, user="", event="e"):
    live = router.take(user, event)
    router.give_back(live)
    return live.name


@in_loop
async def test_several_swaps_under_hundreds_of_requests_fail_none_and_leak_nothing(scene):
    releases = [scene.release(name, "spare") for name in ("a", "b", "c", "d")]
    scene.promote(releases[0])
    async with scene.router() as router:
        await scene.look(router, lambda: router.peek() is not None)
        stop, n, under_way, most = False, 0, 0, 0
        draw = random.Random(1)

        async def ask(number):
            nonlocal n, under_way, most
            while not stop:
                live = router.take(f"user {number}", str(n))
                under_way += 1
                most = max(most, under_way)
                names = {member.name for member in live.members}
                for member in live.members:
                    await asyncio.sleep(draw.random() * 0.02)
                    assert member.model.n_closed == 0, "closed under a request"
                assert names == {live.name, "spare"}, "a request that mixes releases"
                under_way -= 1
                router.give_back(live)
                n += 1

        askers = [asyncio.create_task(ask(number)) for number in range(400)]
        for turn in range(12):
            scene.promote(releases[(turn + 1) % 4])
            expected = "abcd"[(turn + 1) % 4]
            await until(lambda name=expected: (router.look(), router.peek().name == name)[1])
            await asyncio.sleep(0.02)
        stop = True
        await asyncio.gather(*askers)
        await scene.look(router)
        assert scene.open() == {"a", "d", "spare"}, "production, the one before, and what they share"
        assert n > 1000 and most == 400
        assert len(scene.models["spare"]) == 1


@in_loop
async def test_going_back_to_the_release_before_loads_nothing(scene):
    scene.promote(scene.release("old"))
    async with scene.router() as router:
        await scene.look(router)
        scene.promote(scene.release("new"))
        await scene.look(router, lambda: router.peek().name == "new")
        assert router.readiness().previous == scene.ledger.previous.id
        scene.gates["old"] = threading.Event()  # whoever loads it now waits in vain
        scene.roll_back()
        router.look()
        assert named(router) == "old"
        assert len(scene.models["old"]) == 1
        await until(lambda: scene.open() == {"old"})


@in_loop
async def test_a_worker_that_starts_anew_loads_the_release_before_once_it_is_ready(scene):
    scene.promote(scene.release("old"))
    scene.promote(scene.release("new"))
    scene.gates["old"] = threading.Event()
    async with scene.router() as router:
        await until(lambda: (router.look(), router.readiness().ready)[1])
        assert router.readiness().previous == ""
        scene.gates["old"].set()
        await scene.look(router, lambda: router.readiness().previous == scene.ledger.previous.id)


@in_loop
async def test_where_memory_is_short_the_release_before_is_not_kept(scene):
    scene.promote(scene.release("old"))
    async with scene.router(warm=False) as router:
        await scene.look(router)
        scene.promote(scene.release("new"))
        await scene.look(router, lambda: router.peek().name == "new")
        await until(lambda: scene.open() == {"new"})
        scene.roll_back()
        await scene.look(router, lambda: router.peek().name == "old")
        assert len(scene.models["old"]) == 2


@in_loop
async def test_a_model_that_takes_long_to_load_delays_no_rollback(scene):
    scene.promote(scene.release("old"))
    async with scene.router() as router:
        await scene.look(router)
        scene.gates["slow"] = threading.Event()
        scene.promote(scene.release("slow"))
        router.look()
        scene.ledger.previous = None
        scene.ledger.production = scene.row(scene.release("older"))  # one that is not loaded either
        await until(lambda: (router.look(), router.peek().name == "older")[1])
        scene.gates["slow"].set()
        await until(lambda: scene.open() == {"older"})


@in_loop
async def test_a_candidate_that_two_loads_ask_for_at_once_is_loaded_once(scene):
    scene.gates["shared"] = threading.Event()
    scene.promote(scene.release("shared"))
    async with scene.router() as router:
        router.look()
        scene.ledger.production = scene.row(scene.release("new", "shared"))
        router.look()
        await until(lambda: [slot.holders for slot in router._members._slots.values()] == [2, 1])
        scene.gates["shared"].set()
        await scene.look(router, lambda: router.peek() is not None and router.peek().name == "new")
        assert [member.name for member in router.peek().members] == ["new", "shared"]
        assert len(scene.models["shared"]) == 1


@in_loop
async def test_while_the_challenger_cannot_be_loaded_production_answers_all(scene):
    scene.promote(scene.release("old"))
    async with scene.router() as router:
        await scene.look(router)
        scene.broken.add("new")
        new = scene.release("new")
        scene.roll_out(new, "canary", 0.5)
        await scene.look(router, lambda: router.readiness().problem != "")
        assert {named(router, f"user {number}") for number in range(50)} == {"old"}
        said = router.readiness()
        assert said.ready and said.rollout == Arriving(new, "canary", 0.5, loaded=False)
        assert new[:12] in said.problem and "OSError" in said.problem and "/srv" not in said.problem
        scene.broken.clear()
        router.look()
        await asyncio.sleep(0.05)
        assert not scene.models.get("new"), "tried again too soon"
        router._failed = {release: (at - routing.RETRY_SECONDS, why) for release, (at, why) in router._failed.items()}
        await scene.look(router, lambda: router.readiness().problem == "")
        assert {named(router, f"user {number}") for number in range(50)} == {"old", "new"}


def joining(router) -> app.App:
    worker = app.App(SimpleNamespace(settings=Gateway()))
    worker.parts = SimpleNamespace(router=router, keys=SimpleNamespace(loaded=True))
    return worker


@in_loop
async def test_a_worker_that_joins_waits_for_the_challenger_within_bounds(scene, monkeypatch):
    """It answered for the challenger with production, which counted as a wrong split."""
    scene.promote(scene.release("old"))
    scene.gates["new"] = threading.Event()
    scene.roll_out(scene.release("new"), "canary", 0.5)
    async with scene.router() as router:
        worker = joining(router)
        assert not worker.loaded
        await until(lambda: (router.look(), router.readiness().ready)[1])
        router.look()
        assert not worker.loaded, "production is there, the challenger is not"
        with monkeypatch.context() as late:
            late.setattr(app, "CHALLENGER_SECONDS", -1.0)
            assert worker.loaded, "that long it waits and no longer"
        assert not worker.loaded
        scene.gates["new"].set()
        await scene.look(router, lambda: worker.loaded)
        assert router.readiness().rollout.loaded


@in_loop
async def test_a_worker_that_joins_does_not_wait_for_what_cannot_be_loaded(scene):
    scene.promote(scene.release("old"))
    scene.broken.add("new")
    scene.roll_out(scene.release("new"), "canary", 0.5)
    async with scene.router() as router:
        worker = joining(router)
        await scene.look(router, lambda: worker.loaded)
        assert not router.readiness().rollout.loaded


@in_loop
async def test_users_stay_where_they_are_from_step_to_step_until_a_rollback(scene):
    scene.promote(scene.release("old"))
    new, users = scene.release("new"), [f"user {number}" for number in range(500)]
    async with scene.router() as router:
        before = set()
        for share in (0.01, 0.05, 0.1, 0.5, 1.0):
            scene.roll_out(new, "canary", share)
            await scene.look(router, lambda step=share: router._split.share == step)
            there = {user for user in users if named(router, user) == "new"}
            assert there >= before
            before = there
        assert before == set(users)
        scene.ledger.rollout = None
        router.look()
        assert {named(router, user) for user in users} == {"old"}
        await until(lambda: scene.open() == {"old"})


@in_loop
async def test_a_promoted_challenger_is_not_loaded_again(scene):
    scene.promote(scene.release("old"))
    new = scene.release("new")
    scene.roll_out(new, "canary", 0.5)
    async with scene.router() as router:
        await scene.look(router, lambda: router._split.challenger is not None)
        held = router.peek()
        scene.promote(new)
        router.look()
        assert named(router) == "new" and router.peek() is not held
        assert [len(models) for models in scene.models.values()] == [1, 1]


@in_loop
async def test_what_is_loaded_goes_on_serving_while_the_ledger_is_away(scene, caplog):
    scene.promote(scene.release("old"))
    async with scene.router() as router:
        await scene.look(router)
        scene.promote(scene.release("new"))
        scene.ledger.away = True
        for _ in range(20):
            router.look()
        assert named(router) == "old" and router.readiness().ready and router.readiness().ledger_away
        assert caplog.text.count("the ledger cannot be read") == 1
        scene.ledger.away = False
        await scene.look(router, lambda: router.peek().name == "new")
        assert not router.readiness().ledger_away


@in_loop
async def test_a_worker_that_starts_while_the_ledger_is_away_serves_what_was_in_production_last(scene):
    memory = scene.vault.cache.parent / "traffic.json"
    scene.promote(scene.release("old"))
    scene.roll_out(scene.release("new"), "canary", 0.5)
    async with scene.router(memory=memory) as router:
        await scene.look(router, lambda: router._split.challenger is not None)
        split = router._split
    scene.ledger.away = True
    async with scene.router(memory=memory) as router:
        await scene.look(router, lambda: router._split.challenger is not None)
        assert router.readiness().ready and router.readiness().ledger_away
        users = [f"user {number}" for number in range(100)]
        assert [named(router, user) for user in users] == [split.answering(user, "").name for user in users]
    memory.write_bytes(memory.read_bytes()[:-9])
    async with scene.router(memory=memory) as router:
        await scene.look(router)
        assert router.take("", "e") is None and not router.readiness().ready


@in_loop
async def test_a_clock_that_jumps_brings_no_release_to_load_again(scene, monkeypatch):
    scene.promote(scene.release("old"))
    scene.broken.add("new")
    async with scene.router() as router:
        with monkeypatch.context() as jumping:
            jumping.setattr(time, "time", lambda: random.choice([0.0, 4e9]))
            await scene.look(router)
            scene.promote(scene.release("new"))
            await scene.look(router, lambda: router.readiness().problem != "")
            for _ in range(20):
                await scene.look(router)
            assert named(router) == "old"
    assert "new" not in scene.models


@in_loop
async def test_what_is_loaded_after_the_end_is_closed_at_once(scene):
    scene.gates["slow"] = threading.Event()
    scene.promote(scene.release("slow"))
    async with scene.router() as router:
        router.look()
    scene.gates["slow"].set()
    await until(lambda: [model.n_closed for model in scene.models.get("slow", [])] == [1])


@in_loop
async def test_a_database_that_stops_changes_nothing_and_is_followed_again_once_it_is_back(scene):
    with own_server() as server:
        scene.ledger = open_ledger(server.url)

        def promote(name):
            row = scene.row(scene.release(name))
            scene.ledger.add_release(id=row.id, verdict="v", candidate=row.candidate, name=name, at=1700000000.0)

        promote("old")
        async with scene.router() as router:
            following = Following([router.look], 0.02)
            following.start()
            await until(lambda: router.readiness().ready)
            server.stop()
            await until(lambda: router.readiness().ledger_away)
            assert named(router) == "old" and router.readiness().ready
            server.start()
            promote("new")
            await until(lambda: router.peek().name == "new" and not router.readiness().ledger_away)
            await asyncio.to_thread(following.close)
        scene.ledger.close()
