"""The watch against over-optimisation: it ends a run whose reward rises while the brief's metric falls."""

import math
from types import SimpleNamespace

import pytest
from tiny_liked import BAD, GOOD, examples, materials, pairs

from lifeloop.core.progress import silent
from lifeloop.training.language import dpo
from lifeloop.training.language.pace import Enough
from lifeloop.training.language.watching import Watch, watch_sample
from lifeloop.training.record import load_record

SETTINGS = dpo.Settings(
    method="full", epochs=5, learning_rate=2e-3, warmup=0.0, evaluations=8, watch_limit=0.05, gguf="f32", ablation=False
)
TRAINER = SimpleNamespace(model=None, accelerator=SimpleNamespace(unwrap_model=lambda model: model))


def watch_over(outputs, rewards=None):
    """A watch over a model that says the next of the outputs each time, the first of them as the parent."""
    said = iter(outputs)
    given = materials(None, SETTINGS)
    return Watch(
        given,
        None,
        lambda _, sample: [next(said)] * len(sample),
        sample=given.validation,
        limit=0.1,
        rewards=rewards,
    )


def test_reward_up_and_metric_down_ends_it():
    watch = watch_over([GOOD, GOOD, BAD])
    assert watch(TRAINER, {"eval_rewards/margins": 1.0, "eval_loss": math.log(2)}) == pytest.approx(0.5)
    with pytest.raises(Enough, match="the reward rose from 0 to 2 while token_f1 got worse, from 1 to 0"):
        watch(TRAINER, {"eval_rewards/margins": 2.0, "eval_loss": 0.1})


def test_a_metric_that_falls_without_a_reward_is_no_over_optimisation():
    watch = watch_over([GOOD, BAD])
    assert watch(TRAINER, {"eval_rewards/margins": -0.5, "eval_loss": 1.0}) == pytest.approx(math.exp(-1))


def test_a_reward_of_answers_is_the_score():
    watch = watch_over([BAD, GOOD], rewards=lambda _, outputs: float(outputs[0] == GOOD))
    assert watch(TRAINER, {}) == 1.0


def test_the_sample_is_of_validation_and_the_same_each_time():
    given = materials(None, SETTINGS, validation=examples(40, 2))
    assert watch_sample(given, 10) == watch_sample(given, 10)
    assert len(watch_sample(given, 10)) == 10 and watch_sample(given, 0) == ()
    assert all(each in given.validation for each in watch_sample(given, 10))


@pytest.mark.slow
def test_a_run_that_is_rewarded_for_what_the_metric_dislikes_stops_and_keeps_the_weights_before(parent, tmp_path):
    first = pairs(24, 2)  # what the parent of this run was taught, and the metric likes
    dpo.TRAINER.build(materials(parent, SETTINGS, preferences=first), tmp_path / "taught", silent)
    turned = {"chosen": BAD, "rejected": GOOD}
    wrong = {"preferences": pairs(32, 0, **turned), "held_out": pairs(12, 1, **turned)}
    dpo.TRAINER.build(materials(tmp_path / "taught", SETTINGS, **wrong), tmp_path / "spoilt", silent)
    record = load_record(tmp_path / "spoilt")
    assert any("while token_f1 got worse" in event for event in record.events)
    assert record.best_step < record.curve[-1].step
