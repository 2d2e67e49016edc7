"""The brief's [release.rollout]: what it refuses, and that no cycle rests on it."""

import msgspec
import pytest

from lifeloop.core.assignment import key_of, place, side
from lifeloop.core.brief import parse_brief, what_cycles_rest_on
from lifeloop.core.content import content_id
from lifeloop.core.errors import BriefError
from lifeloop.core.rollout_brief import Rollout

HEAD = """
[project]
name = "news"
task = "classify"
[data]
source = "rows.csv"
[[objectives]]
metric = "accuracy"
target = 0.5
[candidates.majority]
kind = "majority"
"""


def brief(rest: str = ""):
    return parse_brief(HEAD + rest)


def test_without_a_word_a_release_is_direct_and_the_settings_are_there():
    assert (brief().release.strategy, brief().release.rollout) == ("direct", Rollout())


@pytest.mark.parametrize(
    ("rest", "where", "what"),
    [
        ("steps = [0.1, 0.05]", "release.rollout.steps", "do not grow"),
        ("steps = [0.2, 0.5]", "release.rollout.steps", "the first step is 0.2"),
        ("steps = []", "release.rollout.steps", "."),
        ("steps = [0.1, 1.0]", "release.rollout.steps", "."),
        ("min_events = 100\nmost_events = 50", "release.rollout.min_events", "more than most_events"),
        ("as_good = []", "release.rollout.as_good", "no figure"),
        ('watch = ["slow"]', "release.rollout.as_good", "'failures' is not watched"),
        ('watch = ["speed"]', "release.rollout.watch", "."),
        ("confidence = 1.5", "release.rollout.confidence", "."),
        ("margin = 0.1", "release.rollout.margin", "unknown key"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(rest, where, what):
    with pytest.raises(BriefError, match=what) as caught:
        brief(f'[release]\nstrategy = "canary"\n[release.rollout]\n{rest}\n')
    assert where in caught.value.where and caught.value.fix


@pytest.mark.parametrize("line", ['watch = ["slowness"]', 'as_good = ["slowness"]', 'better = "slowness"'])
def test_a_figure_that_there_is_not_is_answered_with_those_there_are(line):
    with pytest.raises(BriefError) as caught:
        brief(f"[release.rollout]\n{line}\n")
    assert caught.value.fix == "write one of: 'failures', 'slow', 'disliked', 'corrected'"
    with pytest.raises(BriefError, match="'user', 'request'"):
        brief('[release.rollout]\nassign = "nobody"\n')


def test_an_a_b_test_may_have_any_share_and_needs_no_steps_below_a_tenth():
    found = brief('[release]\nstrategy = "ab"\n[release.rollout]\nsteps = [0.5]\nab_share = 0.3\n')
    assert found.release.rollout.ab_share == 0.3


def test_no_cycle_rests_on_how_a_release_gets_to_traffic():
    other = brief('[release]\nstrategy = "canary"\n[release.rollout]\nsteps = [0.05]\n[gateway.load]\nqueue = 3\n')
    assert content_id(what_cycles_rest_on(other)) == content_id(what_cycles_rest_on(brief()))
    assert what_cycles_rest_on(brief("[release]\ntimeout_seconds = 3.0\n")) != what_cycles_rest_on(brief())


def test_briefs_of_before_there_were_rollouts_keep_their_ids():
    table = what_cycles_rest_on(brief())
    assert table["release"] == {"strategy": "direct", "fallback": (), "timeout_seconds": 10.0}
    assert "gateway" not in table


# who is assigned


def test_a_key_meets_the_same_side_in_every_process_and_stays_while_the_share_grows():
    assert place("ann", "r" * 64) == pytest.approx(0.5, abs=0.5)
    places = [place(f"user {number}", "some release") for number in range(4000)]
    assert abs(sum(at < 0.1 for at in places) / 4000 - 0.1) < 0.02
    for key in map(str, range(200)):
        sides = [side(key, "some release", share) for share in (0.01, 0.05, 0.1, 0.5, 0.9)]
        assert sides == sorted(sides, reverse=True), "control first, then challenger for good"


def test_each_release_draws_its_users_anew():
    keys = [str(number) for number in range(2000)]
    both = sum(side(key, "one", 0.1) == side(key, "other", 0.1) == "challenger" for key in keys)
    assert both < 60, "a hundredth of them, not a tenth"


def test_users_are_assigned_where_they_are_known_and_requests_else():
    assert key_of("user", "ann", "e1") == "ann"
    assert key_of("user", "", "e1") == key_of("request", "ann", "e1") == "e1"


def test_settings_come_back_from_the_record_as_they_were():
    settings = Rollout(steps=(0.05, 0.2), as_good=("failures",))
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Rollout) == settings
