"""Fits blocks of features and the head that reads them, and its temperature on validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.models import linear
from lifeloop.models.boosted import trees_of
from lifeloop.models.feature_blocks.block import Block, Fitting, Matrix
from lifeloop.models.feature_blocks.blocks import dense, side_by_side, wanted
from lifeloop.models.feature_blocks.ngrams import NgramBlock
from lifeloop.models.feature_settings import Settings
from lifeloop.models.features import Boosting, Head, Linear
from lifeloop.tasks.chat import request_for
from lifeloop.training.calibration import temperature
from lifeloop.training.encoder_score import score_of
from lifeloop.training.feature_selection import best_columns
from lifeloop.training.trainer import Decided, Materials

TREES_READ = 500
"""N-grams that boosted trees read where `select` says nothing: they look at every one for every split."""
SMALL = 1_000_000
"""Numbers in a table below which threads that grow a tree together wait for each other more than they work."""
LOOK = 20
"""Rounds of boosting between two looks at validation."""


class FeaturesTrainer:
    """Trainer of kind "features"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the blocks and the head."""
        settings = _complete(materials.settings)
        blocks, features = _fit_blocks(materials, settings, progress)
        progress(2, 3, "fitting the head")
        held_out = _held_out(materials, blocks)
        head = _fit_head(materials, settings, features, held_out)
        heat, score = 1.0, None
        if held_out is not None:
            logits = head.logits(held_out.features)
            heat, score = temperature(logits, held_out.truth), held_out.score(logits)
        for block in blocks:
            block.save(folder)
        if isinstance(head, Boosting):
            head.trees.cooled(heat).save(folder)
        else:
            linear.save_head(folder, head.weights / heat, head.bias / heat)
        return Decided(score=score)


class HeldOut(Struct, frozen=True):
    """The validation examples whose label is known."""

    materials: Materials
    examples: list[Example]
    truth: NDArray[np.intp]
    features: Matrix

    def score(self, logits: NDArray[np.float32]) -> float:
        """Return how good logits (n, n_labels) are by the brief's metric; more is better."""
        return score_of(self.materials, self.examples, linear.answers(linear.softmax(logits), self.materials.labels))


def _held_out(materials: Materials, blocks: Sequence[Block]) -> HeldOut | None:
    """Return what there is to see on validation, or None where there is nothing."""
    examples, truth = known(materials.validation, materials.labels)
    if not examples:
        return None
    requests = [request_for(materials.task, example.input, example.slices) for example in examples]
    return HeldOut(materials, examples, truth, side_by_side([block.transform(requests) for block in blocks]))


def _complete(settings: Settings) -> Settings:
    """Return settings with what boosted trees want."""
    if settings.head == "boosting" and not settings.select:
        return msgspec.structs.replace(settings, select=TREES_READ)
    return settings


def _fit_blocks(materials: Materials, settings: Settings, progress: Progress) -> tuple[list[Block], Matrix]:
    """Return the fitted blocks, and what they compute of the training examples; ModelError where that is nothing."""
    requests = [request_for(materials.task, example.input, example.slices) for example in materials.train]
    fitting = Fitting(requests, settings, materials.project, progress)
    blocks, matrices = [], []
    for kind in wanted(settings):
        progress(min(len(blocks), 1), 3, f"computing {kind.name} features")
        if (found := kind.fit(fitting)) is not None:
            blocks.append(found[0])
            matrices.append(found[1])
    if not blocks:
        names = " and ".join(kind.name for kind in wanted(settings))
        what = f"no training text has anything that {names} features count"
        raise ModelError(what, where="candidates", fix="add char_ngrams, or statistics = true")
    if settings.select:
        progress(1, 3, f"selecting {settings.select:,} n-grams")
        truth = np.array([example.reference for example in materials.train])
        blocks, matrices = _narrowed(blocks, matrices, truth, fitting, materials.seed)
    return blocks, side_by_side(matrices)


def _narrowed(
    blocks: Sequence[Block], matrices: Sequence[Matrix], truth: NDArray[np.str_], fitting: Fitting, seed: int
) -> tuple[list[Block], list[Matrix]]:
    """Return the blocks with only the n-grams that tell labels apart best; other blocks are few numbers, and stay."""
    counted = [matrix for block, matrix in zip(blocks, matrices, strict=True) if isinstance(block, NgramBlock)]
    if not counted:
        return list(blocks), list(matrices)
    best = best_columns(side_by_side(counted), truth, fitting.settings, seed)
    kept_blocks, kept_matrices, begin = [], [], 0
    for block, matrix in zip(blocks, matrices, strict=True):
        if not isinstance(block, NgramBlock):
            kept_blocks.append(block)
            kept_matrices.append(matrix)
            continue
        own = best[(best >= begin) & (best < begin + matrix.shape[1])] - begin
        begin += matrix.shape[1]
        if len(own):
            narrow = block.restricted(own)
            kept_blocks.append(narrow)
            kept_matrices.append(narrow.transform(fitting.requests))  # rows are of unit length again
    return kept_blocks, kept_matrices


def _fit_head(materials: Materials, settings: Settings, features: Matrix, held_out: HeldOut | None) -> Head:
    references = [example.reference for example in materials.train]
    if settings.head == "boosting":
        return _boosted(materials, settings, features, held_out)
    # A linear SVM is as good as logistic regression here and several times faster with many labels; the
    # temperature gives it probabilities.
    solver: Any
    if settings.head == "svm":
        from sklearn.svm import LinearSVC

        solver = LinearSVC(C=settings.c, random_state=materials.seed)
    else:
        from sklearn.linear_model import LogisticRegression

        solver = LogisticRegression(C=settings.c, max_iter=300)
    return Linear(*full_head(solver.fit(features, references), materials.labels))


def _boosted(materials: Materials, settings: Settings, features: Matrix, held_out: HeldOut | None) -> Boosting:
    """Return boosted trees, grown a few rounds at a time so that validation is looked at in between."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    rows, references = dense(features), [example.reference for example in materials.train]
    booster = HistGradientBoostingClassifier(
        learning_rate=settings.learning_rate, early_stopping=False, warm_start=True, random_state=materials.seed
    )
    for rounds in [*range(LOOK, settings.trees, LOOK), settings.trees]:
        with threadpool_limits(1 if rows.size < SMALL else None, user_api="openmp"):
            booster.set_params(max_iter=rounds).fit(rows, references)
        if held_out is not None:
            materials.watch(rounds, held_out.score(trees_of(booster).logits(dense(held_out.features))))
    return Boosting(trees_of(booster))


def full_head(solver: Any, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (n_labels, n_features) and bias of a fitted linear classifier; two labels get two rows."""
    assert list(solver.classes_) == list(labels), "the dataset's labels are those of its training split, sorted"
    if len(labels) == 2:
        return np.vstack([-solver.coef_, solver.coef_]), np.concatenate([-solver.intercept_, solver.intercept_])
    return solver.coef_, solver.intercept_


def known(examples: Sequence[Example], labels: Sequence[str]) -> tuple[list[Example], np.ndarray]:
    """Return the examples whose reference is a known label, and the labels' places (n,)."""
    place = {label: index for index, label in enumerate(labels)}
    kept = [example for example in examples if example.reference in place]
    return kept, np.array([place[example.reference] for example in kept], dtype=np.intp)


TRAINER = FeaturesTrainer()
