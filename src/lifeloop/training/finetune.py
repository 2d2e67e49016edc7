"""Fine-tunes a candidate's sentence encoder together with its head, from where its parent stands.

It starts from the parent's head, so few passes are enough; what is kept is a moving average of the weights, which is
better than any of them. The loop is in `encoder_loop`; here the brief's settings and examples become its rows.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.bounds import Count, NotNegative, Part, Parts, Share, Whole
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.core.training_record import TrainingRecord
from lifeloop.models import linear
from lifeloop.models.encoder import TUNED, open_encoder
from lifeloop.training.calibration import temperature
from lifeloop.training.encoder_checkpoint import Place
from lifeloop.training.encoder_loop import Work, tune
from lifeloop.training.encoder_pace import Pace, half_precision
from lifeloop.training.encoder_score import Measured, measured
from lifeloop.training.features import known
from lifeloop.training.record import save_record
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    import torch

    from lifeloop.models.transformers_encoder import SentenceEncoder


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """How long, how fast, and what keeps it from learning by heart."""

    epochs: Count = 4
    """Passes over the training examples, at most."""
    patience: Whole = 2
    """Stop after so many passes that were no better on validation; 0 never stops early."""
    batch: Count = 32
    learning_rate: NotNegative = 3e-4
    """Of the uppermost layer."""
    layer_decay: Part = 0.9
    """Each layer learns more slowly than the one above it by this factor."""
    head_learning_rate: NotNegative = 2e-3
    warmup: Share = 0.1
    """Share of the steps over which the learning rate rises."""
    weight_decay: NotNegative = 0.01
    label_smoothing: Share = 0.1
    """Share of each label's probability that is spread over all labels."""
    average: Share = 0.99
    """How slowly the moving average of the weights, which is what is kept, follows them a step; 0 keeps the last."""
    hidden: Share = 0.1
    """Share of the words that are hidden from the encoder each time it sees a text in training."""
    shares: Parts = (1.0, 0.8, 0.6, 0.4)
    """Of the way from the parent's weights to the tuned ones: the one that validation likes best is kept. `[1.0]` goes
    all the way."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` counts rare labels as much as common ones."""
    frozen_layers: Whole = 0
    """Layers from the bottom that stay as they are. Embeddings always do."""
    max_tokens: Count = 128
    """Training texts are cut to this; serving keeps the parent's limit."""


class FinetuneTrainer:
    """Adaptation "finetune", of candidates of kind "encoder"."""

    settings = Settings
    parents = ("encoder",)
    version = "3"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the tuned encoder, its head and the record of the training."""
        encoder = encoder_of_parent(materials, materials.settings.max_tokens)
        assert materials.parent is not None
        head = _head(materials.parent).to(encoder.device)
        place = tune(encoder, head, _work(encoder, head, materials, progress))
        weights, bias = (part.detach().cpu().numpy() for part in (head.weight, head.bias))
        logits = validation_logits(encoder, weights, bias, materials, progress)
        score = measured(materials, logits).score if len(logits) else None
        encoder.save(folder / TUNED)
        save_calibrated_head(folder, weights, bias, logits, materials)
        save_record(folder, _record(materials, place))
        return Decided(score=score)


def encoder_of_parent(materials: Materials, max_tokens: int) -> "SentenceEncoder":
    """Return the parent's encoder for its caller alone to tune. Raises ModelError where the parent has none."""
    settings, files = materials.parent_settings, materials.parent
    if files is None or settings is None:
        raise ModelError("there is no parent to start from", where="candidates", fix='write parent = "NAME"')
    if settings.get("model") is None or not (files / linear.WEIGHTS).exists():
        raise ModelError("its parent is no encoder", where="candidates", fix='name a parent with kind = "encoder"')
    tuned = files / TUNED
    return open_encoder(settings["model"], max_tokens, "candidates.model", tuned if tuned.exists() else None)


def _head(parent: Path) -> "torch.nn.Linear":
    import torch

    weights, bias = linear.load_head(parent)
    head = torch.nn.Linear(weights.shape[1], weights.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights))
        head.bias.copy_(torch.from_numpy(bias))
    return head


def _work(encoder: "SentenceEncoder", head: "torch.nn.Linear", materials: Materials, progress: Progress) -> Work:
    settings: Settings = materials.settings
    examples, truth = known(materials.train, materials.labels)

    def validate() -> Measured | None:
        weights, bias = (part.detach().cpu().numpy() for part in (head.weight, head.bias))
        with half_precision(encoder):
            logits = validation_logits(encoder, weights, bias, materials, progress=None)
        return measured(materials, logits) if len(logits) else None

    return Work(
        pace=msgspec.convert(settings, Pace, from_attributes=True),
        rows=encoder.tokens([example.input for example in examples]),
        targets=truth,
        weights=_weights(truth, len(materials.labels), settings.class_weights == "balanced"),
        validate=validate,
        seed=materials.seed,
        scratch=materials.scratch,
        watch=materials.watch,
        progress=progress,
    )


def _weights(truth: NDArray[np.intp], n_labels: int, balanced: bool) -> NDArray[np.float32]:
    """Return how much each row counts: all the same, or all labels that occur the same in sum."""
    if not balanced:
        return np.ones(len(truth), dtype=np.float32)
    counts = np.bincount(truth, minlength=n_labels)
    return (len(truth) / (np.count_nonzero(counts) * counts[truth])).astype(np.float32)


def validation_logits(
    encoder: "SentenceEncoder",
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    materials: Materials,
    progress: Progress | None,
) -> NDArray[np.float32]:
    """Return logits (n_validation, n_labels), one row a validation example in their order."""
    texts = [example.input for example in materials.validation]
    if not texts:
        return np.zeros((0, len(bias)), dtype=np.float32)
    return np.asarray(encoder.encode(texts, progress) @ weights.T + bias)


def save_calibrated_head(
    folder: Path,
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
    logits: NDArray[np.float32],
    materials: Materials,
) -> None:
    """Write a head that is as sure as validation says that it is right, given its logits there."""
    place = {label: index for index, label in enumerate(materials.labels)}
    rows = [row for row, example in enumerate(materials.validation) if example.reference in place]
    truth = np.array([place[materials.validation[row].reference] for row in rows], dtype=np.intp)
    heat = temperature(logits[rows], truth)
    linear.save_head(folder, weights / heat, bias / heat)


def _record(materials: Materials, place: Place) -> TrainingRecord:
    return TrainingRecord(
        method="finetune",
        seed=materials.seed,
        n_examples=len(known(materials.train, materials.labels)[0]),
        settings=msgspec.to_builtins(materials.settings),
        curve=tuple(place.curve),
        best_step=place.best_step,
        events=tuple(place.events),
    )


TRAINER = FinetuneTrainer()
