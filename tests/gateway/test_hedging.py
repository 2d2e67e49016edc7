import asyncio
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.gateway.asking.hedging import first_to_speak
from lifeloop.models.model import Unanswered


class Field:
    """Speakers of which each speaks, or fails, after a while; notes who was started, failed and hung up on."""

    def __init__(self, *speakers):
        self.speakers = speakers
        self.started, self.failures, self.hung_up, self.discarded, self.n_at_once, self.most = [], [], [], [], 0, 0
        self.hedges = 0

    async def speak(self, number):
        seconds, works = self.speakers[number]
        self.started.append(number)
        self.n_at_once += 1
        self.most = max(self.most, self.n_at_once)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.hung_up.append(number)
            raise
        finally:
            self.n_at_once -= 1
        if not works:
            raise Unanswered("failed")
        return number

    async def discard(self, number):
        self.discarded.append(number)

    def may_hedge(self):
        self.hedges += 1
        return True

    async def run(self, silence=0.02, may_hedge=None):
        return await first_to_speak(
            [partial(self.speak, number) for number in range(len(self.speakers))],
            silence,
            may_hedge or self.may_hedge,
            lambda number, failure: self.failures.append(number),
            self.discard,
        )


def test_who_speaks_at_once_is_alone():
    field = Field((0.0, True), (0.0, True))
    assert asyncio.run(field.run()) == (0, 0, ())
    assert field.started == [0] and field.hedges == 0


def test_a_silent_one_is_overtaken_and_hung_up_on():
    field = Field((5.0, True), (0.0, True))
    assert asyncio.run(field.run()) == (1, 1, (0,))
    assert field.hung_up == [0] and field.n_at_once == 0


def test_the_first_may_still_win_after_the_second_was_asked():
    field = Field((0.06, True), (5.0, True))
    assert asyncio.run(field.run()) == (0, 0, (1,))
    assert field.hung_up == [1]


def test_without_budget_nobody_else_is_asked():
    field = Field((0.1, True), (0.0, True))
    assert asyncio.run(field.run(may_hedge=lambda: False)) == (0, 0, ())
    assert field.started == [0]


def test_one_that_fails_is_followed_at_once_and_silence_starts_anew():
    field = Field((0.0, False), (5.0, True), (0.0, True))
    assert asyncio.run(field.run()) == (2, 2, (1,))
    assert field.failures == [0] and field.hung_up == [1]


def test_never_more_than_two_at_once():
    field = Field(*[(0.2, True)] * 6)
    assert asyncio.run(field.run())[0] == 0
    assert field.most == 2


def test_a_cancelled_asker_hangs_up_on_both():
    field = Field((5.0, True), (5.0, True))

    async def leave():
        asking = asyncio.create_task(field.run(silence=0.01))
        while len(field.started) < 2:
            await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(leave())
    assert sorted(field.hung_up) == [0, 1] and field.n_at_once == 0


def test_a_fault_of_ours_is_not_taken_for_a_silent_model():
    async def broken():
        raise KeyError("x")

    async def discard(said):
        pass

    with pytest.raises(KeyError):
        asyncio.run(first_to_speak([broken, broken], 1.0, lambda: True, lambda *_: None, discard))


@settings(max_examples=40, deadline=None)
@given(speakers=st.lists(st.tuples(st.sampled_from([0.0, 0.002, 0.004, 0.01]), st.booleans()), min_size=1, max_size=5))
def test_whoever_speaks_everybody_else_has_failed_or_was_hung_up_on(speakers):
    field = Field(*speakers)
    found = asyncio.run(field.run(silence=0.003))
    accounted = sorted([*field.failures, *field.hung_up, *field.discarded, *([found[0]] if found else [])])
    assert accounted == sorted(field.started)
    assert field.n_at_once == 0 and field.most <= 2
    assert (found is None) == (
        field.failures == list(range(len(speakers))) or sorted(field.failures) == list(range(len(speakers)))
    )
