"""Rollouts through a real ledger: events are served and come in, and somebody looks at the figures now and then."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lifeloop.core.assignment import event_of, key_of, side
from lifeloop.core.events import ABANDONED, Event, Feedback
from lifeloop.core.evidence import Release
from lifeloop.core.rollout_brief import Rollout
from lifeloop.lifecycle.rollouts import LOADING_SECONDS, Steward, advance
from lifeloop.store.ledger import Ledger, open_ledger
from lifeloop.store.rows import RolloutRow
from lifeloop.store.vault import Vault

SETTINGS = Rollout(steps=(0.05, 0.1, 0.5), as_good=("failures",), min_events=30)


class Scene:
    """Two releases, the new one on its way, a clock that is moved by hand, and requests by the hundred."""

    def __init__(self, folder: Path, strategy: str = "canary", settings: Rollout = SETTINGS, share: float = 0.05):
        self.ledger: Ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
        self.vault = Vault(str(folder / "vault"), folder / "cache")
        self.settings, self.now, self.n, self.chance = settings, 1000.0, 0, random.Random(1)
        self.old, self.new = (self.vault.put_value(Release(n, "v", name, name)) for n, name in ((1, "old"), (2, "new")))
        self.ledger.add_release(id=self.old, verdict="v", candidate="old", name="old", at=1.0)
        text = msgspec.json.encode(settings).decode()
        self.ledger.add_rollout_step(
            RolloutRow(1, self.new, self.old, strategy, "running", 0, share, text, "begun", "", self.now)
        )
        self.steward = Steward(self.ledger, self.vault, lambda: self.now)
        self.served = [0, 0]

    def serve(self, n: int, rates: tuple[float, float], users: int = 0, rated: float = 0.0, seconds: float = 1.0):
        """Serve n requests in some seconds: new and old fail at those rates, or are disliked where they are rated."""
        rollout = self.ledger.traffic().rollout
        events, feedback = [], []
        for _ in range(n):
            self.n += 1
            self.now += seconds / n
            user = f"u{self.chance.randrange(users)}" if users else ""
            challenger = False
            if rollout is not None:
                key = key_of(self.settings.assign, user, f"e{self.n}")
                challenger = side(key, rollout.release, rollout.share) == "challenger"
            bad = self.chance.random() < rates[0 if challenger else 1]
            failed = bad and not rated
            self.served[0 if challenger else 1] += 1
            name = self.new if challenger else self.old
            error = "timed out" if failed else ""
            event = Event(f"e{self.n}", self.now, name, "c", "n", "in", "out", None, 0.1, 1, 1, 0.0, error, "", user)
            events.append(event)
            if rated and self.chance.random() < rated:
                feedback.append(Feedback(f"f{self.n}", event.id, self.now, rating=-1.0 if bad else 1.0))
        self.ledger.add_served(events, feedback)

    def wait(self, seconds: float = 60.0) -> None:
        """Let time go by until all answers are over; one to a user whom no rollout meets tells that the log is here."""
        self.n, self.now = self.n + 1, self.now + seconds
        last = Event(f"last{self.n}", self.now, "other", "c", "n", "in", "out", None, 0.0, 1, 1, 0.0)
        self.ledger.add_served([last], [])

    def go_on(self, n: int, rates: tuple[float, float], at_once: int = 500, **rest) -> RolloutRow:
        """Serve and look until the rollout ends or n requests are through; return the last row."""
        for _ in range(n // at_once):
            self.serve(at_once, rates, seconds=10.0, **rest)
            row = self.steward.look()
            if row is not None and row.phase != "running":
                break
        return self.ledger.rollouts()[-1]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    with contextlib.closing(made.ledger):
        yield made


@contextlib.contextmanager
def scene_of(folder: Path, *arguments, **options) -> Iterator[Scene]:
    made = Scene(folder, *arguments, **options)
    with contextlib.closing(made.ledger):
        yield made


def test_one_that_fails_more_often_is_taken_back_early(scene):
    row = scene.go_on(30_000, (0.3, 0.01))
    assert row.phase == "rolled_back" and row.by == ""
    assert row.reason.startswith("shown to be worse: failures ")
    assert scene.served[0] / sum(scene.served) < 0.2
    assert scene.ledger.current_release().id == scene.old
    assert scene.ledger.traffic().rollout is None
    assert scene.steward.look() is None, "and that is that"


def test_one_that_is_as_good_goes_up_in_steps_and_in(scene):
    row = scene.go_on(60_000, (0.01, 0.01))
    assert row.phase == "promoted"
    assert [(r.step, r.share) for r in scene.ledger.rollouts()] == [(0, 0.05), (1, 0.1), (2, 0.5), (2, 1.0)]
    current = scene.ledger.current_release()
    assert (current.id, current.sequence, current.at) == (scene.new, 2, row.at)
    assert scene.ledger.traffic().previous.id == scene.old
    assert "shown to be as good: failures" in row.reason


def test_users_stay_on_their_side_while_the_share_grows(scene):
    sides = {user: [side(user, scene.new, share) for share in (0.05, 0.1, 0.5)] for user in map(str, range(500))}
    assert all("control" not in found[found.index("challenger") :] for found in sides.values() if "challenger" in found)


def test_of_a_user_one_answer_counts(scene):
    """One user of the challenger fails a thousand times: that is one failure, not the end of the rollout."""
    bad = next(user for user in map(str, range(1000)) if side(user, scene.new, 0.05) == "challenger")
    scene.now += 10.0
    events = [
        Event(f"b{n}", scene.now, scene.new, "c", "n", "in", "", None, 0.1, 1, 1, 0.0, "failed", "", bad)
        for n in range(1000)
    ]
    scene.ledger.add_served(events, [])
    scene.serve(2000, (0.01, 0.01))
    scene.wait()
    row = scene.steward.look()
    assert row is not None and row.step == 1, "it goes on"


def test_assigned_by_request_each_answer_counts(tmp_path):
    settings = msgspec.structs.replace(SETTINGS, assign="request")
    with scene_of(tmp_path, settings=settings) as scene:
        assert scene.go_on(30_000, (0.3, 0.01), users=5).phase == "rolled_back"


def test_dislike_alone_takes_it_back(scene):
    row = scene.go_on(30_000, (0.8, 0.2), rated=0.3)
    assert row.phase == "rolled_back" and "dislike" in row.reason


def test_traffic_that_is_not_split_as_meant_holds_it_and_says_so_once(scene):
    scene.now += LOADING_SECONDS
    scene.served = [0, 0]
    for _ in range(40):  # the challenger is loaded nowhere, long after it should have been
        rows = [
            Event(f"x{scene.n + k}", scene.now, scene.old, "c", "n", "in", "out", None, 0.1, 1, 1, 0.0)
            for k in range(50)
        ]
        scene.n += 50
        scene.now += 10.0
        scene.ledger.add_served(rows, [])
        scene.steward.look()
    rows = scene.ledger.rollouts()
    assert len(rows) == 2 and rows[-1].phase == "running"
    assert rows[-1].reason.startswith("held: it got 0 of ")


def test_an_open_question_ends_with_the_time(tmp_path):
    settings = msgspec.structs.replace(SETTINGS, hours=1.0)
    with scene_of(tmp_path, settings=settings) as scene:
        scene.serve(40, (0.0, 0.0))
        assert scene.steward.look() is None
        scene.now += 3700.0
        row = scene.steward.look()
        assert row.phase == "rolled_back" and "within 1 hours" in row.reason


def test_several_who_look_decide_once(scene):
    others = [Steward(scene.ledger, scene.vault, lambda: scene.now) for _ in range(3)]
    for _ in range(60):
        scene.serve(500, (0.01, 0.01), seconds=10.0)
        for other in others:
            other.look()
    rows = scene.ledger.rollouts()
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    assert [row.share for row in rows] == [0.05, 0.1, 0.5, 1.0][: len(rows)]


def test_who_has_just_come_decides_as_who_looked_all_the_time(scene):
    for _ in range(8):
        scene.serve(500, (0.01, 0.01), seconds=10.0)
    scene.wait()
    assert advance(scene.ledger, scene.vault, lambda: scene.now).share == 0.1


def test_a_rollout_whose_control_left_production_ends(scene):
    scene.ledger.add_release(id="other", verdict="v", candidate="c", name="other", at=scene.now)
    row = scene.steward.look()
    assert (row.phase, row.reason) == ("rolled_back", "another release went to production meanwhile")


def test_a_b_ends_when_one_is_shown_to_be_liked_better(tmp_path):
    with scene_of(tmp_path, "ab", share=0.5) as scene:
        row = scene.go_on(20_000, (0.1, 0.4), rated=0.5)
        assert row.phase == "promoted" and "better in dislike" in row.reason


# what is on record late, or of another kind


def requests_of(scene: Scene, n: int, answer, seconds: float = 1.0, user: str = "", part: str = "") -> list[Event]:
    """Return n requests of some seconds; `answer` gives (seconds, error, output) for whether the challenger is met."""
    rollout, events = scene.ledger.traffic().rollout, []
    for k in range(n):
        scene.n += 1
        identifier = f"{scene.n:028x}0000"
        key = key_of(scene.settings.assign, user, identifier)
        met = rollout is not None and side(key, rollout.release, rollout.share) == "challenger"
        took, error, output = answer(met)
        at, release = scene.now + k * seconds / n, scene.new if met else scene.old
        event = Event(identifier, at, release, "c", "n", "in", output, None, took, 1, 1, 0.0, error, "", user)
        events.append(event)
    scene.now += seconds
    return events


def test_a_challenger_that_hangs_is_not_promoted_on_its_fast_answers(tmp_path):
    """Events come when answers are over: what hung was not on record when the rest had gone through all steps."""
    with scene_of(tmp_path, settings=Rollout(), share=0.01) as scene:
        under_way: list[Event] = []

        def hangs(met: bool):
            hung = met and scene.chance.random() < 0.3
            return (10.0, "new timed out", "") if hung else (0.2, "", "out")

        for _ in range(120):
            under_way += requests_of(scene, 1000, hangs)
            over = sorted((e for e in under_way if e.at + e.seconds <= scene.now), key=lambda e: e.at + e.seconds)
            under_way = [e for e in under_way if e.at + e.seconds > scene.now]
            scene.ledger.add_served(over, [])
            row = scene.steward.look()
            if row is not None and row.phase != "running":
                break
        assert row.phase == "rolled_back" and "failures" in row.reason
        assert scene.ledger.current_release().id == scene.old


def test_a_log_that_comes_late_is_waited_for(tmp_path):
    """The ledger was away; of its log only the beginning is here, where the answers that were over first stand."""
    with scene_of(tmp_path, settings=Rollout(), share=0.05) as scene:
        scene.now += 10.0
        events = requests_of(scene, 8000, lambda met: (9.0 if met else 0.1, "", "out"), seconds=60.0)
        scene.now += 600.0
        events.sort(key=lambda event: event.at + event.seconds)
        here = [event for event in events if event.at + event.seconds < events[0].at + 25.0]
        scene.ledger.add_served(here, [])
        scene.steward.look()
        assert scene.steward._watch.observed(0.0).answers == (0, 0)


def test_a_good_one_is_promoted_within_minutes(scene):
    began = scene.now
    assert scene.go_on(60_000, (0.01, 0.01), at_once=1000).phase == "promoted"
    assert scene.now - began < 600.0


def ends_as(scene: Scene, answer, n: int = 300) -> RolloutRow:
    for _ in range(n):
        scene.ledger.add_served(requests_of(scene, 500, answer, seconds=10.0), [])
        row = scene.steward.look()
        if row is not None and row.phase != "running":
            break
    return scene.ledger.rollouts()[-1]


def test_a_challenger_that_says_nothing_until_its_clients_leave_is_taken_back(scene):
    """Abandoned streams counted as good answers, so one that never spoke was promoted."""
    row = ends_as(scene, lambda met: (4.0, ABANDONED + "the connection ended", "") if met else (0.1, "", "out"))
    assert row.phase == "rolled_back" and "failures 100.00%" in row.reason


def test_clients_that_leave_in_the_middle_of_an_answer_say_nothing_of_either_side(scene):
    def left_by_half(met: bool):
        left = scene.chance.random() < 0.5
        return (3.0, ABANDONED + "the connection ended", "some of it") if left else (0.1, "", "out")

    row = ends_as(scene, left_by_half)
    assert row.phase == "promoted" and "failures 0.00%" in row.reason


@pytest.mark.parametrize(("strategy", "share", "seconds"), [("canary", 0.01, 60.0), ("ab", 0.5, 8.0)])
def test_while_the_challenger_is_loaded_production_may_answer_for_it(tmp_path, strategy, share, seconds):
    """The time that loading took was held against the split, and the rollout was held."""
    with scene_of(tmp_path, strategy, msgspec.structs.replace(SETTINGS, steps=(0.01, 0.1, 0.5)), share) as scene:
        scene.now += 3.0
        rollout = scene.ledger.traffic().rollout
        loading = requests_of(scene, int(100 * seconds), lambda met: (0.1, "", "out"), seconds)
        assert any(event.release == scene.new for event in loading) and rollout is not None
        scene.ledger.add_served([msgspec.structs.replace(event, release=scene.old) for event in loading], [])
        for _ in range(60):
            scene.serve(1000, (0.01, 0.01), seconds=10.0)
            scene.steward.look()
        rows = scene.ledger.rollouts()
        assert not any(row.reason.startswith("held") for row in rows)
        assert strategy == "ab" or rows[-1].phase == "promoted"


def test_users_met_while_it_was_loaded_count_once_it_is(tmp_path):
    with scene_of(tmp_path) as scene:
        users = [f"user {n}" for n in range(3000)]
        scene.now += 3.0
        for loaded in (False, True):  # at first production answers them all
            met = [requests_of(scene, 1, lambda met: (0.1, "", "out"), 0.01, user)[0] for user in users]
            scene.ledger.add_served(met if loaded else [msgspec.structs.replace(e, release=scene.old) for e in met], [])
        scene.wait()
        row = scene.steward.look()
        assert row is not None and row.step == 1 and "of 1" in row.reason


@pytest.mark.parametrize("assign", ["user", "request"])
def test_of_a_call_of_many_texts_one_counts(tmp_path, assign):
    """A call is assigned as a whole, and each of its hundred texts counted: equals were held for a wrong split."""
    settings = msgspec.structs.replace(SETTINGS, assign=assign, min_events=500)
    with scene_of(tmp_path, settings=settings, share=0.1) as scene:
        for _ in range(60):
            calls = requests_of(scene, 10, lambda met: (0.1, "", "out"), 10.0)
            events = [msgspec.structs.replace(call, id=event_of(call.id, n)) for call in calls for n in range(30)]
            scene.ledger.add_served(events, [Feedback(e.id, e.id, e.at, rating=-1.0) for e in events])
            assert scene.steward.look() is None, "held, say"
        scene.wait()
        scene.steward.look()
        seen = scene.steward._watch.observed(1.0)
        n_calls = sum(seen.units)
        assert 590 <= n_calls <= 600 and sum(seen.answers) == 30 * n_calls
        assert [sum(figure.counts) for figure in seen.figures] == [n_calls, n_calls, n_calls, 0]


# shadows


def shadow(scene: Scene, n: int, *, fails: float = 0.0, says: str = "out") -> None:
    """Serve n requests that the old release answers, each answered unseen by the new one."""
    events = []
    for _ in range(n):
        scene.n += 1
        scene.now += 0.1
        failed = scene.chance.random() < fails
        by = ("c", "n", "in")
        events.append(Event(f"e{scene.n}", scene.now, scene.old, *by, "out", None, 0.1, 1, 1, 0.001))
        error = "failed" if failed else ""
        events.append(
            Event(f"s{scene.n}", scene.now, scene.new, *by, says, None, 0.3, 1, 1, 0.002, error, f"e{scene.n}")
        )
    scene.ledger.add_served(events, [])


def test_a_shadow_reports_and_goes_on_to_a_canary(tmp_path):
    settings = msgspec.structs.replace(SETTINGS, shadows=100)
    with scene_of(tmp_path, "shadow", settings, 0.1) as scene:
        shadow(scene, 99)
        scene.wait()
        assert scene.steward.look() is None
        shadow(scene, 1)
        scene.wait()
        row = scene.steward.look()
        assert (row.strategy, row.phase, row.step, row.share) == ("canary", "running", 0, 0.05)
        assert "100 answers compared: 100.0% the same" in row.reason
        assert "median 300 ms against 100 ms, 2 USD a thousand against 1" in row.reason
        assert scene.go_on(60_000, (0.01, 0.01)).phase == "promoted"


def test_a_shadow_that_fails_is_taken_back_unseen(tmp_path):
    with scene_of(tmp_path, "shadow", SETTINGS, 0.1) as scene:
        shadow(scene, 60, fails=0.9)
        scene.wait()
        row = scene.steward.look()
        assert row.phase == "rolled_back" and "shown to be worse: failures" in row.reason


def test_a_shadow_waits_for_a_person_where_the_brief_says_so(tmp_path):
    settings = msgspec.structs.replace(SETTINGS, shadows=50, after_shadow="wait")
    with scene_of(tmp_path, "shadow", settings, 0.1) as scene:
        shadow(scene, 60, says="something else")
        scene.wait()
        row = scene.steward.look()
        assert (row.strategy, row.phase) == ("shadow", "running")
        assert row.reason.startswith("waits for a person") and ": 60 answers compared: 0.0% the same" in row.reason
        assert scene.steward.look() is None, "said once"
