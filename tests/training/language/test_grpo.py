"""Group relative policy optimisation of a tiny model, by the brief's metric and by a reward model."""

import msgspec
import numpy as np
import pytest
from tiny_liked import materials

from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.models.language_files import open_language
from lifeloop.tasks.task import Metric
from lifeloop.training.language import grpo
from lifeloop.training.language.asked import asked_as
from lifeloop.training.language.goal import goal
from lifeloop.training.language.parent import language_parent
from lifeloop.training.record import load_record

SETTINGS = grpo.Settings(
    method="full",
    epochs=3,
    batch=24,
    generations=8,
    learning_rate=3e-3,
    warmup=0.0,
    max_answer=4,
    watch_items=8,
    evaluations=3,
    gguf="f32",
    beta=0.0,
)


VOWELS = Metric(
    name="vowels",
    direction="max",
    columns=lambda scored, _: np.array([[_vowels(each.answer.output)] for each in scored]),
    combine=lambda means: means[..., 0],
    about="Share of an answer's letters that are vowels: even random answers differ in it.",
)


def _vowels(text):
    return sum(letter in "aeiou" for letter in text) / max(1, len(text))


@pytest.mark.slow
def test_answers_that_the_metric_likes_become_likelier(parent, tmp_path):
    given = materials(parent, SETTINGS, scoring=VOWELS)
    decided = grpo.TRAINER.build(given, tmp_path, silent)
    asked = asked_as(language_parent(given), given)
    before, after = (open_language("", place, "test", dtype="float32")[0] for place in (parent, tmp_path))
    worth = [goal(given, given.train, asked.answers(model, given.train)) for model in (before, after)]
    assert worth[1] > worth[0] + 0.1
    record = load_record(tmp_path)
    assert record.method.startswith("grpo") and record.n_examples == len(given.train)
    assert decided.score == max(point.score for point in record.curve if point.score is not None)


@pytest.mark.slow
def test_a_reward_model_is_trained_on_the_preferences_and_kept(parent, tmp_path):
    settings = msgspec.structs.replace(SETTINGS, reward="preferences", epochs=0.4, evaluations=1, reward_epochs=6)
    given = materials(parent, settings)
    grpo.TRAINER.build(given, tmp_path, silent)
    assert (tmp_path / "reward" / "model.safetensors").exists()
    assert (tmp_path / "language" / "model.safetensors").exists()


def test_all_weights_leave_no_parent_to_be_held_to(parent):
    with pytest.raises(ModelError, match="nothing is left of the parent"):
        grpo.TRAINER.build(materials(parent, grpo.Settings(method="full")), None, silent)


def test_batches_that_hold_no_whole_groups_are_refused(parent):
    with pytest.raises(ModelError, match="whole groups of 4"):
        grpo.TRAINER.build(materials(parent, grpo.Settings(batch=6)), None, silent)
