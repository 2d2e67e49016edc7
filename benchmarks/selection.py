"""What choosing rows saves on CLINC150: labels to reach an accuracy, and training rows to keep one, against chance.

python benchmarks/selection.py [label] [train] [noise] [SEEDS]    (all parts, 2 seeds; some 15 minutes on 2 cores)

Part one: a pool of 15,000 texts without labels, 300 labelled at random, then eight rounds of 150: chosen by
`stages.shortlist` as `lifeloop data select label` does, or at random; after each round the accuracy on test of the head
that kind "encoder" trains. Part two: `stages.select` at half, a quarter and a tenth of the tokens, against as many
tokens at random and against all rows; the heads of the kinds "encoder" and "features"; and the same for "encoder" with
a tenth of the training labels flipped. Training seconds are those of the head alone on this machine, whatever else it
was doing.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from lifeloop import plugins
from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.data_brief import Selection
from lifeloop.core.progress import silent
from lifeloop.lifecycle.labelling import two_best
from lifeloop.models import features
from lifeloop.stages.select import choose, tokens
from lifeloop.stages.shortlist import Pooled, shortlist
from lifeloop.training.features import TRAINER
from lifeloop.training.text_vectors import USUAL_ENCODER, text_vectors
from lifeloop.training.trainer import Materials

DATA = Path(__file__).parents[2] / "shared" / "data" / "clinc150" / "data_full.json"
START, STEP, ROUNDS = 300, 150, 8
SHARES = (0.5, 0.25, 0.1)

Floats = NDArray[np.float64]


def main() -> None:
    """Print both parts, or the one that is named."""
    asked = sys.argv[1:]
    seeds = [int(word) for word in asked if word.isdigit()] or [2]
    found = json.loads(DATA.read_text())
    train = [
        Example(f"t{place}", text, label, f"t{place}", source=f"train:{place}")
        for place, (text, label) in enumerate(found["train"])
    ]
    test = [Example(f"x{place}", text, label, f"x{place}") for place, (text, label) in enumerate(found["test"])]
    begun = time.perf_counter()
    vectors = text_vectors([example.input for example in (*train, *test)], USUAL_ENCODER, 0, "", silent)
    print(f"{len(train):,} train, {len(test):,} test; encoded in {time.perf_counter() - begun:.0f} s\n", flush=True)
    parts = [word for word in asked if not word.isdigit()] or ["label", "train", "noise"]
    if "label" in parts:
        label_next(train, test, vectors, seeds[0])
    if "train" in parts:
        train_on(train, test, vectors, seeds[0])
    if "noise" in parts:
        with_flipped_labels(train, test, vectors, seeds[0])


# labels


def label_next(train: Sequence[Example], test: Sequence[Example], vectors: Floats, n_seeds: int) -> None:
    """Print accuracy by number of labels, chosen and at random, and how many labels choosing saves."""
    curves = {"random": [], "chosen": []}
    seconds: list[float] = []
    for seed in range(n_seeds):
        for how, curve in curves.items():
            curve.append(_rounds(train, test, vectors, how == "chosen", seed, seconds))
    sizes = [START + STEP * number for number in range(ROUNDS + 1)]
    means = {how: np.mean(curve, axis=0) for how, curve in curves.items()}
    print(f"labels   random   chosen   ({n_seeds} seeds, mean accuracy on test)")
    for place, size in enumerate(sizes):
        print(f"{size:6,}   {means['random'][place]:.3f}    {means['chosen'][place]:.3f}")
    print(f"choosing {STEP} of the pool takes {np.mean(seconds):.1f} s, the model's answers and vectors apart")
    for size in (900, 1200, 1500):
        reached = means["random"][sizes.index(size)]
        needed = float(np.interp(reached, means["chosen"], sizes))
        print(f"accuracy {reached:.3f}: {size:,} labels at random, {needed:,.0f} chosen: {1 - needed / size:.0%} saved")
    print(flush=True)


def _rounds(
    train: Sequence[Example], test: Sequence[Example], vectors: Floats, chosen: bool, seed: int, seconds: list[float]
) -> list[float]:
    """Return the accuracy on test after each round."""
    chance = np.random.default_rng(seed)
    labelled = chance.permutation(len(train))[:START].tolist()
    truth = np.array([example.reference for example in test])
    place_of = {example.input: place for place, example in enumerate(train)}
    found = []
    for number in range(ROUNDS + 1):
        head = _fit_head(vectors[labelled], [train[place].reference for place in labelled])
        found.append(float((head.predict(vectors[len(train) :]) == truth).mean()))
        if number == ROUNDS:
            break
        open_ = np.setdiff1d(np.arange(len(train)), labelled)
        if not chosen:
            labelled += chance.choice(open_, STEP, replace=False).tolist()
            continue
        guesses = two_best(head.predict_proba(vectors[open_]), list(head.classes_))
        begun = time.perf_counter()
        listed = shortlist(
            [Pooled(train[place].id, "", train[place].input) for place in open_],
            guesses,
            set(),
            lambda texts: vectors[[place_of[text] for text in texts]],
            STEP,
            seed,
        )
        seconds.append(time.perf_counter() - begun)
        labelled += [int(proposed.row.id[1:]) for proposed in listed.rows]
    return found


def _fit_head(vectors: Floats, labels: Sequence[str]):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=10.0, max_iter=300, tol=1e-4).fit(vectors, labels)


# training rows


def with_flipped_labels(train: Sequence[Example], test: Sequence[Example], vectors: Floats, n_seeds: int) -> None:
    """Print what is selected of rows of which a tenth have the label of another row."""
    chance = np.random.default_rng(5)
    labels = sorted({example.reference for example in train})
    flipped = set(chance.choice(len(train), len(train) // 10, replace=False).tolist())
    noisy = [
        msgspec.structs.replace(each, reference=str(chance.choice(labels))) if place in flipped else each
        for place, each in enumerate(train)
    ]
    truth = np.array([example.reference for example in test])
    total = sum(map(tokens, noisy))

    def encoder(places: Sequence[int]) -> tuple[float, float]:
        begun = time.perf_counter()
        head = _fit_head(vectors[list(places)], [noisy[place].reference for place in places])
        seconds = time.perf_counter() - begun
        n_wrong = len(flipped.intersection(places))
        print(f"    {len(places):,} rows, {n_wrong:,} of the {len(flipped):,} flipped ones among them")
        return float((head.predict(vectors[len(train) :]) == truth).mean()), seconds

    print("encoder, a tenth of the labels flipped")
    print(f"  all rows: accuracy {encoder(range(len(noisy)))[0]:.4f}")
    for share in SHARES[:2]:
        _compare(f"{share:.0%}", Selection(tokens=int(total * share), encoder=USUAL_ENCODER), noisy, encoder, n_seeds)
    _compare("quality 0.3", Selection(quality=0.3, encoder=USUAL_ENCODER), noisy, encoder, n_seeds)


def train_on(train: Sequence[Example], test: Sequence[Example], vectors: Floats, n_seeds: int) -> None:
    """Print accuracy and training seconds with all rows, and with as many tokens selected or at random."""
    total = sum(map(tokens, train))
    truth = np.array([example.reference for example in test])

    def encoder(places: Sequence[int]) -> tuple[float, float]:
        begun = time.perf_counter()
        head = _fit_head(vectors[list(places)], [train[place].reference for place in places])
        seconds = time.perf_counter() - begun
        return float((head.predict(vectors[len(train) :]) == truth).mean()), seconds

    def words(places: Sequence[int]) -> tuple[float, float]:
        return _features([train[place] for place in places], test)

    for name, fit, by in (("encoder", encoder, USUAL_ENCODER), ("features", words, "")):
        accuracy, seconds = fit(range(len(train)))
        print(f"{name}: {len(train):,} rows, {total:,} tokens: accuracy {accuracy:.4f}, trained in {seconds:.1f} s")
        wanted = [(f"{share:.0%} of the tokens", Selection(tokens=int(total * share), encoder=by)) for share in SHARES]
        wanted.append(("each meaning once (cosine 0.9)", Selection(similarity=0.9, encoder=by)))
        for told, settings in wanted:
            _compare(told, settings, train, fit, n_seeds)
        print(flush=True)


def _compare(
    told: str,
    settings: Selection,
    train: Sequence[Example],
    fit: Callable[[Sequence[int]], tuple[float, float]],
    n_seeds: int,
) -> None:
    begun = time.perf_counter()
    chosen = choose(train, settings, plugins.get("tasks", "classify"), 0, silent)
    selecting = time.perf_counter() - begun
    accuracy, seconds = fit(chosen.kept)
    by_chance = [fit(_at_random(train, chosen.tokens, seed))[0] for seed in range(n_seeds)]
    print(f"  {told}: {len(chosen.kept):,} rows, {chosen.tokens:,} tokens: selected {accuracy:.4f} in {seconds:.1f} s,")
    print(f"    at random {np.mean(by_chance):.4f}; selecting took {selecting:.1f} s", flush=True)


def _at_random(train: Sequence[Example], budget: int, seed: int) -> list[int]:
    """Return rows at random within a budget of tokens, with at least one of each label."""
    order = np.random.default_rng(seed).permutation(len(train)).tolist()
    first: dict[str, int] = {}
    for place in order:
        first.setdefault(train[place].reference, place)
    kept = list(first.values())
    left = budget - sum(tokens(train[place]) for place in kept)
    for place in order:
        if tokens(train[place]) <= left and place not in first.values():
            kept.append(place)
            left -= tokens(train[place])
    return kept


def _features(train: Sequence[Example], test: Sequence[Example]) -> tuple[float, float]:
    labels = tuple(sorted({example.reference for example in train}))
    settings = features.Settings()
    materials = Materials("classify", labels, settings, tuple(train), (), None, None, None, (), 0)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        TRAINER.build(materials, Path(folder), silent)
        seconds = time.perf_counter() - begun
        candidate = Candidate("words", "features", "classify", labels, {})
        model = features.KIND.load(candidate, Path(folder), ())
        answers = model.answer([Request(example.input) for example in test])
    right = [answer.output == example.reference for answer, example in zip(answers, test, strict=True)]
    return float(np.mean(right)), seconds


if __name__ == "__main__":
    main()
