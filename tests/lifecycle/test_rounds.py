"""The rounds of a race over answers that are known: a real ledger and vault, and candidates that answer at once."""

import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "stages"))
from verdict_scene import a_trial, share

from lifeloop import plugins
from lifeloop.comparison.compare import ComparisonOrder
from lifeloop.core.brief import Objective
from lifeloop.core.candidates import Answer, Candidate
from lifeloop.core.data import SPLITS, Dataset, Example
from lifeloop.core.evidence import Trial
from lifeloop.lifecycle.racing import Field, Track, race_to_the_end
from lifeloop.lifecycle.runner import Done, Notice, Runner
from lifeloop.stages.explore import Terms
from lifeloop.stages.race import rounds
from lifeloop.store.ledger import open_ledger
from lifeloop.store.tables import answers_to_table, examples_to_table, to_parquet
from lifeloop.store.training_data import sample
from lifeloop.store.vault import Vault

N = 400
EXAMPLES = [Example(id=f"e{n}", input=f"text {n}", reference="yes", group=f"e{n}") for n in range(N)]
ACCURACY = Objective("accuracy", target=0.5)


class Ground:
    """A vault with a dataset, a ledger, and candidates that are right as often as one says."""

    def __init__(self, folder: Path, rates: dict[str, float], fails: dict[str, int]) -> None:
        self.vault = Vault(str(folder / "vault"), cache=folder / "cache")
        table = self.vault.put(to_parquet(examples_to_table(EXAMPLES)))
        dataset = Dataset(dict.fromkeys(SPLITS, (table,)), dict.fromkeys(SPLITS, N), ("no", "yes"), "")
        self.dataset = self.vault.put_value(dataset)
        self.ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
        self.notices: list[Notice] = []
        self.runner = Runner(self.ledger, self.vault, 1, self.notices.append, time.time)
        chance = np.random.default_rng(5)
        self.right = {name: chance.random(N) < rate for name, rate in rates.items()}
        self.fails = fails
        self.field = Field()
        self.asked: list[tuple[str, int]] = []
        for name in rates:
            candidate = Candidate(name, "majority", "classify", ("no", "yes"), {})
            self.field.made[name] = self.vault.put_value(candidate)

    def attempt(self, name: str, n_items: int) -> None:
        self.asked.append((name, n_items))
        if n_items > self.fails.get(name, N):
            self.field.failures[name] = "its endpoint is gone"
            return
        chosen = sample(EXAMPLES, n_items if n_items < N else 0, 0)
        places = [int(example.id[1:]) for example in chosen]
        answers = [Answer("yes" if self.right[name][place] else "no") for place in places]
        trial: Trial = a_trial(
            name,
            share("accuracy", int(self.right[name][places].sum()), len(chosen)),
            candidate=self.field.made[name],
            dataset=self.dataset,
            split="validation",
            n_items=len(chosen),
            answers=self.vault.put(to_parquet(answers_to_table([each.id for each in chosen], answers))),
        )
        self.field.tried[name] = Done(trial, self.vault.put_value(trial), 0.0, fresh=True)

    def race(self, baseline: str = "", direction: str = "max") -> None:
        track = Track(
            metrics=plugins.get("tasks", "classify").metrics,
            fingerprints={},
            terms=Terms((ACCURACY,), {"accuracy": direction}, 0.01, "", self.field.made.get(baseline, "")),
            order=ComparisonOrder(0.95, "", 0),
            n_items=N,
        )
        race_to_the_end(self.runner, self.field, track, self.attempt)

    def n_items(self) -> dict[str, int]:
        return {name: done.value.n_items for name, done in self.field.tried.items()}


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[object]:
    with contextlib.ExitStack() as stack:

        def made(fails: dict[str, int] | None = None, first: int = rounds(N)[0], **rates: float) -> Ground:
            found = Ground(tmp_path, rates, fails or {})
            stack.callback(found.ledger.close)
            for name in rates:
                found.attempt(name, first)
            return found

        yield made


def test_a_race_brings_everybody_to_the_end_or_leaves_them_out(ground):
    scene = ground(good=0.9, near=0.9, fair=0.7, bad=0.3)
    scene.race()

    assert set(scene.field.out) == {"fair", "bad"}
    assert scene.n_items()["good"] == scene.n_items()["near"] == N
    assert scene.n_items()["bad"] == 50 < N
    assert scene.field.out["bad"].n_items == 50
    assert scene.field.out["bad"].leader in ("good", "near")
    assert not scene.field.behind(N)
    assert next(notice.subject for notice in scene.notices if notice.kind == "done") == "race 50 of 400"


def test_the_same_answers_decide_alike_and_a_second_race_reads_the_ledger(ground):
    scene = ground(good=0.9, near=0.9, fair=0.7, bad=0.3)
    scene.race()
    out, asked = scene.field.out, len(scene.asked)
    scene.field.out = {}
    for name in scene.field.made:
        scene.attempt(name, 50)
    scene.notices.clear()

    scene.race()

    assert scene.field.out == out
    assert {notice.kind for notice in scene.notices} == {"kept"}
    assert len(scene.asked) == 2 * asked


def test_where_only_the_leader_is_left_it_goes_to_the_end_at_once(ground):
    scene = ground(good=0.95, bad=0.1)
    scene.race()

    assert scene.asked == [("good", 50), ("bad", 50), ("good", N)]


def test_whom_a_leader_left_out_comes_back_when_it_fails(ground):
    scene = ground(good=0.95, fair=0.6, bad=0.1, fails={"good": 60})
    scene.race()

    assert set(scene.field.failures) == {"good"}
    assert scene.n_items()["fair"] == N and "fair" not in scene.field.out
    assert (scene.field.out["bad"].leader, scene.field.out["bad"].n_items) == ("fair", 100)
    standing = scene.field.standing("good")
    assert (standing.trial, standing.failure) == (None, "its endpoint is gone")


def test_the_baseline_may_be_left_out_and_leaves_out_nobody(ground):
    scene = ground(floor=0.95, new=0.4, newer=0.42)
    scene.race(baseline="floor")

    assert scene.field.out == {}, "somebody has to stand for challenger"
    assert set(scene.n_items().values()) == {N}


def test_where_less_is_better_the_least_leads(ground):
    scene = ground(good=0.1, bad=0.9)
    scene.race(direction="min")

    assert set(scene.field.out) == {"bad"}
    out = scene.field.out["bad"]
    assert out.low < out.difference < out.high < -0.01, "turned so that less is worse"


def test_who_was_tried_in_full_may_lead_and_is_not_tried_again(ground):
    scene = ground(good=0.9, bad=0.2)
    scene.attempt("good", N)
    scene.asked.clear()
    scene.race()

    assert scene.asked == []
    assert scene.field.out["bad"].leader == "good"
    assert scene.field.out["bad"].n_items == 50
    assert msgspec.json.encode(scene.field.standing("bad"))
