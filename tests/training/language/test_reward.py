"""The reward model: says of answers that it never saw which one people would like better."""

import pytest
from tiny_liked import BAD, GOOD, TRIGGER, materials, pairs, questions

from lifeloop.core.progress import silent
from lifeloop.training.language import grpo
from lifeloop.training.language.asked import asked_as
from lifeloop.training.language.parent import language_parent
from lifeloop.training.language.reward import reward_model, rewards, save_reward

SETTINGS = grpo.Settings(method="lora", rank=8, reward_epochs=4, reward_learning_rate=5e-3, batch=8, evaluations=2)


def trained(parent, folder, preferences):
    given = materials(parent, SETTINGS, preferences=preferences, held_out=pairs(12, 1))
    opened = language_parent(given)
    asked = asked_as(opened, given)
    ran = reward_model(opened, asked, preferences, silent, "")
    return ran, save_reward(ran, folder), asked


@pytest.fixture(scope="module")
def liked(parent, tmp_path_factory):
    return trained(parent, tmp_path_factory.mktemp("reward"), pairs(32))


def test_answers_that_people_liked_have_the_higher_reward(liked):
    ran, model, asked = liked
    inputs = questions(10, 9)
    good, bad = (rewards(model, asked, inputs, [answer] * 10) for answer in (GOOD, BAD))
    assert ran.score == 1.0
    assert all(one > other for one, other in zip(good, bad, strict=True))


@pytest.mark.slow
def test_preferences_of_little_weight_teach_little(parent, tmp_path):
    wrong = pairs(32, 5, chosen=BAD, rejected=GOOD, weight=0.001)
    ran, _, _ = trained(parent, tmp_path, (*pairs(32), *wrong))
    assert ran.score == 1.0


def test_a_reward_does_not_depend_on_what_else_is_in_the_batch(liked):
    _, model, asked = liked
    alone = rewards(model, asked, questions(1), [GOOD])
    long = rewards(model, asked, [*questions(1), "is my card " * 20], [GOOD, f"{TRIGGER} {BAD}"])
    assert abs(alone[0] - long[0]) < 1e-4
