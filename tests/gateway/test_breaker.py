from hypothesis import given
from hypothesis import strategies as st

from lifeloop.gateway.asking.breaker import LONGEST_OPEN, Breaker


def breaker(share=0.5, requests=4, seconds=5.0):
    return Breaker(share, requests, seconds)


def fail(breaker, now, times=1):
    for _ in range(times):
        breaker.record(breaker.admit(now), False, now)


def test_it_opens_when_the_share_of_the_last_requests_has_failed_and_not_before():
    b = breaker(requests=4)
    for ok in (True, True, False):
        b.record(b.admit(0.0), ok, 0.0)
    assert b.admit(0.0)
    b.record(b.admit(0.0), False, 0.0)  # two of four
    assert not b.admit(0.0) and b.waits(1.0) == 4.0


def test_old_results_are_forgotten():
    b = breaker(requests=4)
    fail(b, 0.0)
    for _ in range(4):
        b.record(b.admit(0.0), True, 0.0)
    fail(b, 0.0)
    assert b.admit(0.0), "one of the last four"


def test_few_requests_never_open_it():
    b = breaker(requests=20)
    fail(b, 0.0, times=19)
    assert b.admit(0.0)


def test_after_the_open_time_one_probe_decides():
    b = breaker()
    fail(b, 0.0, times=4)
    assert not b.admit(4.9)
    probe = b.admit(5.0)
    assert probe and not b.admit(5.0) and not b.admit(60.0)
    b.record(probe, True, 61.0)
    assert b.admit(61.0) and b.admit(61.0)
    fail(b, 61.0, times=3)
    assert b.admit(61.0), "it has closed with an empty record"


def test_each_probe_that_fails_doubles_the_time_up_to_a_minute_and_one_that_succeeds_resets_it():
    b, now, waits = breaker(), 0.0, []
    fail(b, now, times=4)
    for _ in range(6):
        waits.append(b.waits(now))
        now += b.waits(now)
        fail(b, now)
    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    now += 60.0
    b.record(b.admit(now), True, now)
    fail(b, now, times=4)
    assert b.waits(now) == 5.0


def test_a_probe_whose_client_left_gives_its_place_back():
    b = breaker()
    fail(b, 0.0, times=4)
    b.forget(b.admit(5.0), 5.0)
    assert b.admit(5.0)


def test_a_probe_of_which_nothing_is_heard_is_followed_by_another():
    b = breaker()
    fail(b, 0.0, times=4)
    lost = b.admit(5.0)
    probe = b.admit(5.0 + LONGEST_OPEN)
    assert lost and probe
    b.record(lost, True, 66.0)
    assert not b.admit(66.0), "it is too late for the first one"
    b.record(probe, True, 66.0)
    assert b.admit(66.0)


def test_results_of_requests_from_before_it_opened_change_nothing():
    b = breaker()
    late = [b.admit(0.0) for _ in range(8)]
    fail(b, 0.0, times=4)
    for ticket in late[:4]:
        b.record(ticket, True, 1.0)
    assert not b.admit(1.0), "a late answer does not close it"
    probe = b.admit(5.0)
    b.record(late[4], False, 5.0)
    b.forget(late[5], 5.0)
    assert not b.admit(5.0), "a late failure is no probe's"
    b.record(probe, True, 5.0)
    b.record(late[6], False, 5.0)
    assert b.admit(5.0)


def test_a_stream_that_began_closes_it_and_may_still_fail():
    b = breaker()
    fail(b, 0.0, times=4)
    ticket = b.spoke(b.admit(5.0), 5.0)
    for ok in (True, True, False):
        b.record(b.admit(6.0), ok, 6.0)
    b.record(ticket, False, 6.0)
    assert not b.admit(6.0), "its break in the middle was the second failure of four"


steps = st.lists(
    st.tuples(st.sampled_from(["ask", "ok", "fail", "forget"]), st.floats(0, 3), st.integers(0, 10)), max_size=200
)


@given(steps=steps, share=st.floats(0.05, 1.0), requests=st.integers(1, 8))
def test_whatever_happens_only_one_probe_is_under_way_and_no_candidate_is_left_out_for_ever(steps, share, requests):
    b, now, under_way = Breaker(share, requests, 2.0), 0.0, []
    probe, since = 0, 0.0
    for what, seconds, which in steps:
        now += seconds
        if what == "ask":
            was_open = b.until > 0.0
            ticket = b.admit(now)
            if was_open and ticket:
                assert probe not in under_way or now - since >= LONGEST_OPEN, "two probes"
                probe, since = ticket, now
            if ticket:
                under_way.append(ticket)
        elif under_way:
            ticket = under_way.pop(which % len(under_way))
            b.forget(ticket, now) if what == "forget" else b.record(ticket, what == "ok", now)
        assert 0.0 <= b.waits(now) <= LONGEST_OPEN + 1e-9 and b.open_seconds <= LONGEST_OPEN
    for ticket in under_way:
        b.record(ticket, True, now)
    now += LONGEST_OPEN
    ticket = b.admit(now)
    assert ticket, "once nothing is under way and a minute has passed, somebody may ask"
    b.record(ticket, True, now)
    assert b.admit(now)


@given(results=st.lists(st.booleans(), max_size=60), share=st.floats(0.05, 1.0), requests=st.integers(1, 8))
def test_it_opens_exactly_where_a_list_of_the_last_results_says_so(results, share, requests):
    b = Breaker(share, requests, 5.0)
    for place, ok in enumerate(results):
        b.record(b.admit(0.0), ok, 0.0)
        last = results[max(0, place + 1 - requests) : place + 1]
        expected = not ok and len(last) == requests and last.count(False) >= share * requests
        assert bool(b.until) == expected
        if expected:
            return
