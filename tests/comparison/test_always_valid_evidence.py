import numpy as np
import pytest

from lifeloop.comparison.always import always_valid
from lifeloop.comparison.differences import Differences
from lifeloop.tasks.blocks import Blocks, BlockSums
from lifeloop.tasks.classify import TASK

pytestmark = pytest.mark.slow

N_LABELS = 30


def confusion(truth, said):
    columns = np.zeros((len(truth), 3, N_LABELS))
    rows = np.arange(len(truth))
    columns[rows, 2, truth] = columns[rows, 1, said] = 1
    columns[rows, 0, said] = truth == said
    return columns.reshape(len(truth), -1)


def look(metric, ours, theirs, n, copies=1) -> Differences:
    sides = BlockSums(), BlockSums()
    for side, columns in zip(sides, (ours, theirs), strict=True):
        side.add(np.arange(n) // copies, columns[:n])
    blocks = Blocks(n_groups=n // copies, alone=copies == 1)
    return Differences(TASK.metrics[metric], *sides, (ours - theirs)[:n, 0], blocks, asked_once=True)


def shown(world, metric, better: float, copies: int, runs: int) -> float:
    """Return how often a candidate is ever shown to be better, with a look after every 40 examples."""
    found = 0
    for _ in range(runs):
        truth = world.integers(0, N_LABELS, 400)
        tables = []
        for accuracy in (0.8 + better, 0.8):
            right = np.repeat(world.random(len(truth) // copies) < accuracy, copies)
            said = np.where(right, truth, world.integers(0, N_LABELS, len(truth)))
            correct = (truth == said)[:, None].astype(float)
            tables.append(correct if metric == "accuracy" else confusion(truth, said))
        looks = (always_valid(look(metric, *tables, n, copies), 0.95) for n in range(40, 401, 40))
        found += any(each.better >= 20 for each in looks)
    return found / runs


@pytest.mark.parametrize(("metric", "copies"), [("accuracy", 1), ("accuracy", 4), ("macro_f1", 1)])
def test_of_two_alike_one_is_seldom_shown_to_be_better_and_of_two_unlike_it_mostly_is(metric, copies):
    world = np.random.default_rng(4)
    assert shown(world, metric, 0.0, copies, 120) <= 0.08
    assert shown(world, metric, 0.18 if copies == 1 else 0.2, copies, 25) >= (0.8 if copies == 1 else 0.4)


def test_copies_taken_for_examples_of_their_own_would_be_wrong_more_often():
    world = np.random.default_rng(5)
    wrong = 0
    for _ in range(150):
        pairs = np.repeat(world.random((100, 2)) < 0.8, 4, axis=0).astype(float)
        looks = (always_valid(look("accuracy", pairs[:, :1], pairs[:, 1:], n), 0.95) for n in range(40, 401, 40))
        wrong += any(each.better >= 20 for each in looks)
    assert wrong / 150 > 0.1
