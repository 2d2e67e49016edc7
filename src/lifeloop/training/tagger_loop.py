"""The loop that trains a tagger's network: passes, moving average, early stopping, checkpoints, halved batches.

Takes a network, what gives a pass's batches and what scores it on validation; leaves the best weights in the network.
The checkpoint, the moving average and how time and memory are saved are those of the sentence encoder's loop. Knows
nothing of texts and entities.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop.core.progress import Progress
from lifeloop.core.training_record import Point
from lifeloop.models.devices import cpu_has_bfloat16
from lifeloop.models.tagger import Settings
from lifeloop.models.tagger_reading import Batch, Row, stack
from lifeloop.training.encoder_checkpoint import Moving, Place, load_checkpoint, save_checkpoint
from lifeloop.training.encoder_loop import CHECKPOINT_STEPS, averaged
from lifeloop.training.encoder_step import stepped

if TYPE_CHECKING:
    import torch

    from lifeloop.models.tagger_network import Network

Labelled = tuple[Row, list[int]]
"""A row and the places of its tags."""


class Work(Struct, frozen=True):
    """What the loop is given beside the network."""

    tokeniser: Any
    batches: Callable[[int], Sequence[Sequence[Labelled]]]
    """The batches of a pass, by its number from 0; always as many."""
    n_batches: int
    validate: Callable[[], float | None]
    """The score of the network as it stands; None where there is no validation."""
    settings: Settings
    seed: int
    scratch: Path | None
    watch: Callable[[int, float], None]
    progress: Progress


def fit(network: "Network", work: Work) -> Place:
    """Train until the passes are over or validation stops improving, and keep the best pass's averaged weights.

    Raises ModelError where not even single texts fit into memory, and where the loss is no number; what `watch` raises
    passes.
    """
    import torch

    settings = work.settings
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    optimiser = torch.optim.AdamW(_groups(weights, settings), weight_decay=settings.weight_decay, fused=True)
    steps = settings.epochs * work.n_batches
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rise_and_fall(steps, settings.warmup))
    average, best = ({name: weight.detach().clone() for name, weight in weights.items()} for _ in range(2))
    moving = Moving(weights, average, best, optimiser, schedule)
    torch.manual_seed(work.seed)
    place = Place()
    if (resumed := load_checkpoint(work.scratch, moving)) is not None:
        place = resumed
        place.events.append(f"resumed at step {place.step} of {steps}")
    while place.epoch < settings.epochs and not place.stopped:
        _one_pass(network, work, moving, place, steps)
        _look(network, work, moving, place)
        if work.scratch is not None:
            save_checkpoint(work.scratch, place, moving)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(best[name])
    network.eval()
    return place


def _groups(weights: dict[str, "torch.Tensor"], settings: Settings) -> list[dict[str, Any]]:
    body = [weight for name, weight in weights.items() if name.startswith("body.")]
    head = [weight for name, weight in weights.items() if not name.startswith("body.")]
    return [{"params": body, "lr": settings.learning_rate}, {"params": head, "lr": settings.head_learning_rate}]


def _rise_and_fall(steps: int, warmup: float) -> Callable[[int], float]:
    rising = max(1.0, warmup * steps)
    return lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1.0, steps - rising)))


def _one_pass(network: "Network", work: Work, moving: Moving, place: Place, steps: int) -> None:
    """Train on what is left of the pass under way."""
    network.train()
    best = "" if place.best_score is None else f", validation F1 {place.best_score:.3f} at best"
    for batch in work.batches(place.epoch)[place.batch :]:
        loss = _step(network, work, moving, place, batch)
        place.batch += 1
        place.step += 1
        place.losses.append(loss)
        work.progress(place.step, steps, f"epoch {place.epoch + 1}, loss {loss:.3f}{best}")
        if work.scratch is not None and place.step % CHECKPOINT_STEPS == 0:
            save_checkpoint(work.scratch, place, moving)


def _step(network: "Network", work: Work, moving: Moving, place: Place, batch: Sequence[Labelled]) -> float:
    """Take one step and return its loss."""

    def backward(part: Sequence[Labelled]) -> float:
        return _backward(network, work, part, batch)

    return stepped(moving, place, batch, backward, work.settings.average)


def _backward(network: "Network", work: Work, part: Sequence[Labelled], whole: Sequence[Labelled]) -> float:
    """Add a part's share of its batch's gradient, and return its share of the loss."""
    import torch

    from lifeloop.models.tagger_network import as_tensor

    batch = stack([row for row, _ in part], work.tokeniser)
    if work.settings.hidden:
        batch = _hidden(batch, work)
    tags = np.zeros(batch.held.shape, dtype=np.int64)
    for row, (_, own) in enumerate(part):
        tags[row, : len(own)] = own
    right, held = as_tensor(tags, network), as_tensor(batch.held, network)
    with _half_precision(network):
        scores = network(batch)
    scores = scores.float()
    if work.settings.entity_weight != 1.0:
        # To miss a word of an entity costs more: "outside" must lose by a margin (Mohit et al., 2012).
        dearer = math.log(work.settings.entity_weight) * (right > 0).to(scores.dtype)
        scores = torch.cat([scores[..., :1] + dearer.unsqueeze(-1), scores[..., 1:]], dim=-1)
    share = sum(len(own) for _, own in part) / sum(len(own) for _, own in whole)
    loss = network.loss(scores, right, held) * share
    loss.backward()
    return float(loss.item())


def _half_precision(network: "Network") -> Any:
    """Return the context in which matrices are multiplied in bfloat16, where that is quicker; weights stay float32."""
    import torch

    where = network.score.weight.device.type
    return torch.autocast(where, dtype=torch.bfloat16, enabled=where == "cuda" or cpu_has_bfloat16())


def _hidden(batch: Batch, work: Work) -> Batch:
    """Return the batch with some words' tokens replaced by the mask; how they are written stays to be seen."""
    import torch

    mask = work.tokeniser.mask_token_id
    if mask is None:
        return batch
    words = torch.rand(batch.held.shape).numpy() < work.settings.hidden
    tokens = (batch.average * (words & batch.held)[:, :, None]).sum(axis=1) > 0
    return msgspec.structs.replace(batch, ids=np.where(tokens, mask, batch.ids))


def _look(network: "Network", work: Work, moving: Moving, place: Place) -> None:
    """Close a pass: ask validation of the averaged weights, keep them where they are the best, say when to stop."""
    place.epoch += 1
    place.batch = 0
    loss = float(np.mean(place.losses))
    place.losses = []
    with averaged(moving), _half_precision(network):
        score = work.validate()
    place.curve.append(Point(place.step, loss=loss, score=score))
    if score is None or place.best_score is None or score > place.best_score:
        place.best_step, place.best_score, place.since_best = place.step, score, 0
        for name, weight in moving.average.items():
            moving.best[name].copy_(weight)
    else:
        place.since_best += 1
    if score is not None:
        work.watch(place.step, score)
    if 0 < work.settings.patience <= place.since_best and place.epoch < work.settings.epochs:
        place.stopped = True
        place.events.append(
            f"stopped after pass {place.epoch} of {work.settings.epochs}: the last {place.since_best} were no better "
            f"on validation than step {place.best_step}"
        )
