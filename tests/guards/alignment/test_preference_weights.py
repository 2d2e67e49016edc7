import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_scene import changed, planted, read

from lifeloop.core.preferences_brief import Trust
from lifeloop.guards.alignment.influence import LEAST_WEIGHT, capped, share_of_one
from lifeloop.guards.alignment.leans import find_leans
from lifeloop.guards.alignment.trust import judged


@given(st.lists(st.tuples(st.integers(-1, 14), st.floats(0.2, 1.0)), min_size=1, max_size=300), st.floats(0.05, 0.5))
@settings(max_examples=60, deadline=None)
def test_nobody_has_more_than_their_share_and_no_weight_rises(said, most):
    owner, weights = np.array([who for who, _ in said]), np.array([weight for _, weight in said])
    made = capped(weights, owner, most)
    assert ((made > 0) & (made <= weights + 1e-12)).all()
    share = share_of_one(len(np.unique(owner[owner >= 0])), most)
    for one in np.unique(owner[owner >= 0]):
        mine = made[owner == one]
        assert mine.sum() <= share * made.sum() * (1 + 1e-6) or (mine <= LEAST_WEIGHT).any()
    assert (made[owner < 0] == weights[owner < 0]).all()


def test_a_rater_of_half_of_all_weighs_less_and_the_report_says_so():
    preferences, _ = planted(600, 0.0, 0)
    given_ = [changed(each, rater="rater-01") if row % 2 else each for row, each in enumerate(preferences)]
    found = judged(given_, Trust())
    whole = sum(each.weight for each in found.trusted)
    assert sum(each.weight for each in found.trusted if each.rater == "rater-01") == pytest.approx(0.2 * whole)
    assert next(rater for rater in found.raters if rater.name == "rater-01").weight < 0.3
    assert any(each.reason.startswith("rater-01 said more than 20% of all") for each in found.findings)


def test_one_rater_alone_and_two_are_not_capped():
    preferences, _ = planted(200, 0.0, 0)
    for names in (["me"], ["me", "you"]):
        given_ = [changed(each, rater=names[min(row % 10, len(names) - 1)]) for row, each in enumerate(preferences)]
        assert {each.weight for each in judged(given_, Trust(length=False)).trusted} == {1.0}


def padded(preferences, rewarded, seed=0):
    """Return preferences with words that mean nothing behind each answer; with `rewarded`, longer ones often win."""
    chance = random.Random(seed)
    words = [
        "please",
        "note",
        "that",
        "this",
        "is",
        "all",
        "we",
        "know",
        "about",
        "it",
        "for",
        "now",
        "and",
        "so",
        "on",
    ]
    made = []
    for each in preferences:
        chosen, rejected = (
            f"{text} {' '.join(chance.choices(words, k=chance.choice([0, 0, 3, 6, 10])))}".strip()
            for text in (each.chosen, each.rejected)
        )
        if rewarded and len(chosen.split()) < len(rejected.split()) and chance.random() < 0.5:
            chosen, rejected = rejected, chosen
        made.append(changed(each, chosen=chosen, rejected=rejected))
    return made


def leaning(preferences):
    table, texts, reading, left = read(preferences)
    found = find_leans(table, texts, reading, left, correct_length=True)
    return {lean.name: lean for lean in found.leans}, found.weights


def test_length_that_is_rewarded_alone_is_measured_and_weighed_down():
    preferences = padded(planted(2000, 0.0, 0)[0], rewarded=True)
    leans, weights = leaning(preferences)
    assert leans["length"].low > 0.7
    assert "longer answers that were chosen weigh" in leans["length"].note
    by_id = sorted(preferences, key=lambda each: each.id)
    longer = np.array([len(each.chosen.split()) - len(each.rejected.split()) for each in by_id])
    assert weights[longer > 5].mean() < 0.95
    assert weights[longer < -5].mean() == 1.0


def test_length_that_goes_with_what_answers_say_is_measured_and_left():
    for seed in range(2):
        leans, weights = leaning(padded(planted(2000, 0.0, seed)[0], rewarded=False))
        assert leans["length"].value > 0.5  # an answer that cites has words more
        assert (weights == 1.0).all()


def test_position_is_measured_and_weighed_until_it_means_nothing():
    preferences, _ = planted(1000, 0.0, 0)
    chance = random.Random(0)
    given_ = [changed(each, shown_first="chosen" if chance.random() < 0.7 else "rejected") for each in preferences]
    leans, weights = leaning(given_)
    assert leans["position"].low < 0.7 < leans["position"].high
    first = np.array([each.shown_first == "chosen" for each in sorted(given_, key=lambda each: each.id)])
    assert weights[first].sum() == pytest.approx(weights[~first].sum(), rel=1e-6)
    leans, weights = leaning(preferences)
    assert leans["position"].note == "no bias is shown" and (weights == 1.0).all()


def test_a_rater_who_prefers_the_longer_answer_stands_out_from_the_rest():
    preferences, _ = planted(1500, 0.0, 0)
    given_ = []
    for each in preferences:
        longer, shorter = sorted((each.chosen, each.rejected), key=lambda text: -len(text.split()))
        given_.append(changed(each, chosen=shorter, rejected=longer) if each.rater == "rater-15" else each)
    leans, _ = leaning(given_)
    assert leans["slice:rater rater-15 length"].value < 0.2
    assert not [name for name in leaning(preferences)[0] if name.startswith("slice:")]


def test_unknown_positions_and_single_answers_have_no_lean():
    preferences, _ = planted(100, 0.0, 0)
    leans, _ = leaning([changed(each, shown_first="") for each in preferences])
    assert "position" not in leans
    leans, weights = leaning([changed(each, rejected="") for each in preferences])
    assert not leans and (weights == 1.0).all()
