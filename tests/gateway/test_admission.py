import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.gateway_brief import Load
from lifeloop.gateway.admission import Admission
from lifeloop.gateway.web.errors import RequestError


def admission(in_flight=2, queue=2, queue_seconds=5.0):
    return Admission(Load(in_flight=in_flight, queue=queue, queue_seconds=queue_seconds))


async def full(door, n=2):
    for _ in range(n):
        await door.enter()


async def waiting(door, n):
    """Start n who have to wait."""
    tasks = [asyncio.create_task(door.enter()) for _ in range(n)]
    await asyncio.sleep(0)
    return tasks


async def refusal(door):
    with pytest.raises(RequestError) as caught:
        await door.enter()
    return caught.value


def test_beyond_places_and_queue_it_is_a_429_that_says_when_to_come_back():
    async def scene():
        door = admission(queue_seconds=1.5)
        await full(door)
        tasks = await waiting(door, 2)
        error = await refusal(door)
        assert (error.status, error.code, error.headers["retry-after"]) == (429, "overloaded", "2")
        for task in tasks:
            task.cancel()

    asyncio.run(scene())


def test_who_waits_gets_the_next_place_in_turn():
    async def scene():
        door = admission()
        await full(door)
        first, second = await waiting(door, 2)
        door.leave()
        await first
        assert not second.done() and door.in_flight == 2
        door.leave()
        await second
        door.leave()
        door.leave()
        assert door.in_flight == 0

    asyncio.run(scene())


def test_who_waits_too_long_gets_a_429():
    async def scene():
        door = admission(in_flight=1, queue_seconds=0.03)
        await full(door, 1)
        started = time.perf_counter()
        error = await refusal(door)
        assert error.status == 429 and 0.02 < time.perf_counter() - started < 1.0
        assert door.n_waiting == 0 and door.in_flight == 1

    asyncio.run(scene())


def test_draining_refuses_the_new_and_the_waiting_and_lets_the_rest_end():
    async def scene():
        door = admission()
        await full(door)
        (queued,) = await waiting(door, 1)
        door.drain()
        with pytest.raises(RequestError) as caught:
            await queued
        for error in (caught.value, await refusal(door)):
            assert (error.status, error.headers["connection"]) == (503, "close")
        assert door.in_flight == 2
        door.leave()
        door.leave()
        assert door.in_flight == 0

    asyncio.run(scene())


def test_a_place_given_to_somebody_who_has_just_left_goes_to_the_next():
    async def scene():
        door = admission(in_flight=1)
        await full(door, 1)
        first, second = await waiting(door, 2)
        door.leave()  # it is the first's now
        first.cancel()  # who leaves in the same step
        await second
        door.leave()
        assert door.in_flight == 0

    asyncio.run(scene())


actions = st.lists(st.tuples(st.sampled_from(["enter", "leave", "cancel", "step"]), st.integers(0, 20)), max_size=120)


@settings(max_examples=60, deadline=None)
@given(actions=actions, places=st.integers(1, 4), queue=st.integers(0, 4))
def test_no_place_is_ever_lost_or_given_twice(actions, places, queue):
    async def scene():
        door = Admission(Load(in_flight=places, queue=queue, queue_seconds=60.0))
        inside, waiting = 0, []

        async def settle():
            nonlocal inside
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for task in [task for task in waiting if task.done()]:
                waiting.remove(task)
                inside += not task.cancelled() and task.exception() is None

        for what, which in actions:
            if what == "enter":
                waiting.append(asyncio.create_task(door.enter()))
            elif what == "leave" and inside:
                inside -= 1
                door.leave()
            elif what == "cancel" and waiting:
                waiting[which % len(waiting)].cancel()
            else:
                await settle()
            assert 0 <= door.in_flight <= places and door.n_waiting <= queue
        await settle()
        assert door.in_flight == inside
        assert not (door.n_waiting and door.in_flight < places), "somebody waits beside a free place"
        for task in waiting:
            task.cancel()
        await settle()
        for _ in range(inside):
            door.leave()
        assert door.in_flight == 0 and door.n_waiting == 0

    asyncio.run(scene())
