import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from gateway_scene import Errs, Hangs, Raises, Says, Scene, Streams, client_of, said, wait_for


def ask(url, text="x"):
    return client_of(url).chat.completions.create(model="desk", messages=said(text))


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    scene.candidate("second", Says("other"))
    return scene


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Raises(""), "first failed: RuntimeError: /srv/secret/model.bin failed on 'x'"),
        (Errs("no credit left"), "first failed: no credit left"),
        (Says("it is about money"), "first broke the task's contract: 'it is about money' is not one of the 3 labels"),
        (Says("billing", seconds=2), "first timed out: after 0.3 s"),
    ],
)
def test_the_next_candidate_answers_and_the_event_says_why(scene, model, why):
    scene.candidate("first", model)
    release = scene.release("first", "second", seconds=0.3)
    with scene.running() as url:
        answer = ask(url)
        (event,) = scene.events(1)
    assert answer.choices[0].message.content == "other" and answer.model == "second"
    assert (event.name, event.candidate, event.release) == ("second", scene.ids["second"], release)
    assert event.error == why
    assert 0.3 <= event.seconds < 1.5 if "timed out" in why else event.seconds < 0.3


def test_money_for_an_answer_that_failed_is_counted(scene):
    scene.candidate("first", Errs("filtered"))
    scene.release("first", "second")
    with scene.running() as url:
        ask(url)
        assert scene.events(1)[0].usd == pytest.approx(0.011)


def test_when_all_fail_it_is_a_503_and_an_event(scene):
    scene.candidate("first", Raises(""))
    scene.candidate("third", Says("nonsense"))
    scene.release("first", "third")
    with scene.running() as url:
        with pytest.raises(openai.InternalServerError) as caught:
            ask(url)
        with pytest.raises(openai.InternalServerError):
            client_of(url).chat.completions.create(model="desk", messages=said("x"), stream=True)
        events = scene.events(2)
    assert caught.value.status_code == 503 and caught.value.code == "no_answer"
    assert "first failed; third broke the task's contract" in str(caught.value)
    for event in events:
        assert (event.name, event.output) == ("first", "") and "third broke" in event.error and event.usd == 0.001


def test_a_hung_model_is_asked_once_and_later_requests_fall_back_at_once(scene):
    hung = Hangs()
    scene.candidate("first", hung)
    scene.release("first", "second", seconds=0.5)
    with scene.running() as url:
        started = time.perf_counter()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: ask(url), range(8)))
        assert time.perf_counter() - started < 3
        started = time.perf_counter()
        answers += [ask(url) for _ in range(10)]
        assert time.perf_counter() - started < 2  # not ten times the timeout
        assert {answer.model for answer in answers} == {"second"} and hung.calls == 1
        assert "first is busy" in scene.events(18)[-1].error
        hung.let_go.set()  # it comes back, and is asked again
        wait_for(lambda: ask(url).model == "first", 5)
    assert hung.most_at_once == 1 and hung.closed


def test_a_model_for_one_thread_is_never_used_by_two(scene):
    model = Says("billing", seconds=0.02)
    scene.candidate("first", model)
    scene.release("first", "second", seconds=0.1)
    with scene.running() as url, ThreadPoolExecutor(16) as pool:
        models = [answer.model for answer in pool.map(lambda _: ask(url), range(60))]
        events = scene.events(60)
    assert model.most_at_once == 1
    assert models.count("first") >= 4 and [event.name for event in events].count("first") == models.count("first")


def test_a_model_for_four_threads_is_used_by_up_to_four(scene):
    model = Says("billing", seconds=0.1, concurrency=4)
    scene.candidate("first", model)
    scene.release("first")
    with scene.running() as url, ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: ask(url), range(24)))
    assert 2 <= model.most_at_once <= 4


def test_a_model_that_never_returns_does_not_keep_the_gateway_from_stopping(scene, monkeypatch):
    monkeypatch.setattr("lifeloop.gateway.production.members.STOP_SECONDS", 0.3)
    hung = Hangs()
    scene.candidate("first", hung)
    scene.release("first", "second", seconds=0.1)
    with scene.running() as url:
        assert ask(url).model == "second"
    assert not hung.closed  # it is left to itself: freeing what a thread still uses would crash
    hung.let_go.set()


def test_health_is_answered_while_every_model_is_busy(scene):
    hung = Hangs()
    scene.candidate("first", hung)
    scene.release("first", seconds=5)
    with scene.running() as url:
        thread = threading.Thread(target=lambda: httpx.post(f"{url}/v1/tasks/desk", json={"text": "x"}))
        thread.start()
        wait_for(lambda: hung.calls == 1)
        assert httpx.get(f"{url}/healthz", timeout=1).status_code == 200
        assert httpx.get(f"{url}/readyz", timeout=1).status_code == 200
        hung.let_go.set()
        thread.join()


def test_requests_that_wait_are_put_to_the_model_together(scene):
    model = Says("billing", seconds=0.2)
    scene.candidate("first", model)
    scene.release("first", seconds=1.0)
    with scene.running() as url, ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: ask(url), range(30)))  # one by one they would take six seconds
        events = scene.events(30)
    assert {answer.model for answer in answers} == {"first"} and len({event.id for event in events}) == 30
    assert sum(model.batches) == 30 and max(model.batches) > 1 and max(model.batches) <= model.batch_size


class Touchy(Says):
    """Raises on a whole batch if it holds one text that it cannot take."""

    def answer(self, requests):
        said = super().answer(requests)
        if any("bad" in request.text for request in requests):
            raise RuntimeError("bad text")
        return said


def test_a_request_does_not_spoil_those_it_waits_with(scene):
    scene.candidate("first", Touchy("billing", seconds=0.1))
    scene.release("first", "second")
    texts = ["bad" if place == 7 else "good" for place in range(20)]
    with scene.running() as url, ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda text: ask(url, text), texts))
    assert [answer.model for answer in answers] == ["second" if text == "bad" else "first" for text in texts]


def test_streams_and_answers_share_the_threads_of_a_model(tmp_path):
    scene = Scene(tmp_path, "chat")
    model = Streams(["a", "b"], seconds=0.01)
    scene.candidate("first", model)
    scene.release("first")

    def either(url, place):
        answer = client_of(url).chat.completions.create(model="desk", messages=said("x"), stream=place % 2 == 0)
        if place % 2:
            return answer.choices[0].message.content
        return "".join(chunk.choices[0].delta.content or "" for chunk in answer)

    with scene.running() as url, ThreadPoolExecutor(20) as pool:
        assert list(pool.map(lambda place: either(url, place), range(60))) == ["ab"] * 60
        scene.events(60)
