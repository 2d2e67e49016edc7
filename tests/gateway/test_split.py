"""Who answers whom: by the ledger, by what is loaded, and by the sender's key."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lifeloop.gateway.production.lives import Live
from lifeloop.gateway.production.split import Split, split_of, wanted_of
from lifeloop.store.rows import ReleaseRow, RolloutRow, Traffic


def live(name):
    return Live(name, 0.0, name, 10.0, ())


def row(name):
    return ReleaseRow(1, name, "v", f"candidate of {name}", name, 0.0)


def rollout(release, control, strategy="canary", share=0.5, settings="{}"):
    return RolloutRow(1, release, control, strategy, "running", 0, share, settings, "", "", 0.0)


def met(split, keys):
    return np.array([split.answering(key, f"event of {key}") is split.challenger for key in keys])


OLD, NEW, OTHER = live("old"), live("new"), live("other")
KEYS = [f"user {number}" for number in range(20_000)]


@given(st.text(min_size=1), st.lists(st.floats(0.0, 1.0), min_size=2))
def test_who_met_the_challenger_once_stays_with_it_while_its_share_grows(key, shares):
    sides = [met(Split(OLD, NEW, None, share), [key])[0] for share in sorted(shares)]
    assert sides == sorted(sides)


@given(st.text(min_size=1), st.text(), st.text(), st.floats(0.0, 1.0))
def test_a_user_meets_the_same_release_at_each_request(key, event, other, share):
    split = Split(OLD, NEW, None, share)
    assert split.answering(key, event) is split.answering(key, other)


@given(st.text(min_size=1), st.text(), st.floats(0.0, 1.0))
def test_where_requests_are_assigned_the_user_plays_no_part(key, event, share):
    split = Split(OLD, NEW, None, share, "request")
    assert split.answering(key, event) is split.answering("", event)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_challenger_gets_its_share(share):
    n = int(met(Split(OLD, NEW, None, share), KEYS).sum())
    assert stats.binomtest(n, len(KEYS), share).pvalue > 1e-4


def test_rollouts_are_assigned_independently():
    one, two = met(Split(OLD, NEW, None, 0.5), KEYS), met(Split(OLD, OTHER, None, 0.5), KEYS)
    table = [[np.sum(one & two), np.sum(one & ~two)], [np.sum(~one & two), np.sum(~one & ~two)]]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_a_shadow_answers_nobody_and_is_offered_its_share():
    split = split_of(Traffic(row("old"), None, rollout("new", "old", "shadow", 0.3)), {"old": OLD, "new": NEW}, Split())
    assert {split.answering(key, key) for key in KEYS[:1000]} == {OLD}
    n = sum(split.shadowing(key) is NEW for key in KEYS)
    assert stats.binomtest(n, len(KEYS), 0.3).pvalue > 1e-4


@pytest.mark.parametrize(
    ("loaded", "control", "expected"),
    [
        ((OLD, NEW), "old", Split(OLD, NEW, None, 0.5)),
        ((OLD,), "old", Split(OLD)),  # the challenger is not loaded: production answers everybody
        ((OLD, NEW), "other", Split(OLD)),  # it is compared with a release that does not serve here yet
        ((NEW,), "old", Split()),  # never the challenger alone
    ],
)
def test_a_challenger_answers_only_beside_its_control(loaded, control, expected):
    traffic = Traffic(row("old"), None, rollout("new", control))
    assert split_of(traffic, {one.id: one for one in loaded}, Split()) == expected


def test_what_is_not_loaded_leaves_the_release_before_in_its_place():
    assert split_of(Traffic(row("new"), row("old"), None), {"old": OLD}, Split(OLD)) == Split(OLD)
    assert split_of(Traffic(row("new"), row("old"), None), {"old": OLD, "new": NEW}, Split(OLD)) == Split(NEW)
    assert split_of(Traffic(None, None, None), {}, Split(OLD)) == Split(OLD)


def test_settings_of_a_newer_version_are_read_as_far_as_they_are_known():
    for settings, assign in [('{"assign": "request", "unheard": 1}', "request"), ("{}", "user"), ("?", "user")]:
        traffic = Traffic(row("old"), None, rollout("new", "old", settings=settings))
        assert split_of(traffic, {"old": OLD, "new": NEW}, Split()).assign == assign


def test_production_is_wanted_first_and_the_release_before_only_where_it_is_kept_warm():
    traffic = Traffic(row("new"), row("old"), rollout("other", "new"))
    assert [one.release for one in wanted_of(traffic, warm=True)] == ["new", "other", "old"]
    assert [one.release for one in wanted_of(traffic, warm=False)] == ["new", "other"]
