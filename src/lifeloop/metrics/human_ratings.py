"""People's ratings of answers: a JSONL file, one rating a line.

A row has a `score` and says of what: of an `output` to an `input`, or of an `example` by its id. A row without `output`
is taken for whatever answer the example gets: right where one candidate's answers were rated.
"""

import math
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.errors import DataError

FEWEST = 5
"""Ratings below which no correction is tried."""


class Row(Struct, frozen=True):
    """One line."""

    score: float
    example: str = ""
    input: str = ""
    output: str | None = None


class Ratings(Struct, frozen=True):
    """What people said: the mean score in [0, 1] by (example id, output) and by (input, output)."""

    by_example: dict[tuple[str, str | None], float]
    by_texts: dict[tuple[str, str], float]
    binary: bool
    """Whether every rating is the lowest or the highest there is."""

    def of(self, example: str, text: str, output: str) -> float:
        """Return the score of an answer, or NaN where nobody rated it."""
        for found in (
            self.by_example.get((example, output)),
            self.by_texts.get((text, output)),
            self.by_example.get((example, None)),
        ):
            if found is not None:
                return found
        return math.nan


def read_ratings(path: Path, name: str) -> Ratings:
    """Return the ratings of a file that errors call `name`. Raises DataError that names the row."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=name, fix="check the path") from None
    rows = [_row(line, f"{name}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    if len(rows) < FEWEST:
        raise DataError(
            f"{len(rows)} ratings are too few to correct a judge by", where=name, fix=f"rate at least {FEWEST} answers"
        )
    scores = _scaled([row.score for row in rows], name)
    by_example: dict[Any, list[float]] = {}
    by_texts: dict[Any, list[float]] = {}
    for row, score in zip(rows, scores, strict=True):
        if row.example:
            by_example.setdefault((row.example, row.output), []).append(score)
        else:
            by_texts.setdefault((row.input, row.output), []).append(score)
    return Ratings(_means(by_example), _means(by_texts), binary=set(scores) <= {0.0, 1.0})


def _row(line: bytes, where: str) -> Row:
    try:
        row = msgspec.json.decode(line, type=Row)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"no rating: {error}", where=where, fix='write {"example": "ID", "score": 0.5}') from None
    if not row.example and not (row.input and row.output is not None):
        raise DataError("it does not say what was rated", where=where, fix="add `example`, or `input` and `output`")
    if not 0.0 <= row.score <= 5.0:
        raise DataError(f"the score is {row.score:g}", where=where, fix="use 0 to 1, or 1 to 5, in the whole file")
    return row


def _scaled(scores: list[float], name: str) -> list[float]:
    """Return the scores in [0, 1]; the file's highest and lowest tell the scale. Raises DataError where they do not."""
    if max(scores) <= 1.0 and min(scores) < 1.0:
        return scores
    if max(scores) > 1.0 and min(scores) >= 1.0:
        return [(score - 1) / 4 for score in scores]
    what = "every score is 1, the best of one scale and the worst of the other"
    if max(scores) > 1.0:
        what = f"scores go from {min(scores):g} to {max(scores):g}"
    raise DataError(what, where=name, fix="use one scale in the whole file: 0 to 1, or 1 to 5")


def _means(found: dict[Any, list[float]]) -> dict[Any, float]:
    return {key: math.fsum(scores) / len(scores) for key, scores in found.items()}
