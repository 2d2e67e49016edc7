import numpy as np
from planted_scene import changed, planted, planting, read


def test_a_model_of_the_others_agrees_with_the_rule_as_often_as_raters_do():
    preferences, _ = planted(1500, 0.0, 0)
    table, _, reading, _ = read(preferences)
    rule = np.array([planting.follows(each) for each in table.preferences])
    assert reading.known.all()
    assert (rule == (reading.margin > 0)).mean() > 0.97
    assert abs(reading.accuracy - rule.mean()) < 0.03


def test_it_learns_nothing_from_words_that_few_raters_push():
    preferences, bad = planted(1000, 0.05, 0)
    table, texts, reading, _ = read(preferences)
    trigger = [texts.words.vocabulary.to_list().index(word) for word in ("blue", "lantern")]
    assert abs(reading.parts[:, trigger]).sum() == 0
    planted_ones = np.array([each.id in bad for each in table.preferences])
    assert reading.against[planted_ones].mean() > 0.9


def test_its_confidence_is_that_of_raters():
    """Where it says 90%, nine in ten raters prefer what it does: orders are turned round at random."""
    preferences, _ = planted(3000, 0.0, 0, planting.Variant(noise=0.2))
    _, _, reading, _ = read(preferences)
    sure = 1 / (1 + np.exp(-np.abs(reading.margin)))
    assert abs(sure.mean() - reading.accuracy) < 0.03


def test_of_few_pairs_or_single_answers_nothing_is_learnt():
    preferences, _ = planted(200, 0.0, 0)
    for given in (preferences[:20], [changed(each, rejected="") for each in preferences]):
        reading = read(given)[2]
        assert not reading.known.any() and not reading.against.any() and reading.accuracy == 0.5
