"""The search over settings: optuna over the real trainer of features, with real trees that grow and are looked at."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from feature_scene import load, materials, right, rows_of

from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.progress import silent
from lifeloop.core.training_record import TrainingRecord
from lifeloop.models.feature_settings import Settings
from lifeloop.training.features import TRAINER, FeaturesTrainer
from lifeloop.training.finetune import Settings as FinetuneSettings
from lifeloop.training.record import load_record
from lifeloop.training.search import searched
from lifeloop.training.search_ranges import Between, OneOf, plan_of
from lifeloop.training.trainer import Decided, Materials

WHERE = "candidates.one.search"
TOPICS = {
    "billing": ["refund my invoice", "the invoice is wrong", "charge on my card", "pay the bill", "a bill came twice"],
    "delivery": ["where is my parcel", "the parcel is late", "deliver on monday", "courier lost it", "parcel came wet"],
    "greeting": ["hello there", "good morning", "hi and hello", "good evening", "hello to you"],
}
TRAIN = rows_of(TOPICS) * 4
VALIDATION = [
    *[(f"{text} please", label, {}) for text, label, _ in rows_of(TOPICS)],
    ("hello, my bill", "billing", {}),
    ("good courier", "delivery", {}),
]
TREES = {"head": "boosting", "min_examples": 1, "trees": 60, "select": 60, "char_ngrams": [0, 0]}


class Counting(FeaturesTrainer):
    """The real trainer, which keeps the settings that it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Settings] = []

    def build(self, materials: Materials, folder: Path, progress) -> Decided:
        self.asked.append(materials.settings)
        return super().build(materials, folder, progress)


def search(given: Materials, table: dict, folder: Path, trainer=TRAINER, progress=silent, **more) -> Decided:
    folder.mkdir(parents=True)
    return searched(trainer, given, table, WHERE, folder, progress, **more)


def record_of(folder: Path) -> TrainingRecord:
    found = load_record(folder)
    assert found is not None
    return found


# what is found


def test_the_briefs_own_settings_come_first_and_nothing_worse_is_kept(tmp_path):
    trainer, given = Counting(), materials({"c": 1e-6, "min_examples": 1}, TRAIN, VALIDATION)
    decided = search(given, {"c": {"low": 1e-4, "high": 10, "log": True}, "trials": 5}, tmp_path / "one", trainer)
    record = record_of(tmp_path / "one")
    assert trainer.asked[0] == given.settings
    assert len(trainer.asked) == len(record.search) == 5
    assert record.search[0].settings == {"c": 1e-6}
    assert decided.score == max(row.score for row in record.search) >= record.search[0].score
    best = next(row for row in record.search if row.score == decided.score)
    assert decided.settings == ({} if best is record.search[0] else best.settings)
    kept = msgspec.structs.replace(given, settings=msgspec.structs.replace(given.settings, **decided.settings))
    assert right(load(kept, tmp_path / "one"), VALIDATION) == decided.score


def test_where_nothing_is_better_the_own_settings_stay(tmp_path):
    given = materials({"c": 1.0, "min_examples": 1}, TRAIN, TRAIN)
    decided = search(given, {"c": [1.0, 1e-7], "trials": 8}, tmp_path / "one")
    record = record_of(tmp_path / "one")
    assert decided.settings == {}
    assert [row.settings["c"] for row in record.search] == [1.0, 1e-7]
    assert "nothing else to try" in record.events[-1]


def test_several_kinds_of_range_at_once_stay_within_bounds(tmp_path):
    trainer, given = Counting(), materials({"min_examples": 1}, TRAIN, VALIDATION)
    table = {
        "c": {"low": 0.1, "high": 1},
        "min_examples": {"low": 1, "high": 3},
        "word_ngrams": [[1, 1], [1, 3]],
        "statistics": [True, False],
        "trials": 6,
    }
    search(given, table, tmp_path / "one", trainer)
    assert len({msgspec.json.encode(settings) for settings in trainer.asked}) == 6
    for settings in trainer.asked[1:]:
        assert 0.1 <= settings.c <= 1
        assert settings.min_examples in (1, 2, 3)
        assert settings.word_ngrams in ((1, 1), (1, 3))


def test_an_adaptations_settings_are_none_of_the_candidates(tmp_path):
    class Adapting(Counting):
        settings = Settings

    decided = search(materials({"c": 1e-6}, TRAIN, VALIDATION), {"c": [1.0]}, tmp_path / "one", Adapting())
    assert decided.settings == {}
    assert record_of(tmp_path / "one").settings == {"c": 1.0}


# losers


def test_a_loser_is_given_up_before_its_end(tmp_path):
    given = materials(TREES, TRAIN * 4, VALIDATION)
    table = {"select": [60, 50, 40, 2, 1], "trials": 5}
    notes: list[str] = []
    decided = search(given, table, tmp_path / "one", progress=lambda done, total, note: notes.append(note))
    record = record_of(tmp_path / "one")
    stopped = [row for row in record.search if row.stopped]
    assert stopped
    assert all(row.score is None for row in stopped)
    assert decided.score == max(row.score for row in record.search if row.score is not None)
    assert f"{len(stopped)} stopped early" in record.events[-1]
    assert any(note.startswith("trial 2 of 5 (select ") for note in notes)


def test_a_trial_that_cannot_be_made_costs_only_itself(tmp_path):
    (tmp_path / "own.py").write_text("def bad(texts):\n    raise OSError\ndef f(texts):\n    return [0] * len(texts)\n")
    given = materials({"min_examples": 1, "engineered": ["own.py:f"]}, TRAIN, VALIDATION, project=tmp_path)
    search(given, {"engineered": [["own.py:f"], ["own.py:bad"]]}, tmp_path / "one")
    assert [row.score is None for row in record_of(tmp_path / "one").search] == [False, True]
    all_bad = materials({"engineered": ["own.py:bad"]}, TRAIN, VALIDATION, project=tmp_path)
    with pytest.raises(ModelError, match="none of 1 trials"):
        search(all_bad, {"c": [1.0], "trials": 1}, tmp_path / "two")


def test_a_trainer_that_does_not_say_how_good_it_is_cannot_be_searched(tmp_path):
    with pytest.raises(ModelError, match="does not say how good") as error:
        search(materials({}, TRAIN), {"c": [1.0]}, tmp_path / "one")
    assert error.value.where == WHERE


# time


def test_no_trial_begins_that_would_not_end_in_time(tmp_path):
    now = [0.0]

    class Slow(Counting):
        def build(self, materials: Materials, folder: Path, progress) -> Decided:
            now[0] += 100
            return super().build(materials, folder, progress)

    trainer, given = Slow(), materials({"min_examples": 1}, TRAIN, VALIDATION)
    table = {"c": {"low": 0.1, "high": 1.0}, "trials": 9, "minutes": 6}
    search(given, table, tmp_path / "one", trainer, clock=lambda: now[0])
    assert len(trainer.asked) == 3  # 300 of 360 seconds; a fourth would end at 400
    assert "no room" in record_of(tmp_path / "one").events[-1]


# kills

KILLED = """
import os, signal, sys
sys.path.insert(0, {models!r}); sys.path.insert(0, {here!r})
from pathlib import Path
from test_search import TABLE, given, search
def progress(done, total, note):
    if note.startswith("trial 3") and "head" in note:
        os.kill(os.getpid(), signal.SIGKILL)
search(given(Path({scratch!r})), TABLE, Path({folder!r}), progress=progress)
"""
TABLE = {"c": {"low": 1e-4, "high": 10.0, "log": True}, "trials": 4}


def given(scratch: Path | None) -> Materials:
    return materials({"min_examples": 1, "c": 0.01}, TRAIN, VALIDATION, scratch=scratch)


def test_a_search_that_was_killed_goes_on_and_comes_to_the_same_end(tmp_path):
    here = Path(__file__).parent
    script = KILLED.format(
        models=str(here.parent / "models"), here=str(here), scratch=str(tmp_path / "kept"), folder=str(tmp_path / "no")
    )
    ended = subprocess.run([sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=False)
    assert ended.returncode == -9, ended.stderr

    trainer = Counting()
    decided = search(given(tmp_path / "kept"), TABLE, tmp_path / "resumed", trainer)
    assert len(trainer.asked) == 2
    assert decided == search(given(None), TABLE, tmp_path / "undisturbed")
    files = [
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (tmp_path / "resumed", tmp_path / "undisturbed")
    ]
    assert files[0] == files[1]


def test_a_search_over_lists_that_was_killed_tries_the_same_as_one_that_was_not(tmp_path):
    class Killed(Counting):
        def build(self, materials: Materials, folder: Path, progress) -> Decided:
            if len(self.asked) == 5:
                raise KeyboardInterrupt
            return super().build(materials, folder, progress)

    table = {
        "word_ngrams": [[1, 1], [1, 2], [1, 3], [2, 3]],
        "lexicons": [{}, {"a": ["refund"]}, {"a": ["hello"], "b": ["bill"]}],
        "c": {"low": 1e-3, "high": 10.0, "log": True},
        "trials": 8,
    }
    before, after, undisturbed = Killed(), Counting(), Counting()
    with pytest.raises(KeyboardInterrupt):
        search(given(tmp_path / "kept"), table, tmp_path / "no", before)
    decided = search(given(tmp_path / "kept"), table, tmp_path / "resumed", after)
    assert decided == search(given(None), table, tmp_path / "undisturbed", undisturbed)
    assert before.asked + after.asked == undisturbed.asked
    assert len({msgspec.json.encode(settings) for settings in undisturbed.asked}) == 8


def test_another_plan_begins_anew_in_the_same_scratch_folder(tmp_path):
    search(given(tmp_path / "kept"), {"c": [1.0], "trials": 2}, tmp_path / "one")
    trainer = Counting()
    search(given(tmp_path / "kept"), {"c": [2.0], "trials": 2}, tmp_path / "two", trainer)
    assert len(trainer.asked) == 2


# the table


def test_a_range_is_of_the_kind_that_the_setting_is():
    plan = plan_of(
        {"learning_rate": {"low": 1e-5, "high": 1, "log": True}, "epochs": {"low": 1, "high": 4}},
        FinetuneSettings,
        WHERE,
    )
    assert plan.ranges["learning_rate"] == Between(1e-5, 1.0, log=True)
    assert plan.ranges["epochs"] == Between(1, 4, whole=True)
    assert (plan.trials, plan.minutes) == (8, 0.0)
    assert plan_of({"batch": [8, 16], "trials": 3}, FinetuneSettings, WHERE).ranges == {"batch": OneOf((8, 16))}


@pytest.mark.parametrize(
    ("table", "key", "what"),
    [
        ({"ce": [1.0]}, ".ce", "no such setting"),
        ({"c": 1.0}, ".c", "neither a range nor a list"),
        ({"c": []}, ".c", "empty"),
        ({"c": ["much"]}, ".c", "does not take"),
        ({"c": {"low": -1, "high": 1}}, ".c.low", "does not take"),
        ({"c": {"low": 2, "high": 1}}, ".c", "not below"),
        ({"c": {"low": 1}}, ".c", "missing required field `high`"),
        ({"c": {"low": 1, "high": 2, "step": 1}}, ".c", "unknown field `step`"),
        ({"c": {"low": 1, "high": math.inf}}, ".c.high", "bounds nothing"),
        ({"c": {"low": math.nan, "high": 1}}, ".c.low", "bounds nothing"),
        ({"c": [1.0, math.nan]}, ".c", "no finite number"),
        ({"select": {"low": 0, "high": 9, "log": True}}, ".select.low", "above 0"),
        ({"select": {"low": 0, "high": 9.5}}, ".select.high", "does not take"),
        ({"statistics": {"low": 0, "high": 1}}, ".statistics", "no number"),
        ({"c": [1.0], "trials": 0}, ".trials", "expected"),
        ({"c": [1.0], "minutes": -1}, ".minutes", "expected"),
        ({"trials": 3}, "", "nothing to search"),
        (["c"], "", "not a table"),
    ],
)
def test_a_table_that_cannot_be_searched_is_refused_and_the_key_named(table, key, what):
    with pytest.raises(BriefError, match=what) as error:
        plan_of(table, Settings, WHERE)
    assert error.value.where == f"lifeloop.toml: {WHERE}{key}"
    assert error.value.fix


# an adaptation


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small matrices on several threads wait for each other more than they work."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_fine_tuning_is_searched_and_its_losers_are_given_up(tmp_path):
    import tiny_encoder

    from lifeloop.models import encoder
    from lifeloop.training.encoder_head import TRAINER as HEAD
    from lifeloop.training.finetune import TRAINER as FINETUNE

    base = tiny_encoder.make_encoder(tmp_path / "base")
    of_parent = encoder.Settings(model=str(base), max_tokens=32)
    (tmp_path / "parent").mkdir()
    HEAD.build(tiny_encoder.materials(of_parent), tmp_path / "parent", silent)
    own = FINETUNE.settings(epochs=3, batch=8, learning_rate=3e-3, average=0.9, hidden=0.0, shares=(1.0,))
    given = tiny_encoder.materials(
        own,
        parent=tmp_path / "parent",
        parent_settings=msgspec.to_builtins(of_parent),
        parent_kind="encoder",
        scratch=tmp_path / "kept",
    )
    table = {"learning_rate": [3e-3, 2e-3, 2.0, 1.0], "trials": 4}
    decided = search(given, table, tmp_path / "child", FINETUNE)
    record = record_of(tmp_path / "child")
    assert decided.score > 0.9
    assert "learning_rate" not in decided.settings
    assert [row.stopped for row in record.search if row.settings["learning_rate"] >= 1.0].count(True) >= 1
    assert record.curve
    assert "searched learning_rate: 4 trials" in record.events[-1]
    assert (tmp_path / "child" / encoder.TUNED / "model.safetensors").exists()
