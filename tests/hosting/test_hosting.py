"""Processes that hold models: shared, lost, hung, too big, left behind. Real processes, real signals."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hosting_scene import alive, hosting, odd_kinds, wait_for
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.candidates import Answer, Message, Request
from lifeloop.core.errors import ModelError
from lifeloop.core.gateway_brief import Hosting
from lifeloop.hosting import child, hosts
from lifeloop.hosting.frames import Ask, Line, packed
from lifeloop.hosting.hosted import AWAY, Hosted, hosted
from lifeloop.models.model import AnswersInLoop, Embeds, PassesOn, Unanswered

QUICK = Hosting(silent_seconds=1.0, stuck_seconds=0.5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(hosts, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(hosts, "LINGER_SECONDS", 0.2)


def says(model: Hosted, text: str, seconds: float = 5.0) -> Answer:
    return asyncio.run(model.answer_in_loop(Request(text), seconds))


def fails(model: Hosted, text: str, seconds: float = 5.0) -> Unanswered:
    with pytest.raises(Unanswered) as caught:
        says(model, text, seconds)
    return caught.value


def answers_again(model: Hosted) -> bool:
    try:
        return says(model, "hello").output == "hello"
    except Unanswered as failure:
        assert failure.passing
        return False


# what it gives


def test_a_hosted_model_answers_as_the_model_does_in_threads_and_in_a_loop():
    with hosting() as scene:
        model = hosted(scene.control, scene.odd(batch_size=3, concurrency=2))
        assert isinstance(model, AnswersInLoop)
        assert isinstance(model, PassesOn)
        assert isinstance(model, Embeds)
        assert (model.batch_size, model.concurrency) == (3, 2)
        answer = says(model, "hello")
        assert (answer.output, answer.confidence) == ("hello", 0.5)
        assert answer.tokens_out not in {0, os.getpid()}
        assert [said.output for said in model.answer([Request("a"), Request("b")])] == ["a", "b"]
        assert model.answer([]) == []
        assert model.embed(["four", "seven"]) == [[4.0, 1.0], [5.0, 1.0]]
        vectors, took = asyncio.run(model.embed_in_loop(["four"], 5.0))
        assert (vectors, took.tokens_in) == ([[4.0, 1.0]], 4)
        *pieces, whole = model.stream(Request("count 3"))
        assert pieces == ["0 ", "1 ", "2 "]
        assert whole.output == "0 1 2 "
        model.close()
        model.close()


def test_an_error_of_the_model_is_no_error_of_its_process():
    with hosting() as scene:
        model = hosted(scene.control, scene.odd())
        for order in ("raise /srv/secret", "err no room"):
            failure = fails(model, order)
            assert (failure.why, failure.passing) == ("failed", False)
        assert model.answer([Request("err no room")])[0].error == "no room"
        assert "secret" in model.answer([Request("raise /srv/secret")])[0].error
        assert "cannot be sent" in fails(model, "\ud800 half a character").detail
        assert says(model, "hello").output == "hello"
        model.close()


def test_what_cannot_be_loaded_is_said_in_its_own_words_and_leaves_no_process():
    with hosting() as scene:
        with pytest.raises(ModelError, match="it refuses") as caught:
            hosted(scene.control, scene.odd(refuses=True))
        assert (caught.value.where, caught.value.fix) == ("candidates.odd", "ask another")
        with pytest.raises(ModelError, match="ended by SIGKILL"):
            hosted(scene.control, scene.odd(dies=True))
        with pytest.raises(ModelError, match="is missing"):
            hosted(scene.control, "0" * 64)
        assert scene.hosts.states() == []


def test_two_workers_share_one_process_which_ends_after_the_last_let_go():
    with hosting() as scene:
        candidate = scene.odd()
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(lambda _: hosted(scene.control, candidate), range(2))
        assert says(one, "x").tokens_out == says(other, "x").tokens_out == scene.pid(candidate)
        pid = scene.pid(candidate)
        one.close()
        wait_for(lambda: scene.state(candidate).holders == 1)
        assert says(other, "x").output == "x"
        other.close()
        wait_for(lambda: not scene.hosts.states())
        assert not alive(pid)
        again = hosted(scene.control, candidate)
        assert says(again, "x").tokens_out != pid
        again.close()


def test_waiting_requests_are_answered_together_up_to_the_batch_size():
    with hosting() as scene:
        model = hosted(scene.control, scene.odd(batch_size=4))

        async def ask() -> list[Answer]:
            first = asyncio.create_task(model.answer_in_loop(Request("sleep 0.2"), 5))
            await asyncio.sleep(0.1)
            return await asyncio.gather(first, *(model.answer_in_loop(Request(f"{n}"), 5) for n in range(4)))

        answers = asyncio.run(ask())
        assert [answer.output for answer in answers[1:]] == ["0", "1", "2", "3"]
        assert [answer.tokens_in for answer in answers] == [1, 4, 4, 4, 4]
        model.close()


# what goes wrong


@pytest.mark.alone
def test_kill_9_under_load_fails_what_is_under_way_and_the_process_comes_back():
    with hosting(QUICK) as scene:
        candidate = scene.odd(concurrency=4)
        model = hosted(scene.control, candidate)
        pid = scene.pid(candidate)

        async def load() -> list[Answer | BaseException]:
            asked = [asyncio.create_task(model.answer_in_loop(Request("sleep 0.3"), 5)) for _ in range(12)]
            await asyncio.sleep(0.1)
            os.kill(pid, signal.SIGKILL)
            begun = time.monotonic()
            found = await asyncio.gather(*asked, return_exceptions=True)
            assert time.monotonic() - begun < 0.2  # nobody waits for a time-out
            return found

        for failure in asyncio.run(load()):
            assert isinstance(failure, Unanswered)
            assert (failure.passing, failure.why) == (True, AWAY)
        assert fails(model, "hello").why == AWAY
        wait_for(lambda: answers_again(model))
        state = scene.state(candidate)
        assert (state.starts, state.problem) == (2, "was ended by SIGKILL")
        assert state.pid != pid
        model.close()


def test_a_process_that_keeps_dying_is_started_less_and_less_often():
    with hosting(QUICK) as scene:
        candidate = scene.odd()
        model = hosted(scene.control, candidate)
        waits = []
        for starts in range(1, 4):
            pid = scene.pid(candidate)
            assert scene.state(candidate).starts == starts
            begun = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda pid=pid: scene.state(candidate).pid not in {0, pid})
            waits.append(time.monotonic() - begun)
        assert waits[0] >= 0.2
        assert waits[1] >= 0.4
        assert waits[2] >= 0.8
        model.close()


def test_a_hung_process_is_killed_and_replaced():
    with hosting(QUICK) as scene:
        candidate = scene.odd()
        model = hosted(scene.control, candidate)
        pid = scene.pid(candidate)
        os.kill(pid, signal.SIGSTOP)
        failure = fails(model, "hello", 0.3)
        assert (failure.why, failure.passing) == ("timed out", True)
        wait_for(lambda: answers_again(model))
        assert not alive(pid)
        assert "no sign of life" in scene.state(candidate).problem
        model.close()


def test_a_model_that_hangs_on_a_request_is_killed_once_nobody_waits_for_it():
    with hosting(QUICK) as scene:
        candidate = scene.odd()
        model = hosted(scene.control, candidate)
        assert fails(model, "hang", 0.1).why == "timed out"
        wait_for(lambda: "given up" in getattr(scene.state(candidate), "problem", ""))
        wait_for(lambda: answers_again(model))
        model.close()


def test_a_process_that_grows_too_big_is_replaced():
    with hosting(Hosting(memory_gb=0.3)) as scene:
        candidate = scene.odd()
        model = hosted(scene.control, candidate)
        assert says(model, "eat 100").error == ""
        assert scene.state(candidate).memory_gb > 0.1
        with contextlib.suppress(Unanswered):  # it may be killed before it can say so
            says(model, "eat 300")
        wait_for(lambda: "of memory, more than hosting.memory_gb = 0.3" in scene.state(candidate).problem)
        wait_for(lambda: answers_again(model))
        assert scene.state(candidate).memory_gb < 0.1
        model.close()


def test_a_stream_whose_process_dies_ends_with_the_reason():
    with hosting(QUICK) as scene:
        candidate = scene.odd()
        model = hosted(scene.control, candidate)

        async def read() -> list[str]:
            pieces = []
            async for piece in model.stream_in_loop(Request("count 1000"), 5):
                pieces.append(piece)
                if len(pieces) == 5:
                    os.kill(scene.pid(candidate), signal.SIGKILL)
            return pieces

        with pytest.raises(Unanswered) as caught:
            asyncio.run(read())
        assert caught.value.why == AWAY
        wait_for(lambda: answers_again(model))
        model.close()


# a slot is given back


@pytest.mark.parametrize("way", ["stream closed", "task cancelled", "timed out", "connection lost"])
def test_what_nobody_waits_for_frees_its_slot(way):
    with hosting() as scene:
        model = hosted(scene.control, scene.odd())

        async def begin() -> None:
            pieces = model.stream_in_loop(Request("count 100000"), 5)
            await anext(pieces)
            if way == "stream closed":
                await pieces.aclose()
            elif way == "task cancelled":
                task = asyncio.create_task(model.answer_in_loop(Request("count 100000"), 5))
                await pieces.aclose()
                await asyncio.sleep(0.1)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            elif way == "timed out":
                await pieces.aclose()
                with pytest.raises(Unanswered, match="timed out"):
                    await model.answer_in_loop(Request("count 100000"), 0.1)
            else:
                model._clients[asyncio.get_running_loop()].close()

        asyncio.run(begin())
        assert says(model, "hello", 2.0).output == "hello"  # the one slot there is
        model.close()


def test_a_request_that_left_while_it_waited_is_never_put_to_the_model():
    with hosting() as scene:
        model = hosted(scene.control, scene.odd())

        async def ask() -> None:
            first = asyncio.create_task(model.answer_in_loop(Request("sleep 0.3"), 5))
            await asyncio.sleep(0.05)
            with pytest.raises(Unanswered, match="timed out"):
                await model.answer_in_loop(Request("die"), 0.05)
            await first

        asyncio.run(ask())
        assert says(model, "hello").output == "hello"
        model.close()


# nothing is left behind


def test_a_killed_supervisor_takes_its_processes_along(tmp_path):
    program = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from hosting_scene import HostingScene
from lifeloop.core.gateway_brief import Hosting
from lifeloop.hosting.hosted import hosted
scene = HostingScene(Path(sys.argv[2]), Hosting())
scene.hosts.start()
model = hosted(scene.control, scene.odd())
print(scene.hosts.states()[0].pid, flush=True)
time.sleep(60)
"""
    with odd_kinds(tmp_path):
        supervisor = subprocess.Popen(
            [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
    try:
        pid = int(supervisor.stdout.readline())
        assert alive(pid)
    finally:
        supervisor.kill()
        supervisor.wait()
        supervisor.stdout.close()
    wait_for(lambda: not alive(pid))


def test_signals_meant_for_the_whole_service_leave_the_model_to_those_who_still_ask():
    with hosting() as scene:
        candidate = scene.odd()
        model = hosted(scene.control, candidate)
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(scene.pid(candidate), number)
            assert says(model, "hello").output == "hello"
        assert scene.state(candidate).starts == 1
        model.close()


def test_stop_ends_what_is_loading_too():
    with hosting() as scene, ThreadPoolExecutor(1) as pool:
        loading = pool.submit(hosted, scene.control, scene.odd(dies=False))
        wait_for(scene.hosts.states)
        scene.hosts.stop()
        try:
            loading.result().close()
        except ModelError as error:
            assert "keeper of models" in error.what


# what travels


texts = st.text(max_size=20)
requests = st.builds(
    Request, texts, st.lists(st.builds(Message, texts, texts, texts), max_size=2).map(tuple),
    options=st.dictionaries(texts, st.none() | st.integers(-(2**40), 2**40) | st.lists(texts, max_size=2), max_size=2),
)  # fmt: skip


@given(st.lists(requests, max_size=4), st.data())
def test_frames_arrive_whole_however_they_are_cut(asked, data):
    sent = [Ask(number, (request,), 1.5, number % 2 == 0) for number, request in enumerate(asked)]
    wire = b"".join(map(packed, sent))
    came = []
    line = Line(lambda _, frame: came.append(frame))
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        line.data_received(wire[:size])
        wire = wire[size:]
    assert came == sent
