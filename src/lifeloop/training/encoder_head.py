"""Fits a linear head on the vectors of a frozen sentence encoder, and its temperature on validation."""

from pathlib import Path

import numpy as np

from lifeloop.core.progress import Progress
from lifeloop.models import linear
from lifeloop.models.encoder import shared_encoder
from lifeloop.training.calibration import temperature
from lifeloop.training.features import full_head, known
from lifeloop.training.trainer import Decided, Materials


class EncoderHeadTrainer:
    """Trainer of kind "encoder"."""

    settings = None
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the head; the encoder's weights stay where they are."""
        from sklearn.linear_model import LogisticRegression

        settings = materials.settings
        encoder = shared_encoder(settings.model, settings.max_tokens, "candidates.model")
        vectors = encoder.encode([example.input for example in materials.train], progress)
        progress(0, 0, "fitting the head")
        solver = LogisticRegression(C=settings.c, max_iter=300, tol=1e-5)
        solver.fit(vectors, [example.reference for example in materials.train])
        weights, bias = full_head(solver, materials.labels)
        held_out, truth = known(materials.validation, materials.labels)
        unseen = encoder.encode([example.input for example in held_out], progress) if held_out else np.zeros((0, 1))
        heat = temperature(unseen @ weights.T + bias, truth) if held_out else 1.0
        linear.save_head(folder, weights / heat, bias / heat)
        return Decided()


TRAINER = EncoderHeadTrainer()
