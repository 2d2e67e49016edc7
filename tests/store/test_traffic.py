"""Rollouts on record: how traffic stands, and that of several who decide at once one is heard."""

import contextlib
import threading
from collections.abc import Iterator

import msgspec
import pytest

from lifeloop.core.events import ABANDONED, Event, Feedback
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


def test_what_both_sides_served_comes_in_the_order_it_came(ledger):
    sides = ("new", "old")
    ledger.add_served(
        [
            event("before", "old", at=5.0),
            event("e1", "new", error="new failed", user_key="ann"),
            event("e2", "old", error=ABANDONED + "left", seconds=2.0),
            event("e3", "other"),
            event("e4", "new", shadow_of="e2"),
            event("e5", "old"),
        ],
        [
            Feedback("f1", "e1", 21.0, rating=-1.0),
            Feedback("f2", "e5", 22.0, label="right"),
            Feedback("f3", "e3", 23.0),
        ],
    )
    after, feedback = ledger.numbers_before(10.0)
    served = ledger.served_by(sides, since=10.0, after=after, limit=10)
    assert [(row.release, row.failed, row.seconds, row.user_key) for row in served] == [
        ("new", True, 0.5, "ann"),
        ("old", False, 2.0, ""),
        ("old", False, 0.5, ""),
    ]
    assert ledger.served_by(sides, since=10.0, after=after, limit=1) == served[:1]
    assert ledger.served_by(sides, since=10.0, after=served[0].sequence, limit=10) == served[1:]
    judged = ledger.judged_of(sides, since=10.0, after=feedback, limit=10)
    assert [(row.event, row.release, row.rating, row.label, row.output) for row in judged] == [
        ("e1", "new", -1.0, None, "answered"),
        ("e5", "old", None, "right", "answered"),
    ]
    (shadow,) = ledger.shadows_of("new", since=10.0, after=0, limit=10)
    assert (shadow.shown_seconds, shadow.seconds, shadow.shown_failed) == (2.0, 0.5, False)
    assert ledger.count_served(sides, 10.0, 30.0) == (1, 2)


def test_where_nothing_came_since_everything_later_is_found(ledger):
    ledger.add_served([event("e1", "old", at=5.0)], [Feedback("f1", "e1", 6.0)])
    after, feedback = ledger.numbers_before(10.0)
    ledger.add_served([event("e2", "old")], [Feedback("f2", "e2", 21.0, rating=1.0)])
    assert len(ledger.served_by(("new", "old"), since=10.0, after=after, limit=9)) == 1
    assert len(ledger.judged_of(("new", "old"), since=10.0, after=feedback, limit=9)) == 1


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
