"""How language models are trained: killed and resumed, out of memory, out of time, given up."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import EPOCHS, EXAMPLES, train, weights
from transformers import TrainerCallback

from lifeloop.core.errors import ModelError
from lifeloop.training.language.journal import last_checkpoint
from lifeloop.training.language.pace import Enough
from lifeloop.training.language.running import is_out_of_memory
from lifeloop.training.trainer import Outdone

STEPS = EPOCHS * EXAMPLES // 4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    ran = train(tmp_path_factory.mktemp("undisturbed"))
    return ran, weights(ran)


def same(one, other, tolerance=1e-5) -> bool:
    return all(torch.allclose(one[name], other[name], atol=tolerance) for name in one)


def test_a_training_gives_its_curve_and_the_weights_that_validation_liked_best(undisturbed):
    ran, _ = undisturbed
    losses = [point.loss for point in ran.curve if point.loss is not None]
    assert losses[-1] < 0.6 * losses[0]
    measured = {point.step: point.score for point in ran.curve if point.score is not None}
    assert len(measured) == 4 and max(measured) == STEPS
    assert ran.score == max(measured.values()) == measured[ran.best_step]
    assert ran.events == ()


@pytest.mark.slow
def test_killed_at_any_step_and_run_again_gives_the_same_weights(undisturbed, tmp_path):
    ran, expected = undisturbed
    step = random.SystemRandom().randrange(3, STEPS)
    script = Path(__file__).with_name("tiny_training.py")
    killed = subprocess.run([sys.executable, str(script), str(tmp_path), str(step)], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    again = train(tmp_path)
    assert same(expected, weights(again)), f"killed at step {step}"
    assert again.score == pytest.approx(ran.score, abs=1e-5)
    assert [point.step for point in again.curve] == [point.step for point in ran.curve]
    assert len(again.events) == 1 and again.events[0].startswith("resumed at step")


class At(TrainerCallback):
    """Does something at a step, once."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_step_end(self, args, state, control, **kwargs):
        if self.act and state.global_step == self.step:
            act, self.act = self.act, None
            act()


def fail(error):
    raise error


def test_a_checkpoint_that_was_cut_short_is_not_read(undisturbed, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, [At(20, lambda: fail(KeyboardInterrupt()))])
    whole = last_checkpoint(tmp_path / "training")
    broken = whole.with_name("checkpoint-19")
    broken.mkdir()
    (broken / "trainer_state.json").write_text('{"global_step": 19')
    assert last_checkpoint(tmp_path / "training") == whole and not broken.exists()
    assert same(undisturbed[1], weights(train(tmp_path)))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (MemoryError(), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) == expected


def test_out_of_memory_goes_on_with_half_the_batch_and_the_same_steps(tmp_path):
    expected = train(None, dropout=0.0)
    again = train(tmp_path, [At(10, lambda: fail(MemoryError()))], dropout=0.0)
    assert (again.plan.batch, again.plan.accumulation) == (2, 2)
    assert again.events[0] == "out of memory with batches of 4: went on with 2, 2 to a step"
    assert [point.loss for point in again.curve] == pytest.approx([point.loss for point in expected.curve], abs=1e-3)
    assert same(weights(expected), weights(again), tolerance=5e-3)


def test_where_one_example_does_not_fit_the_error_says_what_to_do(tmp_path):
    with pytest.raises(ModelError, match="one example at a time does not fit") as caught:
        train(tmp_path, [At(1, lambda: fail(MemoryError()))], batch=1)
    assert "max_tokens" in caught.value.fix


def test_a_search_that_gives_the_training_up_is_let_through():
    seen = []

    def watch(step, score):
        seen.append((step, score))
        if len(seen) == 2:
            raise Outdone

    with pytest.raises(Outdone):
        train(None, watch=watch)
    assert [step for step, _ in seen] == [STEPS // 4, STEPS // 2]


def test_stops_when_validation_gets_no_better_and_keeps_the_best(tmp_path):
    scores = iter([0.5, 0.7, 0.6, 0.6])
    ran = train(tmp_path, score=lambda trainer, metrics: next(scores), patience=1)
    assert (ran.best_step, ran.score) == (STEPS // 2, 0.7)
    assert ran.events == ("stopped at step 27: no better than at step 18 in 1 validations",)
    assert ran.trainer.state.global_step == 27
    again = train(tmp_path, score=lambda trainer, metrics: fail(AssertionError("nothing is left to train")))
    assert same(weights(ran), weights(again)) and again.curve == ran.curve


def test_a_score_may_end_the_training_with_a_reason():
    ran = train(None, score=lambda trainer, metrics: fail(Enough("the reward rises while the guard set falls")))
    assert ran.events == ("stopped at step 9: the reward rises while the guard set falls",)
    assert ran.score is None


def test_stops_cleanly_when_time_is_up(tmp_path):
    ran = train(tmp_path, minutes=1e-6)
    assert ran.trainer.state.global_step == 1
    assert ran.events == (f"stopped after 1e-06 minutes, at step 1 of {STEPS}",)
    assert ran.score is not None
