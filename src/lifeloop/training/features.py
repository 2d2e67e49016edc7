"""Fits the linear model over words and characters, and its temperature on validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lifeloop.core.data import Example
from lifeloop.core.progress import Progress
from lifeloop.models import linear
from lifeloop.models.features import VECTORISERS, save_vectoriser, vectoriser
from lifeloop.training.calibration import temperature
from lifeloop.training.trainer import Decided, Materials


class FeaturesTrainer:
    """Trainer of kind "features"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the vectorisers and the head."""
        from scipy.sparse import hstack
        from sklearn.svm import LinearSVC

        texts = [example.input for example in materials.train]
        fitted = []
        for name in VECTORISERS:
            if name == "char" and not materials.settings.char_ngrams[1]:
                continue
            progress(len(fitted), 3, f"counting {name}s")
            fitted.append((name, _fit(name, materials, texts)))
        counts = hstack([vectorised for _, (_, vectorised) in fitted], format="csr")
        progress(2, 3, "fitting the head")
        # A linear SVM is as good as logistic regression here and several times faster with many labels; the
        # temperature gives it probabilities.
        solver = LinearSVC(C=materials.settings.c, random_state=materials.seed)
        solver.fit(counts, [example.reference for example in materials.train])
        weights, bias = full_head(solver, materials.labels)
        held_out, truth = known(materials.validation, materials.labels)
        unseen = (
            hstack([vectorised.transform([example.input for example in held_out]) for _, (vectorised, _) in fitted])
            if held_out
            else None
        )
        heat = temperature(np.asarray(unseen @ weights.T + bias), truth) if unseen is not None else 1.0
        for name, (trained, _) in fitted:
            save_vectoriser(folder, name, trained)
        linear.save_head(folder, weights / heat, bias / heat)
        return Decided()


def _fit(name: str, materials: Materials, texts: Sequence[str]) -> tuple[Any, Any]:
    trained = vectoriser(name, materials.settings)
    try:
        return trained, trained.fit_transform(texts)
    except ValueError:  # so little text that no n-gram occurs often enough
        trained.set_params(min_df=1)
        return trained, trained.fit_transform(texts)


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
