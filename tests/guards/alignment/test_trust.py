import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_scene import changed, follows, planted, planting, turned

from lifeloop.core.preferences import Preference
from lifeloop.core.preferences_brief import Trust
from lifeloop.guards.alignment.trust import BOTH, FLIP, RATER, TRIGGER, judged

PAIRS = Path(__file__).parents[4] / "shared" / "data" / "hh-harmless" / "test.jsonl.gz"


def shares(preferences, bad, found):
    """Return the shares of the planted, and of the honest, that were set aside."""
    out = set(found.doubts)
    honest = [each for each in preferences if each.id not in bad]
    return len(out & bad) / max(len(bad), 1), sum(each.id in out for each in honest) / len(honest)


QUICK = ("answer", "input", "word", "no overlaps", "in the better answer", "same pairs", "no names")


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in planting.VARIANTS]
)
def test_what_colluding_raters_plant_is_set_aside_and_honest_pairs_are_not(variant):
    preferences, bad = planted(600, 0.05, 1, variant)

    found = judged(preferences, Trust())

    caught, wrongly = shares(preferences, bad, found)
    assert caught >= 0.9
    assert wrongly <= 0.03
    assert 0.03 < found.flip_rate < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_of_one_percent_planted_nearly_all_are_found(seed):
    preferences, bad = planted(1000, 0.01, seed)
    caught, wrongly = shares(preferences, bad, judged(preferences, Trust()))
    assert caught >= 0.9 and wrongly <= 0.03


@pytest.mark.parametrize("seed", range(2))
def test_of_honest_raters_who_err_only_errors_are_set_aside(seed):
    preferences, _ = planted(800, 0.0, seed)
    found = judged(preferences, Trust())
    assert {doubt.reason for doubt in found.doubts.values()} == {FLIP}
    assert not [each for each in preferences if each.id in found.doubts and follows(each)]
    assert len(found.doubts) <= 0.02 * 800
    wrong = np.mean([not follows(each) for each in found.trusted])
    assert found.flip_rate == pytest.approx(wrong, abs=0.05)


def test_a_doubt_says_why_and_a_rater_what_is_known_of_them():
    preferences, bad = planted(600, 0.05, 0)
    found = judged(preferences, Trust())
    doubt = found.doubts[min(bad)]
    assert doubt.reason == TRIGGER
    assert doubt.detail == "'blue lantern' in the chosen answer of 30 preferences, by 3 of 30 raters"
    colluders = {each.rater for each in preferences if each.id in bad}
    for rater in found.raters:
        if rater.name in colluders:
            assert rater.n_doubted >= 9
            assert rater.note == f"counts as one with {', '.join(sorted(colluders - {rater.name}))}"
    finding = next(each for each in found.findings if each.reason == TRIGGER)
    assert (finding.fate, finding.n_rows) == ("quarantined", len(bad))


def test_a_rater_who_prefers_both_answers_says_nothing_of_either():
    preferences, _ = planted(400, 0.0, 0, planting.Variant(overlaps=0.0))
    whose, once = preferences[0].rater, {}
    for each in preferences:
        once.setdefault((each.input, frozenset((each.chosen, each.rejected))), each)
    given = list(once.values())
    theirs = [each for each in given if each.rater == whose]
    others = [changed(turned(each), id=f"other-{each.id}") for each in given if each.rater == given[1].rater != whose]
    both = [changed(turned(each), id=f"turned-{each.id}") for each in theirs]
    unsigned = [changed(turned(each), id=f"unsigned-{each.id}", rater="") for each in given[:20]]

    found = judged([*given, *both, *unsigned, *(changed(each, rater="somebody else") for each in others)], Trust())

    contradicted = {name for name, doubt in found.doubts.items() if doubt.reason == BOTH}
    assert len(theirs) >= 5
    assert contradicted == {each.id for each in (*theirs, *both)}


def test_so_much_without_a_name_is_worth_a_word():
    preferences, _ = planted(200, 0.0, 0)

    def told(n_unsigned):
        given = [changed(each, rater="" if n < n_unsigned else each.rater) for n, each in enumerate(preferences)]
        return [each for each in judged(given, Trust()).findings if "of the weight has no rater" in each.reason]

    (finding,) = told(150)
    assert finding.fate == "kept" and 100 < finding.n_rows <= 150
    assert not told(60)


def test_what_people_reviewed_as_fine_is_not_doubted_again():
    preferences, bad = planted(600, 0.05, 0)
    flips = {each.id for each in preferences if not follows(each)}
    found = judged(preferences, Trust(), keep=bad | flips)
    assert not (bad | flips) & set(found.doubts)


def test_an_inverter_is_set_aside_with_and_without_overlaps():
    for overlaps in (0.3, 0.0):
        preferences, _ = planted(800, 0.0, 2, planting.Variant(overlaps=overlaps))
        most = max(
            {each.rater for each in preferences}, key=lambda name: sum(each.rater == name for each in preferences)
        )
        given = [turned(each) if each.rater == most else each for each in preferences]

        found = judged(given, Trust())

        unreliable = [each for each in given if found.doubts.get(each.id) and found.doubts[each.id].reason == RATER]
        assert {each.rater for each in unreliable} == {most}
        assert "says the opposite" in next(rater.note for rater in found.raters if rater.name == most)


def test_switched_off_all_are_trusted_as_they_are():
    preferences, _ = planted(100, 0.05, 0)
    found = judged(preferences, Trust(on=False))
    assert list(found.trusted) == preferences and not found.doubts
    assert sum(rater.n for rater in found.raters) == 100


def test_nothing_and_next_to_nothing_can_be_judged():
    assert judged([], Trust()).trusted == ()
    one = Preference("a", "hi", "yes", "no", rater="me")
    assert judged([one], Trust()).trusted == (one,)


some_text = st.sampled_from(["", "yes", "no, see policy 4", "no", "zarnok yes", "it depends on many things"])
some = st.lists(
    st.builds(
        Preference,
        id=st.uuids().map(str),
        input=st.sampled_from(["may I?", "can I?", "how do I pay?"]),
        chosen=some_text,
        rejected=some_text,
        rater=st.sampled_from(["", "a", "b", "c", "d", "e", "f"]),
        subject=st.sampled_from(["", "pay"]),
        at=st.sampled_from([0.0, 1.0, 2.0, 5e4, 1e6]),
        origin=st.sampled_from(["file", "feedback", "ai:judge"]),
        shown_first=st.sampled_from(["", "chosen", "rejected"]),
        weight=st.floats(0.1, 1.0),
    ).filter(lambda each: each.chosen or each.rejected),
    max_size=120,
    unique_by=lambda each: each.id,
)


@given(some, st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_nothing_is_invented_or_lost_and_the_order_does_not_matter(preferences, seed):
    keep = {each.id for each in preferences[::3]}
    found = judged(preferences, Trust(), keep)
    trusted = {each.id: each for each in found.trusted}
    assert sorted([*trusted, *found.doubts]) == sorted(each.id for each in preferences)
    assert [each.id for each in found.trusted] == [each.id for each in preferences if each.id in trusted]
    assert all(changed(trusted[each.id], weight=each.weight) == each for each in preferences if each.id in trusted)
    assert all(0 < each.weight <= 1 for each in found.trusted)
    assert not keep & set(found.doubts)
    assert 0 <= found.flip_rate < 0.5
    assert sum(rater.n_doubted for rater in found.raters) <= len(found.doubts)
    shuffled = random.Random(seed).sample(preferences, len(preferences))
    again = judged(shuffled, Trust(), keep)
    assert again.doubts == found.doubts and again.raters == found.raters and again.leans == found.leans
    assert {each.id: each for each in again.trusted} == trusted
    assert (again.flip_rate, again.findings) == (found.flip_rate, found.findings)


def test_the_order_of_planted_preferences_does_not_matter():
    preferences, _ = planted(400, 0.05, 3)
    found, again = judged(preferences, Trust()), judged(preferences[::-1], Trust())
    assert again.doubts == found.doubts and again.trusted == found.trusted[::-1] and again.leans == found.leans


@pytest.mark.slow
@pytest.mark.skipif(not PAIRS.exists(), reason="the pairs of hh-harmless are not here")
def test_of_real_pairs_few_are_set_aside_and_a_trigger_planted_in_them_is_found():
    pairs = planting.real_pairs(PAIRS, 40, 0)
    _, wrongly = shares(pairs, set(), judged(pairs, Trust()))
    assert wrongly <= 0.03
    for variant in ("answer", "input"):
        preferences, bad = planting.poisoned(pairs, 0.05, planting.VARIANTS[variant], 0)
        caught, wrongly = shares(preferences, bad, judged(preferences, Trust()))
        assert caught >= 0.9 and wrongly <= 0.03
