"""Small data sets and materials for tests of features."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lifeloop.core.brief import convert_settings
from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.models import features
from lifeloop.models.model import Model
from lifeloop.training.features import TRAINER
from lifeloop.training.trainer import Decided, Materials

Row = tuple[str, str, Mapping[str, str]]
"""A text, its label and its columns."""


def rows_of(texts: Mapping[str, Sequence[str]], columns: Mapping[str, str] | None = None) -> list[Row]:
    """Return each text of each label, in turn."""
    longest = max(map(len, texts.values()))
    return [(said[n], label, columns or {}) for n in range(longest) for label, said in texts.items() if n < len(said)]


def materials(table: dict[str, Any], train: Sequence[Row], validation: Sequence[Row] = (), **more: Any) -> Materials:
    """Return what a candidate of kind "features" with these settings is made from."""
    rows = [
        tuple(Example(f"{split}{n}", text, label, "", dict(columns)) for n, (text, label, columns) in enumerate(each))
        for split, each in (("train", train), ("validation", validation))
    ]
    labels = tuple(sorted({label for _, label, _ in train}))
    settings = convert_settings(table, features.Settings, "candidates.one", "lifeloop.toml")
    return Materials("classify", labels, settings, rows[0], rows[1], None, None, None, (), 0, **more)


def build(given: Materials, folder: Path) -> Decided:
    """Train a candidate into a folder."""
    folder.mkdir(parents=True)
    return TRAINER.build(given, folder, silent)


def load(given: Materials, folder: Path) -> Model:
    """Return the trained candidate as a gateway loads it: from its settings and its files alone."""
    settings = msgspec.to_builtins(given.settings)
    return features.KIND.load(Candidate("one", "features", "classify", given.labels, settings), folder, ())


def made(given: Materials, folder: Path) -> Model:
    """Train a candidate and load it."""
    build(given, folder)
    return load(given, folder)


def right(model: Model, rows: Sequence[Row]) -> float:
    """Return the share of rows that a model answers with their label."""
    answers = model.answer([Request(text, columns=dict(columns)) for text, _, columns in rows])
    return sum(answer.output == row[1] for answer, row in zip(answers, rows, strict=True)) / len(rows)
