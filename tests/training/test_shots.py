import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.models import remote
from lifeloop.models.llamacpp import FILE, Learned
from lifeloop.training.shots import TRAINER, choose_shots
from lifeloop.training.trainer import Decided, Materials

TRAIN = tuple(Example(str(n), f"text {n}", "abc"[n % 3], "") for n in range(30))


@given(st.integers(0, 40), st.integers(0, 100))
def test_shots_are_spread_evenly_over_the_labels(n, seed):
    shots = choose_shots(TRAIN, n, random.Random(seed))
    assert len(shots) == min(n, len(TRAIN))
    assert len({shot.id for shot in shots}) == len(shots)
    counts = [sum(shot.reference == label for shot in shots) for label in "abc"]
    assert max(counts) - min(counts) <= 1


def test_a_rare_label_gives_what_it_has():
    train = (*TRAIN, Example("rare", "rare text", "z", ""))
    shots = choose_shots(train, 20, random.Random(0))
    assert [shot.reference for shot in shots].count("z") == 1
    assert len(shots) == 20


def test_the_seed_alone_decides_which():
    one, same, other = ([s.id for s in choose_shots(TRAIN, 6, random.Random(seed))] for seed in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize("n", [0, 4])
def test_a_remote_candidate_keeps_its_shots_and_measures_no_liking(tmp_path, n):
    settings = remote.Settings(url="http://127.0.0.1:9/v1", model="m", shots=n)
    materials = Materials("classify", ("a", "b", "c"), settings, TRAIN, (), None, None, None, (), 5)
    assert TRAINER.build(materials, tmp_path, silent) == Decided()
    learned = msgspec.json.decode((tmp_path / FILE).read_bytes(), type=Learned)
    assert len(learned.shots) == n
    assert set(learned.shots) <= {(example.input, example.reference) for example in TRAIN}
    assert learned.prior == []
