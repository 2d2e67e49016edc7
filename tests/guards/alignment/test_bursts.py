import random

import numpy as np
from planted_scene import changed, ids, planted

from lifeloop.guards.alignment.bursts import find_bursts
from lifeloop.guards.alignment.table import tabled

MONDAY = 1_788_300_000.0


def bursts(preferences, minutes=10.0):
    """Return the ids in each burst."""
    table = tabled(preferences)
    return [ids(table, burst.places) for burst in find_bursts(table, minutes, np.ones(table.n, dtype=bool))]


def test_a_rater_who_says_in_minutes_what_others_say_in_weeks_has_a_burst():
    preferences, _ = planted(1000, 0.0, 0)
    chance = random.Random(0)
    theirs = {each.id for each in preferences if each.rater == "rater-15"}
    given = [changed(each, at=MONDAY + chance.random() * 600) if each.id in theirs else each for each in preferences]
    assert len(theirs) >= 50
    assert bursts(given) == [theirs]


def test_a_few_raters_together_have_one():
    preferences, bad = planted(1000, 0.05, 0, "burst")
    (found,) = bursts(preferences)
    assert found >= bad and len(found) <= len(bad) + 3


def test_sessions_of_honest_raters_are_none():
    for seed in range(3):
        assert bursts(planted(2000, 0.0, seed)[0]) == []


def test_a_rush_of_everybody_is_none():
    preferences, _ = planted(1000, 0.0, 0)
    chance = random.Random(0)
    given = [
        changed(each, at=MONDAY + chance.random() * 600) if row % 5 == 0 else each
        for row, each in enumerate(preferences)
    ]
    assert bursts(given) == []


def test_times_that_are_dates_and_missing_times_say_nothing():
    preferences, _ = planted(1000, 0.0, 0)
    assert bursts([changed(each, at=each.at // 86_400 * 86_400) for each in preferences]) == []
    assert bursts([changed(each, at=0.0) for each in preferences]) == []
    assert bursts([changed(each, at=MONDAY) if row % 3 == 0 else each for row, each in enumerate(preferences)]) == []


def test_what_a_model_said_at_once_is_none():
    preferences, _ = planted(600, 0.0, 0)
    judge = [changed(each, rater="", origin="ai:judge", at=MONDAY + row) for row, each in enumerate(preferences[:200])]
    assert bursts([*judge, *preferences[200:]]) == []


def test_unsigned_preferences_have_one_where_far_more_come_than_on_any_day():
    preferences, _ = planted(1000, 0.0, 0)
    chance = random.Random(0)
    flood = {each.id for each in preferences[::8]}
    given = [
        changed(each, rater="", at=MONDAY + chance.random() * 600 if each.id in flood else each.at)
        for each in preferences
    ]
    (found,) = bursts(given)
    assert flood <= found and len(found) <= len(flood) + 10
