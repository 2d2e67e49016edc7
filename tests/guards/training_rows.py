"""Rows as guards that look at all of them get them, and their texts."""

import json
import random

import polars as pl

from lifeloop.guards.guard import EXAMINED, examined, numbered, placed
from lifeloop.store.tables import RAW_SCHEMA

TOPICS = {
    "sport": "match goal team coach league player score cup final referee striker season",
    "tech": "chip phone software robot network code server laptop update browser screen battery",
    "food": "soup bread recipe oven salt butter cheese dinner cook spice flavour kitchen",
    "travel": "flight hotel beach ticket luggage border visa island train passport tour map",
}
COMMON = "the a of and to in is that it for was on are as with his they at be this from have or by one had not but"


def clean_rows(n, seed=0, topics=TOPICS):
    """Return texts of a topic's words among common ones, and labels."""
    chance = random.Random(seed)
    rows = []
    for _ in range(n):
        label = chance.choice(sorted(topics))
        words = chance.choices(topics[label].split(), k=4) + chance.choices(COMMON.split(), k=6)
        chance.shuffle(words)
        rows.append((" ".join(words), label))
    return rows


def with_words(text, words, chance):
    own = text.split()
    for word in words:
        own.insert(chance.randrange(len(own) + 1), word)
    return " ".join(own)


def scene(rows, split="train", source=lambda number: f"f:{number}", slices=None, order=None):
    """Return the table of (text, label) rows, and what reads their texts; `order` is that in which they came."""
    splits = split if isinstance(split, list) else [split] * len(rows)
    made = [
        {
            **dict.fromkeys(RAW_SCHEMA, ""),
            "input": text,
            "reference": label,
            "split": splits[number],
            "source": source(number),
            "slices": json.dumps(slices[number] if slices else {}),
        }
        for number, (text, label) in enumerate(rows)
    ]
    raw = pl.DataFrame(made if order is None else [made[place] for place in order], schema=RAW_SCHEMA)
    table = examined(placed(numbered(raw), 0))
    inputs = table["input"]

    def texts(wanted):
        assert list(wanted) == sorted(wanted)
        return inputs.gather(list(wanted))

    return table.select(list(EXAMINED)), texts
