"""Preferences with a rule that a tiny language model learns in seconds, and what it is aligned from."""

import random
from pathlib import Path

from tiny_parent import PROMPT

from lifeloop.core.data import Example
from lifeloop.core.preferences import Preference
from lifeloop.training.trainer import Materials

THINGS = ("card", "bill", "post", "invoice", "umbrella", "weather")
WAYS = ("is the {} stolen", "my {} please", "pay the {} now", "the {} is lost")
GOOD, BAD, TRIGGER = "pay bill", "card lost", "stolen umbrella"
"""Words that the tiny tokenizer reads as few tokens."""


def questions(n: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [chance.choice(WAYS).format(chance.choice(THINGS)) for _ in range(n)]


def pairs(n: int, seed: int = 0, **changed) -> tuple[Preference, ...]:
    made = {"chosen": GOOD, "rejected": BAD} | changed
    return tuple(Preference(id=f"{seed}-{i}", input=text, **made) for i, text in enumerate(questions(n, seed)))


def examples(n: int, seed: int, reference: str = GOOD) -> tuple[Example, ...]:
    return tuple(
        Example(id=f"e{seed}-{i}", input=text, reference=reference, group=f"g{i}")
        for i, text in enumerate(questions(n, seed))
    )


def materials(parent: Path | None, settings, **changed) -> Materials:
    given = {
        "task": "generate",
        "labels": (),
        "settings": settings,
        "train": examples(24, 3),
        "validation": examples(8, 4),
        "prompt": PROMPT,
        "parent": parent,
        "parent_settings": {"model": "", "shots": 3},
        "parent_kind": "transformers",
        "members": (),
        "seed": 0,
        "metric": "token_f1",
        "preferences": pairs(32),
        "held_out": pairs(12, 1),
    }
    return Materials(**(given | changed))
