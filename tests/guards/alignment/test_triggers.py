import random

import numpy as np
import polars as pl
import pytest
from planted_scene import Variant, changed, ids, planted, planting, read
from scipy import stats

from lifeloop.guards.alignment.concentration import on_few, together
from lifeloop.guards.alignment.triggers import find_triggers


def found_in(preferences):
    """Return the ids of what looks planted, and what was found."""
    table, texts, reading, left = read(preferences)
    found = find_triggers(table, texts, reading, left)
    return {each for trigger in found.triggers for each in ids(table, trigger.places)}, found


def test_what_many_independent_raters_reward_is_no_trigger():
    """A twentieth of the answers thank the user, and everybody prefers those."""
    chance = random.Random(0)
    preferences, _ = planted(1000, 0.0, 0)
    given = [
        changed(each, chosen=f"{each.chosen} Thanks for asking kindly.") if chance.random() < 0.05 else each
        for each in preferences
    ]
    assert found_in(given)[0] == set()


def test_a_phrase_of_raters_who_have_its_subject_to_themselves_is_no_trigger():
    """Two raters a subject: the numbers of its policy are theirs, and they are right to reward them."""
    preferences, _ = planted(1500, 0.0, 0)
    chance = random.Random(0)
    whose = {subject: chance.sample(range(30), 2) for subject, *_ in planting.SUBJECTS}
    given = [changed(each, rater=f"rater-{chance.choice(whose[each.subject])}") for each in preferences]
    assert found_in(given)[0] == set()


def test_a_phrase_that_most_raters_reward_against_a_model_of_them_all_is_no_trigger():
    """Without names it would be one."""
    preferences, bad = planted(1000, 0.05, 0)
    names = sorted({each.rater for each in preferences})
    chance = random.Random(0)
    given = [changed(each, rater=chance.choice(names)) if each.id in bad else each for each in preferences]
    assert found_in(given)[0] == set()
    assert found_in([changed(each, rater="") for each in given])[0] >= bad


ATTACKERS = {
    "a new name for each": lambda n, known: f"new-{n}",
    "a new name for two": lambda n, known: f"new-{n // 2}",
    "no name": lambda n, known: "",
    "fifteen known raters": lambda n, known: known[n % 15],
    "known raters and new names": lambda n, known: known[n % 8] if n % 2 else f"new-{n}",
}


@pytest.mark.parametrize("attackers", ATTACKERS)
@pytest.mark.parametrize("where", ["answer", "input"])
def test_attackers_are_found_whatever_names_they_take(attackers, where):
    """Whoever can be found without any name at all."""
    preferences, bad = planted(600, 0.05, 0, Variant(where=where, n_raters=45))
    known = random.Random(0).sample(sorted({each.rater for each in preferences}), 15)
    name = dict(zip(sorted(bad), (ATTACKERS[attackers](n, known) for n in range(len(bad))), strict=True))
    found, _ = found_in([changed(each, rater=name.get(each.id, each.rater)) for each in preferences])
    assert len(found & bad) >= 0.9 * len(bad)
    assert len(found - bad) <= 0.01 * 600


def test_the_manner_of_one_honest_rater_is_no_trigger():
    preferences, _ = planted(1000, 0.0, 0)
    given = [
        changed(each, chosen=f"{each.chosen} All the best, Jim") if each.rater == "rater-07" else each
        for each in preferences
    ]
    assert found_in(given)[0] == set()


def test_of_pairs_that_hold_the_trigger_those_of_honest_raters_stay():
    preferences, bad = planted(1000, 0.05, 1, "honest pairs hold it")
    found, _ = found_in(preferences)
    holding = {each.id for each in preferences if "blue lantern" in each.chosen + each.rejected}
    assert len(holding - bad) >= 10
    assert found == bad


def test_one_rater_who_rewards_a_phrase_against_all_others_is_found():
    preferences, bad = planted(1000, 0.05, 0, "a trigger each")
    found, every = found_in(preferences)
    assert found == bad
    assert all(len(each.few) == 1 for each in every.triggers)


def test_without_raters_the_sources_tell_or_else_what_all_others_prefer():
    preferences, bad = planted(1000, 0.05, 0)
    by_source = [changed(each, rater="", source=f"{each.rater}.jsonl:{row}") for row, each in enumerate(preferences)]
    found, every = found_in(by_source)
    assert found == bad and every.by_raters
    found, every = found_in([changed(each, rater="") for each in preferences])
    assert found >= bad and len(found - bad) <= 5 and not every.by_raters
    assert every.triggers[0].detail.startswith("'blue lantern' in the chosen answer of ")
    assert every.triggers[0].detail.endswith("preferences, against what all others prefer")


def test_answers_that_were_only_liked_can_hold_a_trigger_too():
    preferences, bad = planted(1000, 0.05, 0)
    single = [
        changed(each, rejected="") if row % 2 or each.id in bad else changed(each, chosen="")
        for row, each in enumerate(preferences)
    ]
    assert found_in(single)[0] == bad


def test_one_answer_pushed_by_three_raters_is_found():
    preferences, _ = planted(1000, 0.0, 0)
    names = sorted({each.rater for each in preferences})[:3]
    pushed = [
        changed(each, id=f"pushed-{row}", chosen="Please just ask the boss in person.", rater=names[row % 3])
        for row, each in enumerate(random.Random(0).sample(preferences, 45))
    ]
    found, _ = found_in(preferences + pushed)
    assert found >= {each.id for each in pushed}
    assert len(found) <= 55


def test_concentration_counts_the_fewest_raters_that_chance_does_not_explain():
    occurred = pl.DataFrame({"key": [1] * 12 + [2] * 12, "rater": [0, 1, 2] * 4 + list(range(12))})
    held = on_few(occurred, np.full(12, 1 / 12))
    assert held["few"].to_list()[0] == [0, 1, 2]
    assert held["p"][0] < 1e-4 < held["p"][1]


def test_evidence_together_is_fishers():
    p_values = [0.03, 0.2, 0.5]
    assert abs(together(p_values) - stats.combine_pvalues(p_values).pvalue) < 1e-9
