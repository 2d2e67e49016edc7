"""The loop that tunes a sentence encoder together with its head: passes, moving average, early stopping, checkpoints.

Takes an encoder, a head and rows of tokens with their labels' places; leaves in both the weights that validation liked
best. All order comes from the seed and the number of the pass, and chance is kept in the checkpoint, so that a tuning
that was killed goes on as if it had not been. Knows nothing of texts, labels and metrics.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.progress import Progress
from lifeloop.core.training_record import Point
from lifeloop.training.encoder_checkpoint import Moving, Place, load_checkpoint, save_checkpoint
from lifeloop.training.encoder_pace import Pace, batches, groups_of, half_precision, rise_and_fall, with_some_hidden
from lifeloop.training.encoder_score import Measured
from lifeloop.training.encoder_step import stepped

if TYPE_CHECKING:
    import torch

    from lifeloop.models.transformers_encoder import SentenceEncoder

CHECKPOINT_STEPS = 200
"""A kill costs so many steps at most."""


class Work(Struct, frozen=True):
    """What the loop is given beside encoder and head."""

    pace: Pace
    rows: Sequence[Sequence[int]]
    """Token ids of the training texts."""
    targets: NDArray[np.intp]
    """(n,) places of their labels."""
    weights: NDArray[np.float32]
    """(n,) how much each counts, 1 on average."""
    validate: Callable[[], Measured | None]
    """What validation says of encoder and head as they stand; None where there is none."""
    seed: int
    scratch: Path | None
    watch: Callable[[int, float], None]
    progress: Progress


def tune(encoder: "SentenceEncoder", head: "torch.nn.Linear", work: Work) -> Place:
    """Train until the passes are over or validation stops improving, and keep the best pass's averaged weights.

    Raises ModelError where not even single texts fit into memory, and where the loss is no number; what `watch` raises
    passes.
    """
    import torch

    pace = work.pace
    groups = groups_of(encoder, head, pace)
    optimiser = torch.optim.AdamW(groups, fused=True)
    steps = pace.epochs * math.ceil(len(work.rows) / pace.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rise_and_fall(steps, pace.warmup))
    weights = {f"{g}.{n}": weight for g, group in enumerate(groups) for n, weight in enumerate(group["params"])}
    began, average, best = ({name: weight.detach().clone() for name, weight in weights.items()} for _ in range(3))
    moving = Moving(weights, average, best, optimiser, schedule)
    torch.manual_seed(work.seed)
    place = Place()
    if (resumed := load_checkpoint(work.scratch, moving)) is not None:
        place = resumed
        place.events.append(f"resumed at step {place.step} of {steps}")
    while place.epoch < pace.epochs and not place.stopped:
        _one_pass(encoder, head, work, moving, place, steps)
        _look(encoder, work, moving, place)
        if work.scratch is not None:
            save_checkpoint(work.scratch, place, moving)
    encoder.body.eval()
    _part_of_the_way(work, moving, began, place)
    return place


def _part_of_the_way(work: Work, moving: Moving, began: "dict[str, torch.Tensor]", place: Place) -> None:
    """Put in the weights that lie, between those at the beginning and the best, where validation loses least.

    They are surer of texts unlike the training's than the best themselves (Wortsman et al., 2022).
    """
    import torch

    def put(share: float) -> None:
        with torch.no_grad():
            for name, weight in moving.weights.items():
                weight.copy_(torch.lerp(began[name], moving.best[name], share))

    losses: dict[float, float] = {}
    for share in work.pace.shares:
        put(share)
        found = work.validate() if len(work.pace.shares) > 1 else None
        losses[share] = found.loss if found is not None else 0.0
    kept = min(losses, key=lambda share: (losses[share], -share))
    put(kept)
    if kept != 1.0:
        place.events.append(
            f"kept {kept:.0%} of the way from the parent's weights to the tuned ones: validation loss "
            f"{losses[kept]:.4f}, all the way {losses.get(1.0, float('nan')):.4f}"
        )


def _one_pass(
    encoder: "SentenceEncoder", head: "torch.nn.Linear", work: Work, moving: Moving, place: Place, steps: int
) -> None:
    """Train on what is left of the pass under way."""
    encoder.body.train()
    for batch in batches([len(row) for row in work.rows], work.pace.batch, (work.seed, place.epoch))[place.batch :]:
        loss = _step(encoder, head, work, moving, place, batch)
        place.batch += 1
        place.step += 1
        place.losses.append(loss)
        work.progress(place.step, steps, f"epoch {place.epoch + 1}, loss {loss:.3f}{_best_note(place)}")
        if work.scratch is not None and place.step % CHECKPOINT_STEPS == 0:
            save_checkpoint(work.scratch, place, moving)


def _best_note(place: Place) -> str:
    return "" if place.best_score is None else f", validation {place.best_score:.3f} at best"


def _step(
    encoder: "SentenceEncoder", head: "torch.nn.Linear", work: Work, moving: Moving, place: Place, batch: Sequence[int]
) -> float:
    """Take one step and return its loss."""

    def backward(part: Sequence[int]) -> float:
        return _backward(encoder, head, work, part, len(batch))

    return stepped(moving, place, batch, backward, work.pace.average)


def _backward(
    encoder: "SentenceEncoder", head: "torch.nn.Linear", work: Work, part: Sequence[int], n_batch: int
) -> float:
    """Add a part's share of its batch's gradient, and return its share of the loss."""
    import torch
    import torch.nn.functional as F

    ids, mask = encoder.pad([work.rows[place] for place in part])
    ids = with_some_hidden(encoder.tokeniser, ids, work.pace.hidden)
    with half_precision(encoder):
        vectors = encoder.vectors_of(ids, mask)
    truth = torch.from_numpy(work.targets[part]).to(encoder.device)
    counts = torch.from_numpy(work.weights[part]).to(encoder.device)
    each = F.cross_entropy(head(vectors.float()), truth, reduction="none", label_smoothing=work.pace.label_smoothing)
    loss = (each * counts).sum() / n_batch
    loss.backward()
    return float(loss.item())


def _look(encoder: "SentenceEncoder", work: Work, moving: Moving, place: Place) -> None:
    """Close a pass: measure the averaged weights on validation, keep them where they are the best, say when to stop."""
    place.epoch += 1
    place.batch = 0
    loss = float(np.mean(place.losses))
    place.losses = []
    encoder.body.eval()
    with averaged(moving):
        found = work.validate()
    if found is None:
        place.curve.append(Point(step=place.step, loss=loss))
        _keep(moving, place)
        return
    place.curve.append(Point(step=place.step, loss=loss, validation_loss=found.loss, score=found.score))
    best = None if place.best_score is None else (place.best_score, -place.best_loss)
    if best is None or (found.score, -found.loss) > best:
        place.best_score, place.best_loss, place.since_best = found.score, found.loss, 0
        _keep(moving, place)
    else:
        place.since_best += 1
    work.watch(place.step, found.score)
    if 0 < work.pace.patience <= place.since_best and place.epoch < work.pace.epochs:
        place.stopped = True
        place.events.append(
            f"stopped after pass {place.epoch} of {work.pace.epochs}: the last {place.since_best} were no better on "
            f"validation than step {place.best_step}"
        )


def _keep(moving: Moving, place: Place) -> None:
    place.best_step = place.step
    for name, weight in moving.average.items():
        moving.best[name].copy_(weight)


@contextmanager
def averaged(moving: Moving) -> Iterator[None]:
    """Put the averaged weights in the place of the trained ones for a while."""
    import torch

    trained = {name: weight.detach().clone() for name, weight in moving.weights.items()}
    with torch.no_grad():
        for name, weight in moving.weights.items():
            weight.copy_(moving.average[name])
        try:
            yield
        finally:
            for name, weight in moving.weights.items():
                weight.copy_(trained[name])
