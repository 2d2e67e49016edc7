"""Few labelled rows of CLINC150: a head over the encoder as it is, and over the encoder tuned on pairs of those rows.

python benchmarks/contrastive.py [ROWS A LABEL] [LABELS] [SEEDS]

Test is CLINC150's own, of the labels taken; validation as few rows as training, as somebody who has few would have.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import numpy as np

from encoder_finetune import DATA, MODEL, OTHER, rows
from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.models import encoder
from lifeloop.training.contrastive import TRAINER as CONTRASTIVE
from lifeloop.training.encoder_head import TRAINER as HEAD
from lifeloop.training.trainer import Materials


def main() -> None:
    """Print the accuracy of both, seed by seed and on average."""
    if not DATA.exists():
        print("skipped: CLINC150 is not at shared/data")
        return
    n, n_labels, seeds = (int(word) for word in (*sys.argv[1:], *("8", "150", "1")[len(sys.argv) - 1 :]))
    print(f"{n} rows a label, {n_labels} labels\nseed   head alone   contrastive   seconds")
    found = []
    for seed in range(seeds):
        found.append(one(n, n_labels, seed))
        print(f"{seed:<4} {found[-1][0]:12.2f} {found[-1][1]:13.2f} {found[-1][2]:9.0f}", flush=True)
    before, after = mean(row[0] for row in found), mean(row[1] for row in found)
    print(f"mean {before:12.2f} {after:13.2f}            ratio {after / before:.3f}")


def one(n: int, n_labels: int, seed: int) -> tuple[float, float, float]:
    """Return the accuracy of head and contrastive tuning in percent, and what the tuning took in seconds."""
    chance = np.random.default_rng(seed)
    every = sorted({row.reference for row in rows("train")} - {OTHER})
    labels = tuple(sorted(chance.choice(every, n_labels, replace=False).tolist()))
    settings = encoder.Settings(model=MODEL, max_tokens=64)
    given = Materials(
        task="classify",
        labels=labels,
        settings=settings,
        train=few("train", labels, n, chance),
        validation=few("val", labels, min(n, 20), chance),
        prompt=None,
        parent=None,
        parent_settings=None,
        members=(),
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as place:
        parent, child = Path(place) / "parent", Path(place) / "child"
        parent.mkdir()
        child.mkdir()
        HEAD.build(given, parent, silent)
        begun = time.monotonic()
        changes: dict[str, Any] = {
            "settings": CONTRASTIVE.settings(max_tokens=64),
            "parent": parent,
            "parent_settings": msgspec.to_builtins(settings),
        }
        CONTRASTIVE.build(msgspec.structs.replace(given, **changes), child, silent)
        took = time.monotonic() - begun
        test = [row for row in rows("test") if row.reference in labels]
        return accuracy(parent, settings, labels, test), accuracy(child, settings, labels, test), took


def few(part: str, labels: tuple[str, ...], n: int, chance: np.random.Generator) -> tuple[Example, ...]:
    """Return n random rows of each label."""
    found = [row for row in rows(part) if row.reference in labels]
    order = [found[place] for place in chance.permutation(len(found))]
    return tuple(row for label in labels for row in [each for each in order if each.reference == label][:n])


def accuracy(made: Path, settings: encoder.Settings, labels: tuple[str, ...], test: list[Example]) -> float:
    """Return a candidate's accuracy in percent."""
    candidate = Candidate("encoder", "encoder", "classify", labels, msgspec.to_builtins(settings))
    said = encoder.KIND.load(candidate, made, ()).answer([Request(row.input) for row in test])
    return 100 * mean(answer.output == row.reference for answer, row in zip(said, test, strict=True))


if __name__ == "__main__":
    main()
