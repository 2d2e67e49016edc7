import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.events import Event, Feedback
from lifeloop.stages.observe import ABANDONED, BROKEN_OFF, observe
from lifeloop.store.ledger import FeedbackRow


def event(id, output="yes", error="", seconds=0.1, usd=0.0):
    return Event(
        id=str(id),
        at=0.0,
        release="r",
        candidate="c",
        name="n",
        input="",
        output=output,
        confidence=None,
        seconds=seconds,
        tokens_in=0,
        tokens_out=0,
        usd=usd,
        error=error,
    )


def feedback(about, label=None, rating=None):
    item = Feedback(id=f"f{about.id}", event=about.id, at=0.0, label=label, rating=rating)
    return FeedbackRow(sequence=1, feedback=item, event=about)


def test_nothing_served_is_nothing_observed():
    assert observe([], [], 1.0) is None


def test_errors_fallbacks_and_clients_that_left_are_told_apart():
    events = [
        event(1),
        event(2, error="first timed out: after 1 s"),
        event(3, output="", error="first failed; second failed"),
        event(4, output="ye", error=BROKEN_OFF + "first failed"),
        event(5, output="ye", error=ABANDONED + "the connection ended"),
        event(6, output="", error=ABANDONED + "the connection ended"),
    ]
    summary = observe(events, [], 0.0)
    assert (summary.n_events, summary.n_errors, summary.n_fallbacks) == (6, 2, 1)
    assert summary.shares == {"yes": 1.0}


def test_latency_money_and_shares():
    events = [event(i, output="yes" if i % 4 else "no", seconds=i / 100, usd=0.002) for i in range(1, 101)]
    summary = observe(events, [], usd_per_hour=3.6)
    assert summary.p50_ms == pytest.approx(505.0) and summary.p95_ms == pytest.approx(950.5)
    assert summary.usd_per_1000 == pytest.approx(2.0 + 0.505)  # 0.001 USD a second, 0.505 s on average
    assert summary.shares == {"yes": 0.75, "no": 0.25}
    assert list(summary.shares) == ["yes", "no"]
    assert observe(events, [], 0.0, labels=("no", "maybe")).shares == {"no": 0.25}
    assert observe(events, [], 0.0, labels=()).shares == {}


def test_feedback_agrees_when_its_label_is_the_output():
    events = [event(1), event(2), event(3)]
    rows = [
        feedback(events[0], label="yes"),
        feedback(events[1], label="no"),
        feedback(events[2], rating=1.0),
        feedback(event(9), label="yes"),
    ]
    summary = observe(events, rows, 0.0)
    assert (summary.n_feedback, summary.n_agreeing) == (3, 1)


@given(
    st.lists(
        st.builds(
            event,
            st.integers(),
            output=st.sampled_from(["", "a", "b"]),
            error=st.sampled_from(["", "x failed", BROKEN_OFF, ABANDONED]),
            seconds=st.floats(0, 100),
            usd=st.floats(0, 1),
        ),
        min_size=1,
    )
)
def test_the_numbers_of_a_summary_hold_together(events):
    summary = observe(events, [], 0.1)
    assert summary.n_errors + summary.n_fallbacks <= summary.n_events == len(events)
    assert 0 <= summary.p50_ms <= summary.p95_ms <= 100_000 + 1e-6
    assert summary.usd_per_1000 >= 0
    assert not summary.shares or math.isclose(sum(summary.shares.values()), 1.0)
