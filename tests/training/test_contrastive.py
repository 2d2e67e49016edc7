"""Contrastive tuning: fair pairs, a head that is better than over the encoder as it was, and nothing lost by a kill."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_encoder import LABELS, make_encoder, materials, texts

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.models import encoder
from lifeloop.training.contrastive import TRAINER, draw_pairs
from lifeloop.training.encoder_head import TRAINER as HEAD
from lifeloop.training.record import load_record
from lifeloop.training.trainer import Decided

NEEDED = ("torch", "sentence_transformers")
needs_libraries = pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"{', '.join(NEEDED)} are not installed")

FEW = texts(4)


@settings(max_examples=40, deadline=None)
@given(truth=st.lists(st.integers(0, 4), min_size=2, max_size=40), pairs=st.sampled_from([2, 4, 8]))
def test_pairs_are_alike_as_they_say_and_never_a_text_with_itself(truth, pairs):
    places = np.array(truth)
    vectors = np.eye(len(truth), 7, dtype=np.float32) + 0.1
    one, other, alike = draw_pairs(places, vectors, TRAINER.settings(pairs=pairs), seed=1)
    assert np.array_equal(alike, (places[one] == places[other]).astype(np.float32))
    assert not np.any(one == other)
    with_twin = sum(truth.count(label) > 1 for label in truth)
    with_other = sum(truth.count(label) < len(truth) for label in truth)
    assert alike.sum() == with_twin * pairs // 2
    assert (1 - alike).sum() == with_other * pairs // 2
    again = draw_pairs(places, vectors, TRAINER.settings(pairs=pairs), seed=1)
    assert all(map(np.array_equal, again, (one, other, alike)))


def test_hard_pairs_are_with_the_nearest_of_other_labels():
    places = np.repeat([0, 1, 2], 30)
    angle = np.concatenate([np.full(30, 0.0), np.full(30, 0.1), np.full(30, 3.0)])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    one, other, alike = draw_pairs(places, vectors, TRAINER.settings(pairs=4, hard=1.0), seed=0)
    of_first = (places[one] == 0) & (alike == 0)
    assert set(places[other[of_first]]) == {1}


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """So small a network is slower on two threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory, one_thread) -> tuple[Path, dict[str, Any]]:
    base = make_encoder(tmp_path_factory.mktemp("base"))
    folder = tmp_path_factory.mktemp("parent")
    of_parent = encoder.Settings(model=str(base), max_tokens=32)
    HEAD.build(materials(of_parent, train=FEW), folder, silent)
    return folder, msgspec.to_builtins(of_parent)


def tuned(folder: Path, parent: tuple[Path, dict[str, Any]], rule: Any, **changes: Any) -> Decided:
    folder.mkdir()
    given = materials(
        rule, parent=parent[0], parent_settings=parent[1], parent_kind="encoder", **{"train": FEW, **changes}
    )
    return TRAINER.build(given, folder, silent)


def accuracy(folder: Path, of_parent: dict[str, Any]) -> float:
    model = encoder.KIND.load(Candidate("e", "encoder", "classify", LABELS, of_parent), folder, ())
    test = texts(20, offset=50)
    said = model.answer([Request(row.input) for row in test])
    return sum(answer.output == row.reference for answer, row in zip(said, test, strict=True)) / len(test)


@needs_libraries
def test_of_four_texts_a_label_it_learns_more_than_a_head_alone(tmp_path, parent):
    seen = []
    rule = TRAINER.settings(pairs=16, batch=16, learning_rate=3e-3)
    decided = tuned(tmp_path / "child", parent, rule, watch=lambda step, score: seen.append((step, score)))
    assert accuracy(tmp_path / "child", parent[1]) > accuracy(parent[0], parent[1])
    record = load_record(tmp_path / "child")
    assert record.method == "contrastive (192 pairs)"
    assert [point.step for point in record.curve if point.score is not None] == [step for step, _ in seen]
    assert decided.score is not None
    assert "of the way from the parent's weights" in record.events[-1]


@needs_libraries
def test_no_two_texts_of_a_label_are_refused_in_words(tmp_path, parent):
    with pytest.raises(ModelError, match="no two training examples share a label"):
        tuned(tmp_path / "child", parent, TRAINER.settings(), train=texts(1))
