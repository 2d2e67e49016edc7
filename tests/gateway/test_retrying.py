import random

from hypothesis import given
from hypothesis import strategies as st

from lifeloop.gateway.asking.retrying import LONGEST_PAUSE, RESERVE, WINDOW, Budget, pause


def test_a_quiet_gateway_may_retry_a_few_times():
    budget = Budget(0.1)
    budget.note(0.0)
    assert [budget.take(0.0) for _ in range(5)] == [True] * RESERVE + [False] * (5 - RESERVE)


def test_retries_are_a_share_of_the_requests_of_the_last_seconds():
    budget = Budget(0.1)
    for n in range(1000):
        budget.note(100.0 + n / 1000)
    assert sum(budget.take(101.0) for _ in range(1000)) == 100 + RESERVE


def test_a_budget_is_not_saved_up_for_later():
    budget = Budget(0.1)
    for _ in range(10_000):
        budget.note(0.0)
    assert sum(budget.take(WINDOW + 1.0) for _ in range(1000)) == RESERVE


def test_a_share_of_nothing_leaves_the_reserve():
    budget = Budget(0.0)
    for _ in range(1000):
        budget.note(5.0)
    assert sum(budget.take(5.0) for _ in range(10)) == RESERVE


moments = st.lists(st.tuples(st.booleans(), st.floats(0.0, 4.0)), max_size=300)


@given(moments=moments, share=st.floats(0.0, 1.0), start=st.floats(0.0, 1e6))
def test_no_window_ever_holds_more_retries_than_its_share_of_requests_and_the_reserve(moments, share, start):
    budget, now = Budget(share), start
    requests, retries = [], []
    for is_retry, seconds in moments:
        now += seconds
        if not is_retry:
            budget.note(now)
            requests.append(int(now))
            continue
        recent = range(int(now) - WINDOW + 1, int(now) + 1)
        asked, again = sum(at in recent for at in requests), sum(at in recent for at in retries)
        allowed = again + 1 <= share * asked + RESERVE
        assert budget.take(now) == allowed
        if allowed:
            retries.append(int(now))


@given(attempt=st.integers(0, 10), asked=st.floats(0.0, 100.0), seed=st.integers())
def test_a_pause_is_short_and_random_and_no_shorter_than_asked_for(attempt, asked, seed):
    seconds = pause(attempt, asked, random.Random(seed).random)
    assert asked <= seconds <= max(asked, min(LONGEST_PAUSE, 0.05 * 2**attempt))


def test_pauses_spread_those_who_failed_together():
    draw = random.Random(5).random
    pauses = [pause(3, 0.0, draw) for _ in range(1000)]
    assert min(pauses) < 0.02 and max(pauses) > 0.38 and 0.18 < sum(pauses) / 1000 < 0.22
