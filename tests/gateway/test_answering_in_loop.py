"""Whole answers of candidates that are asked in the loop: retries, breakers, fallbacks, what is recorded."""

import asyncio
import gc

import pytest
from loop_scene import Filters, InLoop, asked, parts_of

from lifeloop.core.candidates import Choices
from lifeloop.gateway.serving import serve_many, serve_one, unanswered
from lifeloop.gateway.web.errors import RequestError
from lifeloop.models.model import Unanswered


def ask(parts, one=None):
    return asyncio.run(serve_one(parts, one or asked()))


def reset():
    return Unanswered("failed", "reset by peer")


def test_an_answer_is_on_record_before_it_is_given_out():
    parts = parts_of(InLoop("fine"))
    live, outcome = ask(parts, asked(user_key="u", api_key="k"))
    (event,) = parts.recorder.events
    assert outcome.output == event.output == "fine" and event.error == ""
    assert (event.name, event.user_key, event.api_key, event.usd) == ("a", "u", "k", 0.002)
    assert parts.limits.spent == [("k", 6, 0.002)] and parts.shadows.offered == ["e"]
    assert live.users == 0


def test_what_cannot_be_recorded_is_not_answered():
    parts = parts_of(InLoop("fine"))
    parts.recorder.full = True
    with pytest.raises(RequestError) as caught:
        ask(parts)
    assert (caught.value.status, caught.value.code) == (503, "not_recorded")
    assert parts.router.live.users == 0 and parts.shadows.offered == []


def test_nobody_is_asked_while_nothing_can_be_recorded():
    model = InLoop("fine")
    parts = parts_of(model)
    parts.recorder.accepting = False
    with pytest.raises(RequestError) as caught:
        ask(parts)
    assert caught.value.status == 503 and model.calls == 0


def test_what_passes_is_tried_again_and_is_no_failure_of_the_event():
    model = InLoop("fine", script=[reset()])
    parts = parts_of(model, InLoop("other"))
    _, outcome = ask(parts)
    assert outcome.output == "fine" and model.calls == 2 and parts.recorder.events[0].error == ""


def test_what_does_not_pass_goes_to_the_next_candidate_at_once():
    model = InLoop("fine", script=[Unanswered("failed", "a 400", passing=False, status=400)])
    parts = parts_of(model, InLoop("other"))
    _, outcome = ask(parts)
    assert outcome.output == "other" and model.calls == 1
    assert parts.recorder.events[0].error == "a failed: a 400" and parts.recorder.events[0].name == "b"


def test_an_endpoint_that_asks_for_a_longer_wait_than_a_retry_is_worth_is_not_waited_for():
    model = InLoop("fine", script=[Unanswered("is busy", status=429, wait=30.0)])
    _, outcome = ask(parts_of(model, InLoop("other")))
    assert outcome.output == "other" and model.calls == 1


def test_a_wait_that_an_endpoint_asks_for_is_kept():
    model = InLoop("fine", script=[Unanswered("is busy", status=429, wait=0.05)])
    _, outcome = ask(parts_of(model))
    assert outcome.output == "fine" and model.calls == 2 and outcome.seconds >= 0.05


def test_retries_stay_within_their_budget_however_many_requests_fail():
    model = InLoop("fine", script=[reset() for _ in range(10_000)])
    parts = parts_of(model, InLoop("other"), retry_budget=0.1, breaker_requests=10_000)

    async def scene():
        for n in range(100):
            await serve_one(parts, asked(f"e{n}"))

    asyncio.run(scene())
    assert 100 < model.calls <= 100 + 0.1 * 100 + 3
    assert [event.name for event in parts.recorder.events] == ["b"] * 100


def test_a_hang_costs_the_time_of_the_release_and_no_retry():
    model = InLoop("fine", seconds=60.0)
    parts = parts_of(model, InLoop("other"), seconds=0.05)
    _, outcome = ask(parts)
    assert outcome.output == "other" and model.calls == 1 and 0.05 <= outcome.seconds < 1.0
    assert parts.recorder.events[0].error == "a timed out: after 0.05 s" and model.places == 0


def test_a_model_that_raises_what_it_should_not_is_a_candidate_that_failed():
    _, outcome = ask(parts_of(InLoop("fine", script=[ZeroDivisionError("oh")]), InLoop("other")))
    assert outcome.output == "other" and str(outcome.failures[0]) == "a failed: ZeroDivisionError: oh"


def test_after_enough_failures_a_candidate_is_left_out_and_comes_back():
    model = InLoop("fine", script=[reset() for _ in range(5)])
    parts = parts_of(model, InLoop("other"), retries=0, breaker_requests=4, breaker_seconds=0.05)

    async def scene():
        names = []
        for _ in range(8):
            _, outcome = await serve_one(parts, asked())
            names.append((outcome.member.name, model.calls))
        await asyncio.sleep(0.06)
        names.append(((await serve_one(parts, asked()))[1].member.name, model.calls))  # the probe fails
        await asyncio.sleep(0.11)
        names.append(((await serve_one(parts, asked()))[1].member.name, model.calls))  # the next one does not
        return names

    names = asyncio.run(scene())
    assert names[:8] == [("b", min(n, 4)) for n in range(1, 9)]
    assert names[8:] == [("b", 5), ("a", 6)]
    assert parts.recorder.events[7].error == "a is left out after failures"


def test_one_probe_at_a_time_asks_a_candidate_that_was_left_out():
    model = InLoop("fine", script=[reset() for _ in range(4)])
    parts = parts_of(model, InLoop("other"), retries=0, breaker_requests=4, breaker_seconds=0.02)

    async def scene():
        for _ in range(4):
            await serve_one(parts, asked())
        await asyncio.sleep(0.03)
        model.seconds, model.most = 0.05, 0
        return await asyncio.gather(*(serve_one(parts, asked()) for _ in range(20)))

    names = [outcome.member.name for _, outcome in asyncio.run(scene())]
    assert names.count("a") == 1 and model.most == 1


def test_a_request_that_is_wrong_in_itself_says_nothing_of_the_candidate():
    wrong = [Unanswered("failed", "a 422", passing=False, status=422) for _ in range(40)]
    parts = parts_of(InLoop("fine", script=wrong), InLoop("other"), breaker_requests=4)

    async def scene():
        return [(await serve_one(parts, asked()))[1].member.name for _ in range(41)]

    assert asyncio.run(scene()) == ["b"] * 40 + ["a"]


def test_a_broken_contract_is_no_failure_of_the_breaker():
    model = InLoop("nonsense")
    parts = parts_of(model, InLoop("billing"), task="classify", labels=("billing", "other"), breaker_requests=4)

    async def scene():
        for _ in range(12):
            _, outcome = await serve_one(parts, asked())
            assert outcome.output == "billing"

    asyncio.run(scene())
    assert model.calls == 12 and parts.recorder.events[-1].usd == pytest.approx(0.004)


class PassesOn(InLoop):
    passes_on = True


def test_options_skip_candidates_that_would_not_heed_them():
    local, remote = InLoop("plain"), PassesOn(Choices(raw='[{"index":0}]'))
    parts = parts_of(local, remote)
    _, outcome = ask(parts, asked(options={"tools": [{}]}))
    assert outcome.member.name == "b" and local.calls == 0
    assert parts.recorder.events[0].output == '[{"index":0}]'


def test_options_that_nobody_heeds_are_a_400():
    parts = parts_of(InLoop("plain"))
    one = asked(options={"tools": [{}]})
    live, outcome = ask(parts, one)
    error = unanswered(live, one, outcome)
    assert (error.status, error.param, error.code) == (400, "tools", "unsupported_parameter")


@pytest.mark.parametrize(
    ("failures", "status", "retry_after"),
    [
        ([Unanswered("is busy", status=429, wait=7.2), Unanswered("is busy", status=429, wait=20.0)], 429, "8"),
        ([Unanswered("is busy", status=429, wait=7.0), reset()], 503, "1"),
    ],
)
def test_what_nobody_answered_says_when_to_come_back(failures, status, retry_after):
    parts = parts_of(InLoop("x", script=failures[:1]), InLoop("x", script=failures[1:]), retries=0)
    live, outcome = ask(parts)
    error = unanswered(live, asked(), outcome)
    assert (error.status, error.headers["retry-after"]) == (status, retry_after)
    assert parts.recorder.events[0].name == "a" and parts.recorder.events[0].error


def test_a_withheld_answer_goes_to_the_next_candidate_and_is_a_400_in_the_end():
    leaky = InLoop("the secret word")
    assert ask(parts_of(leaky, InLoop("fine"), filters=Filters("secret")))[1].output == "fine"
    live, outcome = ask(parts_of(leaky, filters=Filters("secret")))
    error = unanswered(live, asked(), outcome)
    assert (error.status, error.code) == (400, "content_filter") and "secret" not in error.message


def test_many_texts_are_asked_side_by_side_and_fall_back_one_by_one():
    model = InLoop("fine", seconds=0.01, script=[Unanswered("failed", passing=False), None])
    parts = parts_of(model, InLoop("other"))
    many = [asked(f"e{n}") for n in range(20)]
    live, outcomes = asyncio.run(serve_many(parts, many))
    names = [outcome.member.name for outcome in outcomes]
    assert names == ["b", *["a"] * 19] and model.most == 8
    assert [event.id for event in parts.recorder.events] == [one.event for one in many] and live.users == 0


def test_a_cancelled_request_is_an_event_and_holds_nothing():
    model = InLoop("fine", seconds=5.0)
    parts = parts_of(model)

    async def scene():
        asking = asyncio.create_task(serve_one(parts, asked()))
        while not model.places:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(scene())
    assert parts.recorder.events[0].error == "abandoned: the gateway stopped"
    assert model.places == 0 and parts.router.live.users == 0


def test_a_failing_candidate_does_not_fill_the_log(caplog):
    parts = parts_of(InLoop("x", script=[reset() for _ in range(500)]), InLoop("y"), retries=0, breaker_requests=1000)

    async def scene():
        for _ in range(500):
            await serve_one(parts, asked())

    asyncio.run(scene())
    assert 1 <= len(caplog.records) < 10


def test_memory_does_not_grow_with_requests():
    model = InLoop("fine")
    parts = parts_of(model, InLoop("other"))

    async def scene(n):
        for number in range(n):
            if number % 10 == 0:
                model.script.append(reset())
            await serve_one(parts, asked(str(number)))
            for kept in (parts.recorder.events, parts.shadows.offered, model.requests):
                kept.clear()
        gc.collect()
        return len(gc.get_objects())

    async def grown():
        before = await scene(500)
        return await scene(20_000) - before

    parts.continuity.random = lambda: 0.0
    assert asyncio.run(grown()) < 100
