"""Tuning an encoder: what it learns, when it stops, and that neither a kill nor little memory changes what it gives."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from tiny_encoder import LABELS, make_encoder, materials, texts

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.progress import silent
from lifeloop.models import encoder, linear
from lifeloop.training import encoder_loop, encoder_pace
from lifeloop.training.encoder_head import TRAINER as HEAD
from lifeloop.training.finetune import TRAINER
from lifeloop.training.record import load_record
from lifeloop.training.trainer import Decided, Outdone

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """So small a network is slower on two threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


QUICK = TRAINER.settings(epochs=3, batch=8, learning_rate=3e-3, average=0.9, hidden=0.0, shares=(1.0,))


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the files and the settings of a candidate with a small random encoder under a fitted head."""
    base = make_encoder(tmp_path_factory.mktemp("base"))
    folder = tmp_path_factory.mktemp("parent")
    settings = encoder.Settings(model=str(base), max_tokens=32)
    HEAD.build(materials(settings), folder, silent)
    return folder, msgspec.to_builtins(settings)


def tuned(folder: Path, parent: tuple[Path, dict[str, Any]], settings: Any = QUICK, **changes: Any) -> Decided:
    folder.mkdir()
    files, of_parent = parent
    given = materials(settings, parent=files, parent_settings=of_parent, parent_kind="encoder", **changes)
    return TRAINER.build(given, folder, silent)


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return {**load_file(folder / encoder.TUNED / "model.safetensors"), "head": linear.load_head(folder)[0]}


def far_apart(one: Path, other: Path) -> float:
    first, second = weights_of(one), weights_of(other)
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


def test_it_learns_what_its_parent_did_not_know_and_keeps_a_record(tmp_path, parent):
    decided = tuned(tmp_path / "child", parent)

    record = load_record(tmp_path / "child")
    assert decided.score == pytest.approx(max(point.score for point in record.curve), abs=0.06)
    assert decided.score > 0.9
    assert [point.step for point in record.curve] == [9, 18, 27]
    assert record.curve[-1].loss < record.curve[0].loss
    assert record.best_step in (9, 18, 27)
    assert record.n_examples == 72
    assert record.settings["learning_rate"] == 3e-3

    candidate = Candidate("e", "encoder", "classify", LABELS, parent[1])
    answers = encoder.KIND.load(candidate, tmp_path / "child", ()).answer([Request("my courier please")])
    assert answers[0].output == "delivery"


def test_validation_is_told_to_whoever_watches_and_who_gives_up_is_heard(tmp_path, parent):
    seen = []
    tuned(tmp_path / "watched", parent, watch=lambda step, score: seen.append((step, score)))
    assert [step for step, _ in seen] == [9, 18, 27]
    assert all(0 <= score <= 1 for _, score in seen)

    def give_up(step: int, score: float) -> None:
        raise Outdone

    with pytest.raises(Outdone):
        tuned(tmp_path / "outdone", parent, watch=give_up)


def test_it_stops_when_validation_gets_no_better_and_keeps_the_best_pass(tmp_path, parent):
    ruinous = msgspec.structs.replace(QUICK, epochs=12, learning_rate=0.0, head_learning_rate=0.0, patience=2)
    tuned(tmp_path / "child", parent, ruinous)
    record = load_record(tmp_path / "child")
    assert len(record.curve) == 3  # nothing changes: the first is the best, and two more are waited for
    assert record.best_step == 9
    assert "stopped after pass 3 of 12" in record.events[0]


class Killed(Exception):
    """The process was killed here."""


@pytest.mark.parametrize("at", [5, 9, 14])
def test_killed_at_any_step_and_resumed_it_gives_the_same_weights(tmp_path, parent, monkeypatch, at):
    monkeypatch.setattr(encoder_loop, "CHECKPOINT_STEPS", 4)
    tuned(tmp_path / "whole", parent, scratch=tmp_path / "of the whole")
    real = encoder_loop._step

    def step(encoder, head, work, moving, place, batch):
        if place.step == at:
            raise Killed
        return real(encoder, head, work, moving, place, batch)

    monkeypatch.setattr(encoder_loop, "_step", step)
    with pytest.raises(Killed):
        tuned(tmp_path / "killed", parent, scratch=tmp_path / "scratch")
    monkeypatch.setattr(encoder_loop, "_step", real)
    tuned(tmp_path / "resumed", parent, scratch=tmp_path / "scratch")

    assert far_apart(tmp_path / "whole", tmp_path / "resumed") < 1e-6
    before, after = (load_record(tmp_path / name) for name in ("whole", "resumed"))
    assert after.curve == before.curve
    assert f"resumed at step {at // 4 * 4 if at != 9 else 9} of 27" in after.events


def test_too_little_memory_halves_the_batch_and_changes_little_else(tmp_path, parent, monkeypatch):
    from lifeloop.models.transformers_encoder import SentenceEncoder

    still = msgspec.structs.replace(QUICK, epochs=1)
    monkeypatch.setattr(SentenceEncoder, "__init__", without_dropout(SentenceEncoder.__init__))
    monkeypatch.setattr(encoder_pace, "cpu_has_bfloat16", lambda: False)  # it would round parts and wholes differently
    tuned(tmp_path / "roomy", parent, still)
    real = SentenceEncoder.vectors_of

    def vectors_of(self, ids, mask):
        if self.body.training and len(ids) > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return real(self, ids, mask)

    monkeypatch.setattr(SentenceEncoder, "vectors_of", vectors_of)
    tuned(tmp_path / "tight", parent, still)
    events = load_record(tmp_path / "tight").events
    assert [event.partition(":")[0] for event in events] == ["out of memory at step 1"] * 2
    assert "4 parts" in events[-1]
    assert far_apart(tmp_path / "roomy", tmp_path / "tight") < 1e-2

    def nothing_fits(self, ids, mask):
        raise MemoryError

    monkeypatch.setattr(SentenceEncoder, "vectors_of", nothing_fits)
    with pytest.raises(ModelError, match="one text at a time"):
        tuned(tmp_path / "none", parent, still)


def without_dropout(init: Any) -> Any:
    import torch

    def opened(self: Any, *arguments: Any) -> None:
        init(self, *arguments)
        for part in self.body.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
            if hasattr(part, "dropout_prob"):
                part.dropout_prob = 0.0
        self.body.config.attention_probs_dropout_prob = 0.0

    return opened


def test_balanced_classes_count_a_rare_label_as_much_as_a_common_one(tmp_path, parent):
    labels = ["billing"] * 40 + ["greeting"] * 4
    contested = [Example(f"{n}", "please now", label, "") for n, label in enumerate(labels)]
    train = (*contested, *texts(20, labels=("delivery",)))
    chances = []
    for name in ("none", "balanced"):
        settings = msgspec.structs.replace(QUICK, epochs=20, batch=64, class_weights=name)
        tuned(tmp_path / name, parent, settings, train=train, validation=())
        candidate = Candidate("e", "encoder", "classify", LABELS, parent[1])
        (found,) = encoder.KIND.load(candidate, tmp_path / name, ()).probabilities([Request("please now")])
        chances.append(float(found[LABELS.index("greeting")]))
    assert chances[0] < 0.25
    assert chances[1] > 0.3


def test_training_that_diverges_is_stopped_and_says_what_to_lower(tmp_path, parent):
    wild = msgspec.structs.replace(QUICK, learning_rate=1e12, head_learning_rate=1e30)
    with pytest.raises(ModelError, match=r"diverged: the loss of step \d+ is (nan|inf)") as caught:
        tuned(tmp_path / "made", parent, wild)
    assert "learning_rate" in caught.value.fix
    assert not (tmp_path / "made" / encoder.TUNED).exists()


def test_without_validation_the_last_pass_is_kept_and_there_is_no_score(tmp_path, parent):
    assert tuned(tmp_path / "child", parent, validation=()).score is None
    assert load_record(tmp_path / "child").best_step == 27


def test_a_parent_that_is_no_encoder_is_refused_in_words(tmp_path, parent):
    with pytest.raises(ModelError, match="its parent is no encoder"):
        tuned(tmp_path / "child", (parent[0], {}))


def test_settings_that_make_no_sense_are_refused_by_name():
    from lifeloop.core.brief import convert_settings

    for table in ({"class_weights": "heavy"}, {"epochs": 0}):
        with pytest.raises(BriefError) as caught:
            convert_settings(table, TRAINER.settings, "candidates.tuned", "lifeloop.toml")
        assert next(iter(table)) in str(caught.value)


@pytest.mark.slow
def test_a_process_that_is_killed_for_good_is_taken_up_where_it_was(tmp_path, parent):
    script = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
from pathlib import Path
from tiny_encoder import materials
from lifeloop.training.finetune import TRAINER
torch.set_num_threads(1)
def progress(done, total, note):
    if done == 13:
        os.kill(os.getpid(), signal.SIGKILL)
settings = TRAINER.settings(epochs=3, batch=8, learning_rate=3e-3)
place = Path({str(tmp_path)!r})
given = materials(settings, parent=Path({str(parent[0])!r}), parent_settings={parent[1]!r}, scratch=place)
(place / "killed").mkdir()
TRAINER.build(given, place / "killed", progress)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    rule = TRAINER.settings(epochs=3, batch=8, learning_rate=3e-3)
    tuned(tmp_path / "whole", parent, rule)
    tuned(tmp_path / "resumed", parent, rule, scratch=tmp_path)
    assert far_apart(tmp_path / "whole", tmp_path / "resumed") < 1e-6
    assert "resumed at step 9 of 27" in load_record(tmp_path / "resumed").events
