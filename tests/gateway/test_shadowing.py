"""A release that answers unseen: what it may do to what is shown (nothing), and what is written of it."""

import asyncio
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_scene import InLoop, asked, parts_of
from release_scene import Releases, in_loop, until

from lifeloop.core.errors import StoreError
from lifeloop.core.gateway_brief import Continuity
from lifeloop.gateway.production.shadowing import Shadows
from lifeloop.gateway.serving import serve_many, serve_one
from lifeloop.models.model import Unanswered


class Model(InLoop):
    n_closed = 0

    def close(self):
        self.n_closed += 1


class Hangs(Model):
    async def answer_in_loop(self, request, seconds):
        self.calls += 1
        await asyncio.sleep(60)


@pytest.fixture
def scene(tmp_path):
    return Releases(tmp_path)


async def shadowed(scene, router, production, shadow, share=1.0, room=16, fallback=()):
    """Put one model in production and another in its shadow; give the parts of a gateway before them."""
    scene.made = {"old": production, "new": shadow}
    scene.promote(scene.release("old"))
    scene.roll_out(scene.release("new", *fallback), "shadow", share)
    await scene.look(router, lambda: router._split.shadow is not None)
    return msgspec.structs.replace(parts_of(production), router=router, shadows=Shadows(Continuity(), room))


def failures_of(kind):
    return {
        "answers": Model("unseen"),
        "fails": Model("unseen", script=[Unanswered("failed", "500", status=500)] * 99),
        "raises": Model("unseen", script=[RuntimeError("/srv/secret")] * 99),
        "is slow": Model("unseen", seconds=0.02),
    }[kind]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["answers", "fails", "raises", "is slow"]),
    st.floats(0.01, 1.0),
    st.integers(1, 4),
    st.lists(st.integers(0, 9), min_size=1, max_size=20),
)
def test_what_a_shadow_says_is_never_shown(kind, share, room, events):
    @in_loop
    async def run(scene):
        async with scene.router() as router:
            parts = await shadowed(scene, router, Model("shown"), failures_of(kind), share, room)
            for event in events:
                live, outcome = await serve_one(parts, asked(f"e{event}", api_key="key"))
                assert (live.name, outcome.output, outcome.failures) == ("old", "shown", ())
            await parts.shadows.close()
            recorded = parts.recorder.events
            shown = [event for event in recorded if not event.shadow_of]
            unseen = [event for event in recorded if event.shadow_of]
            assert [event.id for event in shown] == [f"e{event}" for event in events]
            assert {event.name for event in shown} == {"old"} and {event.name for event in unseen} <= {"new"}
            assert {event.api_key for event in unseen} <= {""}
            assert len(unseen) == parts.shadows.n_asked
            assert {event.shadow_of for event in unseen} <= {event.id for event in shown}
            assert not {event.id for event in unseen} & {event.id for event in shown}
            assert [live.users for live in router._lives.values()] == [0, 0]

    with tempfile.TemporaryDirectory() as folder:
        run(Releases(Path(folder)))


@in_loop
async def test_a_shadow_that_hangs_delays_nobody_and_is_asked_of_few_requests_at_a_time(scene):
    async with scene.router() as router:
        hangs = Hangs()
        parts = await shadowed(scene, router, Model("shown"), hangs, room=4)
        loop = asyncio.get_running_loop()
        started = loop.time()
        for number in range(100):
            await serve_one(parts, asked(f"e{number}"))
        assert loop.time() - started < 1.0
        assert (parts.shadows.n_asked, parts.shadows.n_dropped) == (4, 96)
        started = loop.time()
        await parts.shadows.close(0.1)
        assert loop.time() - started < 1.0
        assert hangs.calls == 4 and len(parts.recorder.events) == 100
        await serve_one(parts, asked("after"))  # closed: not asked any more
        assert parts.shadows.n_asked == 4


@in_loop
async def test_shadows_under_way_are_written_before_the_end(scene):
    async with scene.router() as router:
        parts = await shadowed(scene, router, Model("shown"), Model("unseen", seconds=0.1))
        await serve_one(parts, asked("e"))
        assert len(parts.recorder.events) == 1
        await parts.shadows.close()
        assert [event.output for event in parts.recorder.events] == ["shown", "unseen"]
        assert parts.recorder.events[1].seconds >= 0.1


@in_loop
async def test_a_shadow_that_fails_is_not_asked_again_and_leaves_the_breakers_alone(scene):
    async with scene.router() as router:
        fails = Model("unseen", script=[Unanswered("failed", "500", status=500)] * 9)
        parts = await shadowed(scene, router, Model("shown"), fails, fallback=("old",))
        await serve_one(parts, asked("e"))
        await parts.shadows.close()
        shown, unseen = parts.recorder.events
        assert fails.calls == 1 and unseen.name == "new" and unseen.output == ""
        assert unseen.error == "new failed: 500" and shown.error == ""
        assert scene.candidate("new") not in parts.continuity._healths


@in_loop
async def test_a_request_that_its_client_repeats_is_one_shadow_event(scene):
    async with scene.router() as router:
        parts = await shadowed(scene, router, Model("shown"), Model("unseen"))
        for _ in range(3):
            await serve_one(parts, asked("same", user_key="ann"))
        await parts.shadows.close()
        unseen = [event for event in parts.recorder.events if event.shadow_of]
        assert len({event.id for event in unseen}) == 1 and len(unseen) == 3
        assert {(event.shadow_of, event.user_key, event.release) for event in unseen} == {
            ("same", "ann", scene.ledger.rollout.release)
        }


@in_loop
async def test_a_log_that_takes_no_unseen_answer_changes_nothing(scene, caplog):
    async with scene.router() as router:
        parts = await shadowed(scene, router, Model("shown"), Model("unseen"))
        add = parts.recorder.add_event

        def full(event):
            if event.shadow_of:
                raise StoreError("the disk is full", where="log", fix="free some space")
            add(event)

        parts.recorder.add_event = full
        _, outcome = await serve_one(parts, asked("e"))
        await until(lambda: not parts.shadows._tasks)
        assert outcome.output == "shown" and "the disk is full" in caplog.text
        assert [live.users for live in router._lives.values()] == [0, 0]


@in_loop
async def test_of_a_call_of_many_texts_a_shadow_answers_the_first(scene):
    """The answers of one call hang together: a hundred of them are not a hundred to compare."""
    async with scene.router() as router:
        parts = await shadowed(scene, router, Model("shown"), Model("unseen"))
        await serve_many(parts, [asked(f"e{n}") for n in range(5)])
        await until(lambda: len(parts.recorder.events) == 6 and not parts.shadows._tasks)
        assert [event.shadow_of for event in parts.recorder.events if event.shadow_of] == ["e0"]
