"""Streams of candidates that are asked in the loop, and what breaks them: every end gives every place back."""

import asyncio
import json
import time

import pytest
from loop_scene import Filters, InLoop, Reader, asked, parts_of, stream

from lifeloop.core.candidates import Answer, Choices
from lifeloop.gateway.web.errors import RequestError
from lifeloop.models.model import Unanswered


def reset():
    return Unanswered("failed", "reset by peer")


def settled(parts, *models):
    """Hold that nothing is left behind: no user of the release, no place of a model."""
    assert parts.router.live.users == 0 and [model.places for model in models] == [0] * len(models)


def test_pieces_go_out_as_they_come_and_the_event_is_there_before_the_end():
    model = InLoop("one ", "two")
    parts = parts_of(model)

    class Looks(Reader):
        async def send(self, message):
            if message.get("body") == b".":
                assert parts.recorder.events[0].output == "one two"
            await super().send(message)

    async def scene():
        return await stream(parts, asked(api_key="k"), Looks())

    reader = asyncio.run(scene())
    assert reader.status == 200 and reader.pieces == [b"one ", b"two", b"."] and reader.whole
    assert reader.headers[b"x-request-id"] == reader.headers[b"x-lifeloop-event"] == b"e"
    assert reader.headers[b"x-lifeloop-candidate"] == b"a"
    assert parts.limits.spent == [("k", 7, 0.002)] and parts.shadows.offered == ["e"]
    settled(parts, model)


def test_a_failure_before_the_first_piece_goes_to_the_next_candidate_unseen():
    broken, good = InLoop("x", breaks_at=0), InLoop("fine")
    parts = parts_of(broken, good, retries=0)
    reader = asyncio.run(stream(parts))
    assert reader.text == "fine." and reader.headers[b"x-lifeloop-candidate"] == b"b"
    assert parts.recorder.events[0].error == "a failed: reset by peer"
    settled(parts, broken, good)


def test_a_failure_before_the_first_piece_that_passes_is_tried_again():
    model = InLoop("fine", script=[reset()])
    parts = parts_of(model)
    assert asyncio.run(stream(parts)).text == "fine." and model.calls == 2
    assert parts.recorder.events[0].error == ""


def test_when_nobody_begins_the_error_comes_before_anything_is_sent():
    parts = parts_of(InLoop("x", breaks_at=0), InLoop("y", breaks_at=0), retries=0)
    reader = Reader()
    with pytest.raises(RequestError) as caught:
        asyncio.run(stream(parts, reader=reader))
    assert caught.value.status == 503 and reader.status is None
    assert parts.recorder.events[0].error == "a failed: reset by peer; b failed: reset by peer"


def test_a_failure_in_the_middle_is_told_in_the_stream_and_keeps_what_was_sent():
    model = InLoop("one ", "two ", "three", breaks_at=2)
    parts = parts_of(model, InLoop("other"))
    reader = asyncio.run(stream(parts))
    assert (
        reader.text.startswith('one two data: {"error":{"message":"The answer broke off: a failed."') and reader.whole
    )
    (event,) = parts.recorder.events
    assert event.output == "one two " and event.error == "broken off: a failed: reset by peer"
    assert event.tokens_out == 2 and event.tokens_in == 3  # estimated by the length
    settled(parts, model)


def test_a_stream_that_ends_without_its_answer_has_broken_off():
    parts = parts_of(InLoop("one ", ending=False))
    assert '"code":"broken_off"' in asyncio.run(stream(parts)).text
    assert parts.recorder.events[0].error == "broken off: a failed: ended without its answer"


def test_streams_that_break_in_the_middle_open_the_breaker():
    model = InLoop("one ", "two", breaks_at=1)
    parts = parts_of(model, InLoop("fine"), breaker_requests=4)

    async def scene():
        return [(await stream(parts)).text[:4] for _ in range(5)]

    assert asyncio.run(scene()) == ["one "] * 4 + ["fine"]


def test_500_cancelled_streams_leave_no_place_taken_and_no_breaker_open():
    model = InLoop(*(f"{n} " for n in range(1000)), seconds=0.001)
    parts = parts_of(model, InLoop("other"))

    async def one(n):
        await parts.admission.enter()
        try:
            await stream(parts, asked(f"e{n}"), Reader(leaves_after=n % 7 + 1))
        finally:
            parts.admission.leave()

    async def scene():
        await asyncio.gather(*(one(n) for n in range(500)))
        assert len(asyncio.all_tasks()) == 1, "somebody still watches"

    asyncio.run(scene())
    settled(parts, model)
    assert parts.admission.in_flight == 0
    health = parts.continuity.of("id-a", "a")
    assert health.breaker.waits(parts.continuity.now()) == 0.0 and health.breaker.admit(0.0)
    assert len(parts.recorder.events) == 500
    assert {event.error for event in parts.recorder.events} == {"abandoned: the connection ended"}


def test_clients_that_leave_before_the_first_piece_leave_a_probe_free():
    model = InLoop("x", seconds=5.0, script=[reset() for _ in range(4)])
    parts = parts_of(model, retries=0, breaker_requests=4, breaker_seconds=0.01)

    async def scene():
        for _ in range(4):
            with pytest.raises(RequestError):
                await stream(parts)
        await asyncio.sleep(0.02)
        reader = Reader()
        streaming = asyncio.create_task(stream(parts, reader=reader))
        while not model.places:
            await asyncio.sleep(0)
        reader.leave()
        await streaming
        model.seconds = 0.0
        return (await stream(parts)).text

    assert asyncio.run(scene()) == "x."
    settled(parts, model)


def test_what_a_client_had_and_cost_is_not_lost_when_it_leaves():
    class Priced(InLoop):
        def so_far(self, request, output):
            return Answer(output=output, tokens_in=11, tokens_out=len(output.split()), usd=0.5)

    model = Priced(*(f"{n} " for n in range(100)), seconds=0.001)
    parts = parts_of(model)

    async def scene():
        return await stream(parts, asked(api_key="k"), Reader(leaves_after=10))

    reader = asyncio.run(scene())
    (event,) = parts.recorder.events
    assert event.output.startswith(reader.text) and len(event.output) < len(reader.text) + 10
    assert (event.tokens_in, event.usd) == (11, 0.5) and event.tokens_out >= 10
    assert parts.limits.spent == [("k", event.tokens_in + event.tokens_out, 0.5)]
    assert parts.shadows.offered == []


def test_a_client_that_takes_nothing_ends_its_stream():
    model = InLoop(*["x"] * 50)
    parts = parts_of(model)
    asyncio.run(stream(parts, reader=Reader(stalls_after=3)))
    assert parts.recorder.events[0].error == "abandoned: the client took nothing"
    settled(parts, model)


def test_a_gateway_that_stops_cuts_a_stream_and_keeps_its_event():
    model = InLoop("one ", "two", seconds=0.02)
    model.pieces = ("one ", *["x"] * 1000)
    parts = parts_of(model)

    async def scene():
        reader = Reader()
        streaming = asyncio.create_task(stream(parts, reader=reader))
        while not reader.pieces:
            await asyncio.sleep(0.001)
        streaming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await streaming
        return reader

    assert '"code":"stopping"' in asyncio.run(scene()).text
    assert parts.recorder.events[0].error == "abandoned: the gateway stopped"
    settled(parts, model)


def test_a_fault_of_ours_in_the_middle_is_told_in_the_stream():
    def breaks(piece, outcome):
        if piece == "two":
            raise ZeroDivisionError("at /srv/secret")
        return piece.encode()

    model = InLoop("one ", "two", "three")
    parts = parts_of(model)
    text = asyncio.run(stream(parts, framed=breaks)).text
    assert text.startswith('one data: {"error"') and '"code":"internal_error"' in text and "secret" not in text
    assert parts.recorder.events[0].error == "broken off: the gateway failed"
    settled(parts, model)


def test_a_silent_first_candidate_is_overtaken():
    slow, fast = InLoop("slow", seconds=5.0), InLoop("fast")
    parts = parts_of(slow, fast, hedge_seconds=0.03)
    reader = asyncio.run(stream(parts))
    assert reader.text == "fast." and slow.calls == 1
    assert parts.recorder.events[0].error == "hedged: a was silent for 0.03 s" and parts.recorder.events[0].name == "b"
    settled(parts, slow, fast)
    assert parts.continuity.of("id-a", "a").breaker.waits(parts.continuity.now()) == 0.0


def test_a_candidate_that_speaks_in_time_is_never_hedged():
    first, second = InLoop("one", "two", seconds=0.01), InLoop("other")
    parts = parts_of(first, second, hedge_seconds=0.5)
    assert asyncio.run(stream(parts)).text == "onetwo." and second.calls == 0
    assert parts.recorder.events[0].error == ""


def test_hedges_stay_within_the_retry_budget():
    slow, fast = InLoop("slow", seconds=0.03), InLoop("fast")
    parts = parts_of(slow, fast, hedge_seconds=0.01, retry_budget=0.0)

    async def scene():
        return [(await stream(parts)).text for _ in range(5)]

    assert asyncio.run(scene()) == ["fast."] * 3 + ["slow."] * 2


def test_a_client_that_leaves_while_two_are_asked_hangs_up_on_both():
    first, second = InLoop("x", seconds=5.0), InLoop("y", seconds=5.0)
    parts = parts_of(first, second, hedge_seconds=0.01)

    async def scene():
        reader = Reader()
        streaming = asyncio.create_task(stream(parts, reader=reader))
        while not second.places:
            await asyncio.sleep(0.001)
        reader.leave()
        await streaming
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())
    settled(parts, first, second)
    assert parts.recorder.events[0].error == "abandoned: the connection ended"


def test_choices_go_out_as_they_are():
    class PassesOn(InLoop):
        passes_on = True

    parts = parts_of(PassesOn("so ", Choices(raw='[{"index":0}]', text="")))
    reader = asyncio.run(stream(parts, asked(options={"tools": [{}]})))
    assert reader.text == 'so [[{"index":0}]].' and parts.recorder.events[0].output == "so "


def test_a_tool_call_is_recorded_whole():
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}
    more = {"index": 0, "function": {"arguments": "}"}}
    pieces = [Choices(raw=json.dumps([{"index": 0, "delta": {"tool_calls": [part]}}])) for part in (call, more)]
    parts = parts_of(InLoop(*pieces))
    assert asyncio.run(stream(parts)).text.endswith("].")
    (choice,) = json.loads(parts.recorder.events[0].output)
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_a_screen_holds_back_what_may_not_go_out():
    parts = parts_of(InLoop("all ", "is we", "ll and se", "cret too"), filters=Filters("secret"))
    reader = asyncio.run(stream(parts))
    assert reader.text.startswith("all is well a") and "sec" not in reader.text.split("data:")[0]
    assert '"code":"content_filter"' in reader.text
    event = parts.recorder.events[0]
    assert event.error == "broken off: a gave an answer that was withheld: it holds the word"
    assert "secret" not in event.output


def test_a_screen_lets_a_clean_answer_out_whole():
    parts = parts_of(InLoop("all ", "is we", "ll and se", "cure"), filters=Filters("secret"))
    assert asyncio.run(stream(parts)).text == "all is well and secure."
    assert parts.recorder.events[0].output == "all is well and secure"


def test_under_a_screen_choices_wait_for_the_end_and_are_checked():
    bad = InLoop(*(Choices(raw=json.dumps([{"index": 0, "delta": {"content": text}}])) for text in ("a sec", "ret")))
    reader = asyncio.run(stream(parts_of(bad, filters=Filters("secret"))))
    assert '"code":"content_filter"' in reader.text and "delta" not in reader.text
    good = InLoop(Choices(raw="[1]"), Choices(raw="[2]"))
    assert asyncio.run(stream(parts_of(good, filters=Filters("secret")))).text == "[[1]][[2]]."


def test_under_a_screen_what_follows_choices_stays_behind_them():
    model = InLoop("so ", "far ", Choices(raw="[1]"), "and on ", Choices(raw="[2]", text="end"))
    parts = parts_of(model, filters=Filters("secret"))
    reader = asyncio.run(stream(parts))
    assert reader.text == "so far [[1]]and on [[2]]." and len(reader.pieces) > 1
    assert parts.recorder.events[0].output == "so far and on end"


def test_choices_that_were_withheld_are_not_recorded_as_sent():
    bad = InLoop(Choices(raw=json.dumps([{"index": 0, "delta": {"content": "a secret"}}])))
    parts = parts_of(bad, filters=Filters("secret"))
    asyncio.run(stream(parts))
    assert "secret" not in parts.recorder.events[0].output


def test_a_form_is_checked_before_it_goes_out_in_one_piece():
    model = InLoop("bill", "ing")
    parts = parts_of(InLoop("what?"), model, task="classify", labels=("billing",))
    reader = asyncio.run(stream(parts))
    assert reader.pieces == [b"billing."]
    assert parts.recorder.events[0].error.startswith("a broke the task's contract")


def test_an_event_that_cannot_be_recorded_is_told_instead_of_the_end():
    parts = parts_of(InLoop("one", "two"))
    parts.recorder.full = True
    reader = asyncio.run(stream(parts))
    assert reader.text.startswith("onetwodata:") and '"code":"not_recorded"' in reader.text and "." not in reader.pieces
    assert parts.router.live.users == 0


def test_time_until_the_first_piece_is_bounded_in_all_whatever_comes_instead():
    """Keep-alives, and retries: neither gives a candidate more than the release's time."""

    class Fails(InLoop):
        async def stream_in_loop(self, request, seconds):
            self.calls += 1
            if self.calls == 1:
                await asyncio.sleep(0.15)
                raise reset()
            await asyncio.sleep(5.0)
            yield "late"

    for model in (InLoop(*[""] * 1000, seconds=0.02), Fails()):
        parts = parts_of(model, InLoop("fine"), seconds=0.25)
        began = time.monotonic()
        assert asyncio.run(stream(parts)).text == "fine."
        assert 0.2 < time.monotonic() - began < 0.4
        assert parts.recorder.events[0].error.startswith("a timed out")
    assert model.calls == 2


def test_empty_pieces_in_the_middle_end_no_silence():
    parts = parts_of(InLoop("one ", *[""] * 1000, seconds=0.02), seconds=0.25)
    began = time.monotonic()
    assert "broke off: a timed out" in asyncio.run(stream(parts)).text and time.monotonic() - began < 1.0


class Priced(InLoop):
    def so_far(self, request, output):
        return Answer(output=output, tokens_in=11, tokens_out=len(output), usd=0.5)


def test_a_stream_that_is_left_before_its_first_piece_is_charged():
    async def leave(parts):
        reader = Reader()
        streaming = asyncio.create_task(stream(parts, asked(api_key="k"), reader))
        while not parts.router.live.members[0].model.places:
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        reader.leave()
        await streaming
        return parts

    for model, tokens, usd in ((Priced("x", seconds=5.0), 11, 0.5), (InLoop("x", seconds=5.0), 3, 0.0)):
        for form in ({}, {"task": "classify", "labels": ("x",)}):
            parts = asyncio.run(leave(parts_of(model, **form)))
            (event,) = parts.recorder.events
            assert event.error == "abandoned: the connection ended"
            assert (event.tokens_in, event.tokens_out, event.usd) == (tokens, 0, usd)
            assert parts.limits.spent == [("k", tokens, usd)]


def test_who_was_overtaken_is_paid_too():
    parts = parts_of(Priced("slow", seconds=5.0), InLoop("fast"), hedge_seconds=0.03)
    assert asyncio.run(stream(parts)).text == "fast."
    (event,) = parts.recorder.events
    assert (event.tokens_in, event.tokens_out, event.usd) == (5, 1, 0.502)


def test_what_a_screen_holds_back_is_charged_when_the_client_leaves():
    call = {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}}
    for pieces, least in ((["12345"] * 50, 240), ([Choices(raw=json.dumps([call]), text="")] * 50, 50)):
        model = Priced("begin ", *pieces, seconds=0.001)
        parts = parts_of(model, filters=Filters("x" * 10_000))

        async def leave(model=model, parts=parts):
            reader = Reader()
            streaming = asyncio.create_task(stream(parts, asked(), reader))
            while model.given < 50:
                await asyncio.sleep(0.001)
            reader.leave()
            await streaming
            assert reader.pieces == []

        asyncio.run(leave())
        assert parts.recorder.events[0].tokens_out >= least


def test_a_stream_of_tool_calls_that_is_left_is_charged():
    part = {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "0123456789"}}]}}
    parts = parts_of(Priced(*[Choices(raw=json.dumps([part]), text="")] * 50, seconds=0.001))
    asyncio.run(stream(parts, reader=Reader(leaves_after=10)))
    assert parts.recorder.events[0].tokens_out > 100
