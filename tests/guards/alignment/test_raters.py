import random

import pytest
from planted_scene import changed, ids, planted, planting, read, turned

from lifeloop.core.preferences_brief import Trust
from lifeloop.guards.alignment.collusion import find_groups
from lifeloop.guards.alignment.flips import find_flips, flip_rate
from lifeloop.guards.alignment.raters import find_unreliable, overlaps


def unreliable(preferences, settings=Trust()):  # noqa: B008
    """Return the names of the raters to set aside."""
    table, _, reading, left = read(preferences)
    return {table.raters[each.rater] for each in find_unreliable(table, reading, left, settings)}


def most_active(preferences):
    names = sorted({each.rater for each in preferences})
    return max(names, key=lambda name: sum(each.rater == name for each in preferences))


@pytest.mark.parametrize("overlaps_share", [0.3, 0.0])
@pytest.mark.parametrize("seed", range(2))
def test_a_rater_who_prefers_at_random_is_found_and_honest_ones_are_not(seed, overlaps_share):
    preferences, _ = planted(1500, 0.0, seed, planting.Variant(overlaps=overlaps_share))
    careless = most_active(preferences)
    chance = random.Random(seed)
    given = [turned(each) if each.rater == careless and chance.random() < 0.5 else each for each in preferences]
    assert unreliable(given) == {careless}
    assert unreliable(preferences) == set()


def test_overlaps_alone_say_who_is_reliable():
    preferences, _ = planted(1500, 0.0, 0, planting.Variant(overlaps=0.6))
    inverter = most_active(preferences)
    given = [turned(each) if each.rater == inverter else each for each in preferences]
    table, _, _, left = read(given)
    known = overlaps(table, left)
    assert known.of_rater[table.raters.index(inverter)] < 0.4
    assert sum(known.of_rater) / len(table.raters) > 0.8


def test_with_fewer_overlaps_than_asked_for_nobody_is_judged():
    preferences, _ = planted(600, 0.0, 0)
    inverter = most_active(preferences)
    given = [turned(each) if each.rater == inverter else each for each in preferences]
    assert unreliable(given) == {inverter}
    assert unreliable(given, Trust(min_overlaps=1000)) == set()


def test_three_raters_who_say_the_same_against_everyone_are_one_group():
    preferences, _ = planted(1000, 0.0, 0)
    names = sorted({each.rater for each in preferences})[:3]
    pairs = [each for each in preferences if each.rater not in names][:40]
    given = preferences + [
        changed(turned(each), id=f"{name}-{each.id}", rater=name) for each in pairs for name in names
    ]
    table, _, reading, left = read(given)

    (group,) = find_groups(table, reading, left)

    assert [table.raters[rater] for rater in group.raters] == names
    found = ids(table, group.places)
    together = {each.id for each in given[1000:]}
    assert len(found & together) >= 0.8 * len(together)
    assert len(found - together) <= 2


def test_honest_raters_of_the_same_pairs_are_no_group():
    for seed in range(2):
        preferences, _ = planted(600, 0.0, seed, planting.Variant(overlaps=0.8, n_raters=12))
        table, _, reading, left = read(preferences)
        assert find_groups(table, reading, left) == []


def test_the_least_credible_orders_are_mistakes_and_never_more_than_asked_for():
    preferences, _ = planted(1000, 0.0, 0)
    table, _, reading, left = read(preferences)
    wrong = {each.id for each in preferences if not planting.follows(each)}
    for most in (0.02, 0.15):
        found = ids(table, find_flips(reading, left, most))
        assert 0 < len(found) <= most * 1000
        assert len(found & wrong) >= 0.95 * len(found)
    assert len(found & wrong) >= 0.5 * len(wrong)  # were more asked for, half of all mistakes and more would be found


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_the_share_of_wrong_orders_is_estimated_with_and_without_overlaps(noise):
    for share in (0.3, 0.0):
        preferences, _ = planted(2000, 0.0, 0, planting.Variant(noise=noise, overlaps=share))
        table, _, reading, left = read(preferences)
        flips = find_flips(reading, left, 0.02)
        rate = flip_rate(table, reading, overlaps(table, left), left, flips)
        gone = ids(table, flips)
        kept = [each for each in preferences if each.id not in gone]
        wrong = sum(not planting.follows(each) for each in kept) / len(kept)
        assert rate == pytest.approx(wrong, abs=0.05)


def test_with_too_few_pairs_nothing_tells_how_many_are_wrong():
    preferences, _ = planted(20, 0.0, 0, planting.Variant(overlaps=0.0))
    table, _, reading, left = read(preferences)
    assert flip_rate(table, reading, overlaps(table, left), left, find_flips(reading, left, 0.1)) is None
