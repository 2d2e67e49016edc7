"""Rollouts on record: how traffic stands, and that of several who decide at once one is heard."""

import contextlib
import threading
from collections.abc import Iterator

import msgspec
import pytest

from lifeloop.core.events import ABANDONED, BROKEN_OFF, Event, Feedback
from lifeloop.store.ledger import Ledger, open_ledger
from lifeloop.store.rows import ReleaseRow, RolloutRow
from lifeloop.store.standing import standing

FIRST = RolloutRow(1, "new", "old", "canary", "running", 0, 0.01, "{}", "begun", "", 10.0)


def event(id: str, release: str, **changes) -> Event:
    event = Event(id, 20.0, release, "c", "n", "asked", "answered", None, 0.5, 1, 1, 0.25)
    return msgspec.structs.replace(event, **changes)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with contextlib.closing(open_ledger(ledger_url)) as opened:
        yield opened


def release(ledger: Ledger, *names: str) -> None:
    for name in names:
        ledger.add_release(id=name, verdict="v", candidate="c", name=name, at=1.0)


def step(row: RolloutRow, **changes) -> RolloutRow:
    return msgspec.structs.replace(row, **{"sequence": row.sequence + 1} | changes)


def test_before_anything_there_is_nothing(ledger):
    found = ledger.traffic()
    assert (found.production, found.previous, found.rollout, ledger.rollouts()) == (None, None, None, [])


def test_a_rollout_runs_beside_what_is_in_production(ledger):
    release(ledger, "older", "old")
    assert ledger.add_rollout_step(FIRST)
    second = step(FIRST, step=1, share=0.05)
    assert ledger.add_rollout_step(second)
    found = ledger.traffic()
    assert (found.production.id, found.previous.id, found.rollout) == ("old", "older", second)
    assert ledger.rollouts() == [FIRST, second]


def test_promoting_puts_the_release_in_production_in_the_same_transaction(ledger):
    release(ledger, "old")
    ledger.add_rollout_step(FIRST)
    made = ReleaseRow(2, "new", "v", "c", "new", 30.0)
    assert ledger.add_rollout_step(step(FIRST, phase="promoted", share=1.0), made)
    found = ledger.traffic()
    assert (found.production, found.previous.id, found.rollout) == (made, "old", None)


def test_what_is_taken_back_leaves_production_alone(ledger):
    release(ledger, "old")
    ledger.add_rollout_step(FIRST)
    ledger.add_rollout_step(step(FIRST, phase="rolled_back", share=0.0))
    assert (ledger.traffic().rollout, ledger.current_release().id) == (None, "old")


def test_a_rollout_against_what_is_not_in_production_any_more_does_not_run(ledger):
    release(ledger, "old")
    ledger.add_rollout_step(FIRST)
    release(ledger, "other")
    assert ledger.traffic().rollout is None


@pytest.mark.parametrize(
    ("history", "previous"),
    [("a", None), ("ab", "a"), ("abc", "b"), ("abcb", "a"), ("aba", None), ("abab", "a"), ("abcab", "a")],
)
def test_what_was_taken_back_is_not_gone_back_to(ledger, history, previous):
    release(ledger, *history)
    found = ledger.traffic().previous
    assert (found.id if found else None) == previous


def test_a_number_that_is_taken_is_refused_and_nothing_is_written(ledger):
    release(ledger, "old")
    ledger.add_rollout_step(FIRST)
    promoted = step(FIRST, phase="promoted")
    assert not ledger.add_rollout_step(promoted, ReleaseRow(1, "new", "v", "c", "new", 30.0)), "the release's"
    assert not ledger.add_rollout_step(FIRST), "the rollout's"
    assert not ledger.add_rollout_step(step(promoted)), "one that leaves a gap"
    assert (ledger.rollouts(), len(ledger.releases())) == ([FIRST], 1)


def test_of_many_who_decide_at_once_exactly_one_is_heard(ledger_url, ledger):
    release(ledger, "old")
    ledger.add_rollout_step(FIRST)
    others = [open_ledger(ledger_url) for _ in range(6)]
    heard: list[str] = []
    together = threading.Barrier(len(others))

    def decide(name: str, mine: Ledger) -> None:
        together.wait()
        row = step(FIRST, phase="promoted", share=1.0, by=name)
        if mine.add_rollout_step(row, ReleaseRow(2, "new", "v", "c", "new", 30.0)):
            heard.append(name)

    threads = [threading.Thread(target=decide, args=(str(n), other)) for n, other in enumerate(others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for other in others:
        other.close()
    assert [row.by for row in ledger.rollouts()] == ["", *heard]
    assert len(heard) == 1 and [row.id for row in ledger.releases()] == ["old", "new"]


def test_what_both_sides_served_comes_in_the_order_in_which_it_was_asked(ledger):
    sides = ("new", "old")
    ledger.add_served(
        [
            event("before", "old", at=5.0),
            event("e1", "new", error="new failed", user_key="ann", at=22.0),
            event("e2", "old", seconds=2.0),
            event("e3", "other"),
            event("e4", "new", shadow_of="e2"),
            event("e5", "old", at=21.0),
            event("later", "old", at=30.0),
        ],
        [
            Feedback("f1", "e1", 21.0, rating=-1.0),
            Feedback("f2", "e5", 22.0, label="right"),
            Feedback("f3", "e3", 23.0),
        ],
    )
    start = (10.0, 0)
    served = ledger.served_by(sides, after=start, until=25.0, limit=10)
    assert [(row.event, row.release, row.failed, row.seconds, row.user_key) for row in served] == [
        ("e2", "old", False, 2.0, ""),
        ("e5", "old", False, 0.5, ""),
        ("e1", "new", True, 0.5, "ann"),
    ]
    assert ledger.served_by(sides, after=start, until=25.0, limit=1) == served[:1]
    assert ledger.served_by(sides, after=(served[0].at, served[0].sequence), until=25.0, limit=10) == served[1:]
    assert ledger.recorded_until() == 30.5
    judged = ledger.judged_of(sides, since=10.0, after=ledger.feedback_before(10.0), limit=10)
    assert [(row.event, row.release, row.rating, row.label, row.output) for row in judged] == [
        ("e1", "new", -1.0, None, "answered"),
        ("e5", "old", None, "right", "answered"),
    ]
    (shadow,) = ledger.shadows_of("new", after=start, until=25.0, limit=10)
    assert (shadow.shown_seconds, shadow.seconds, shadow.shown_failed) == (2.0, 0.5, False)
    assert ledger.shadows_of("new", after=start, until=15.0, limit=10) == []
    assert ledger.count_served(sides, 10.0, 25.0) == (1, 2)


def test_events_of_one_moment_are_read_once_each(ledger):
    ledger.add_served([event(f"e{n}", "old") for n in range(7)], [])
    place, found = (0.0, 0), []
    while rows := ledger.served_by(("new", "old"), after=place, until=25.0, limit=2):
        found += [row.event for row in rows]
        place = (rows[-1].at, rows[-1].sequence)
    assert found == [f"e{n}" for n in range(7)]


@pytest.mark.parametrize(
    ("error", "failed", "abandoned"),
    [
        ("", False, False),
        ("new timed out", True, False),
        (ABANDONED + "the connection ended", False, True),
        (ABANDONED + "the connection ended; new failed: RuntimeError", True, False),
        (ABANDONED + "the connection ended; hedged: new was silent for 2 s", True, False),
        (BROKEN_OFF + "new timed out", True, False),
    ],
)
def test_who_leaves_hides_no_failure_before(ledger, error, failed, abandoned):
    """An abandoned stream whose candidate had failed was counted as a good answer."""
    ledger.add_served([event("e1", "new", error=error)], [])
    (row,) = ledger.served_by(("new", "old"), after=(0.0, 0), until=25.0, limit=9)
    assert (row.failed, row.abandoned) == (failed, abandoned)


def test_where_nothing_came_since_all_later_feedback_is_found(ledger):
    ledger.add_served([event("e1", "old", at=5.0)], [Feedback("f1", "e1", 6.0)])
    after = ledger.feedback_before(10.0)
    ledger.add_served([event("e2", "old")], [Feedback("f2", "e2", 21.0, rating=1.0)])
    assert len(ledger.judged_of(("new", "old"), since=10.0, after=after, limit=9)) == 1


def test_what_nobody_saw_is_not_among_the_latest_events_nor_counted_as_served(ledger_url, ledger):
    ledger.add_served([event("e1", "old"), event("e2", "new", shadow_of="e1"), event("e3", "old")], [])
    assert [found.id for found in ledger.latest_events(9)] == ["e3", "e1"]
    assert standing(ledger_url).n_events == 2


def test_the_standing_tells_the_last_rollout(ledger_url, ledger):
    assert standing(ledger_url).rollout is None
    release(ledger, "old")
    ledger.add_rollout_step(FIRST)
    found = standing(ledger_url).rollout
    assert (found.release, found.strategy, found.phase, found.share, found.reason) == (
        "new",
        "canary",
        "running",
        0.01,
        "begun",
    )


def test_the_standing_counts_what_the_step_under_way_has_come_to(ledger_url, ledger):
    release(ledger, "old")
    ledger.add_rollout_step(msgspec.structs.replace(FIRST, at=10.0))
    ledger.add_rollout_step(msgspec.structs.replace(FIRST, sequence=2, step=1, share=0.05, at=20.0))
    ledger.add_rollout_step(msgspec.structs.replace(FIRST, sequence=3, step=1, share=0.05, reason="held", at=30.0))
    found = [
        event("e1", "new", at=15.0),
        event("e2", "new", at=25.0),
        event("e3", "new", at=35.0, error="timed out"),
        event("e4", "new", at=36.0, error="abandoned: after 1 s"),
        event("e5", "old", at=37.0),
    ]
    ledger.add_served(found, [])
    rollout = standing(ledger_url).rollout
    assert (rollout.step, rollout.reason, rollout.answers, rollout.failed) == (2, "held", 3, 1)
    ledger.add_rollout_step(msgspec.structs.replace(FIRST, sequence=4, step=1, phase="rolled_back", at=40.0))
    assert standing(ledger_url).rollout.answers == 0
