from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.models.cascade import Settings
from lifeloop.training.thresholds import TRAINER
from lifeloop.training.trainer import Materials, MemberAnswers


def materials(*members: list[tuple[bool, float | None]], threshold: float | None = None) -> Materials:
    """Members that were right or wrong, and so sure, on as many validation examples as there are pairs."""
    validation = tuple(Example(str(n), "x", "a", "") for n in range(len(members[0])))
    said = [
        MemberAnswers(f"m{place}", tuple(Answer("a" if right else "b", sure) for right, sure in pairs), 1.0)
        for place, pairs in enumerate(members)
    ]
    names = tuple(member.name for member in said)
    return Materials(
        "classify", ("a", "b"), Settings(names, threshold), (), validation, None, None, None, tuple(said), 0
    )


def chosen(*members: list[tuple[bool, float | None]]) -> float:
    return TRAINER.build(materials(*members), Path(), silent).settings["threshold"]


def asks(pairs: list[tuple[bool, float]], threshold: float) -> int:
    return sum(sure < threshold for _, sure in pairs)


def test_what_the_first_is_wrong_and_unsure_about_goes_on():
    cheap = [(True, 0.9)] * 6 + [(False, 0.4)] * 4
    assert 0.4 < chosen(cheap, [(True, None)] * 10) <= 0.9


def test_among_equals_the_one_that_asks_the_least():
    cheap = [(True, 0.9)] * 5 + [(True, 0.3)] * 5
    assert chosen(cheap, [(True, 0.9)] * 10) == 0.0
    assert chosen(cheap, [(False, 0.9)] * 10) == 0.0


def test_a_first_member_that_is_sure_and_wrong_is_always_passed_over():
    cheap = [(False, 1.0)] * 10
    assert asks(cheap, chosen(cheap, [(True, None)] * 10)) == 10


def test_a_threshold_in_the_brief_is_left_alone():
    assert TRAINER.build(materials([(True, 0.5)], [(True, 0.5)], threshold=0.7), Path(), silent).settings == {}


def test_where_no_member_but_the_last_is_ever_sure_a_cascade_makes_no_sense():
    with pytest.raises(ModelError, match="m0 gives no confidence") as caught:
        chosen([(True, None)] * 3, [(True, 0.9)] * 3)
    assert "threshold" in caught.value.fix


pairs = st.lists(
    st.tuples(st.booleans(), st.integers(0, 100).map(lambda percent: percent / 100)), min_size=1, max_size=30
)


@settings(max_examples=60)
@given(pairs, st.randoms(use_true_random=False))
def test_no_other_threshold_does_better(cheap, chance):
    dear = [(chance.random() < 0.8, None) for _ in cheap]

    def quality(threshold: float) -> float:
        return float(
            np.mean([(one if one[1] >= threshold else other)[0] for one, other in zip(cheap, dear, strict=True)])
        )

    others = {0.0, 1.00001, *(sure for _, sure in cheap)}
    best = max(map(quality, others))
    threshold = chosen(cheap, dear)
    assert quality(threshold) == pytest.approx(best)
    assert asks(cheap, threshold) == min(asks(cheap, other) for other in others if quality(other) == best)
