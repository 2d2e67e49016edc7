"""Kahneman-Tversky optimisation of a tiny model, from pairs and from answers that were liked or disliked alone."""

import pytest
from tiny_liked import BAD, GOOD, materials, pairs

from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.models.language_files import open_language
from lifeloop.training.language import kto
from lifeloop.training.language.ablation import ordered
from lifeloop.training.language.asked import asked_as
from lifeloop.training.language.parent import language_parent
from lifeloop.training.language.unpaired import balance

SETTINGS = kto.Settings(
    method="full", epochs=6, learning_rate=2e-3, warmup=0.0, watch_items=0, evaluations=2, gguf="f32"
)
ALONE = (*pairs(20, 2, rejected=""), *pairs(20, 3, chosen="", rejected=BAD))


@pytest.mark.slow
def test_answers_liked_or_disliked_alone_order_pairs_of_other_inputs(parent, tmp_path):
    given = materials(parent, SETTINGS, preferences=(*ALONE, *pairs(6)))
    kto.TRAINER.build(given, tmp_path, silent)
    asked = asked_as(language_parent(given), given)
    before, after = (open_language("", place, "test", dtype="float32")[0] for place in (parent, tmp_path))
    assert ordered(before, asked, given.held_out) < 1.0
    assert ordered(after, asked, given.held_out) == 1.0
    assert ordered(after, asked, pairs(12, 1, chosen=BAD, rejected=GOOD)) == 0.0


def test_the_rarer_kind_counts_as_much_as_the_other_in_all():
    assert balance([{"label": True}] * 3 + [{"label": False}]) == (1.0, 3.0)
    assert balance([{"label": True}] + [{"label": False}] * 4) == (4.0, 1.0)
    assert balance([{"label": True}] * 3) == (1.0, 1.0)


def test_a_batch_of_one_has_no_other_answers_to_learn_from(parent):
    with pytest.raises(ModelError, match="two or more"):
        kto.TRAINER.build(materials(parent, kto.Settings(batch=1)), None, silent)
