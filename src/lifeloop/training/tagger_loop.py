"""The loop that trains a tagger's network: passes, moving average, early stopping, checkpoints, halved batches.

Takes a network, what gives a pass's batches and what scores it on validation; leaves the best weights in the network.
All chance comes from the seed and the number of the step, so that a training that was killed goes on as if it had not
been. Knows nothing of texts and entities.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.core.training_record import Point
from lifeloop.models.tagger import Settings
from lifeloop.models.tagger_reading import Row, stack

if TYPE_CHECKING:
    import torch

    from lifeloop.models.tagger_network import Network

CHECKPOINT = "tagger.pt"

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


class State(Struct):
    """Where a training stands; lives as long as the loop."""

    epoch: int = 0
    """Passes done."""
    split: int = 1
    """In how many parts a batch is computed, to fit into memory."""
    best: float | None = None
    best_step: int = 0
    since: int = 0
    """Passes since the best."""
    curve: list[Point] = []
    events: list[str] = []
    stopped: bool = False


def fit(network: "Network", work: Work) -> State:
    """Train until the passes are over or validation stops improving, and keep the best weights.

    Raises ModelError where not even single texts fit into memory.
    """
    import torch

    settings = work.settings
    trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    optimiser = torch.optim.AdamW(_groups(trained, settings), weight_decay=settings.weight_decay)
    steps = settings.epochs * work.n_batches
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rise_and_fall(steps, settings.warmup))
    average = {name: weight.detach().clone() for name, weight in trained.items()}
    best = {name: weight.clone() for name, weight in average.items()}
    state = _resumed(work, trained, average, best, optimiser, schedule) or State()
    while state.epoch < settings.epochs and not state.stopped:
        losses = []
        network.train()
        for place, batch in enumerate(work.batches(state.epoch)):
            step = state.epoch * work.n_batches + place
            torch.manual_seed(work.seed * 1_000_003 + step)
            losses.append(_step(network, work, optimiser, batch, state))
            schedule.step()
            _average(average, trained, settings.averaged, step)
            work.progress(step + 1, steps, f"epoch {state.epoch + 1}, loss {losses[-1]:.3f}{_so_far(state)}")
        state.epoch += 1
        _judge(network, work, state, trained, average, best, float(np.mean(losses)))
        _save(work, state, trained, average, best, optimiser, schedule)
    _put(best, trained)
    return state


def _groups(trained: dict[str, "torch.Tensor"], settings: Settings) -> list[dict[str, Any]]:
    body = [weight for name, weight in trained.items() if name.startswith("body.")]
    head = [weight for name, weight in trained.items() if not name.startswith("body.")]
    return [{"params": body, "lr": settings.learning_rate}, {"params": head, "lr": settings.head_learning_rate}]


def _rise_and_fall(steps: int, warmup: float) -> Callable[[int], float]:
    rising = max(1.0, warmup * steps)
    return lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1.0, steps - rising)))


def _so_far(state: State) -> str:
    return "" if state.best is None else f", best validation F1 {state.best:.3f}"


def _step(
    network: "Network", work: Work, optimiser: "torch.optim.Optimizer", batch: Sequence[Labelled], state: State
) -> float:
    """Return the loss of a batch after a step on it; in more and smaller parts where it does not fit into memory."""
    import torch

    while True:
        size = math.ceil(len(batch) / state.split)
        n_words = sum(len(tags) for _, tags in batch)
        loss = 0.0
        optimiser.zero_grad(set_to_none=True)
        try:
            for start in range(0, len(batch), size):
                part = batch[start : start + size]
                share = sum(len(tags) for _, tags in part) / n_words
                found = _loss(network, work, part) * share
                found.backward()
                loss += found.item()
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            if size == 1:
                fix = "lower max_tokens, or take a smaller model"
                raise ModelError("not even one text at a time fits into memory", where="candidates", fix=fix) from error
            state.split *= 2
            state.events.append(f"out of memory: batches of {len(batch)} in {state.split} parts from here on")
            continue
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        return loss


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or "can't allocate memory" in str(error) or "not enough memory" in str(error)


def _loss(network: "Network", work: Work, part: Sequence[Labelled]) -> "torch.Tensor":
    import torch

    from lifeloop.models.tagger_network import as_tensor

    batch = stack([row for row, _ in part], work.tokeniser)
    if work.settings.hidden:
        batch = _hidden(batch, work)
    tags = np.zeros(batch.held.shape, dtype=np.int64)
    for place, (_, own) in enumerate(part):
        tags[place, : len(own)] = own
    scores = network(batch).float()
    right = as_tensor(tags, network)
    if work.settings.entity_weight != 1.0:
        # To miss a word of an entity costs more: "outside" must lose by a margin (Mohit et al., 2012).
        dearer = math.log(work.settings.entity_weight) * (right > 0).to(scores.dtype)
        scores = torch.cat([scores[..., :1] + dearer.unsqueeze(-1), scores[..., 1:]], dim=-1)
    return network.loss(scores, right, as_tensor(batch.held, network))


def _hidden(batch: Any, work: Work) -> Any:
    """Return the batch with some words' tokens replaced by the mask; how they are written stays to be seen."""
    import torch

    mask = work.tokeniser.mask_token_id
    if mask is None:
        return batch
    words = torch.rand(batch.held.shape).numpy() < work.settings.hidden
    tokens = (batch.average * (words & batch.held)[:, :, None]).sum(axis=1) > 0
    return msgspec.structs.replace(batch, ids=np.where(tokens, mask, batch.ids))


def _average(average: dict[str, "torch.Tensor"], trained: dict[str, "torch.Tensor"], decay: float, step: int) -> None:
    """Move the average towards the weights: fast at first, when they are far from where they will be."""
    import torch

    share = 1.0 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.values()), [weight.detach() for weight in trained.values()], share)


def _put(values: dict[str, "torch.Tensor"], trained: dict[str, "torch.Tensor"]) -> None:
    import torch

    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(values[name])


def _judge(
    network: "Network",
    work: Work,
    state: State,
    trained: dict[str, "torch.Tensor"],
    average: dict[str, "torch.Tensor"],
    best: dict[str, "torch.Tensor"],
    loss: float,
) -> None:
    """Ask validation of the averaged weights, keep them if they are the best, and say when to stop."""
    latest = {name: weight.detach().clone() for name, weight in trained.items()}
    _put(average, trained)
    score = work.validate()
    _put(latest, trained)
    step = state.epoch * work.n_batches
    state.curve.append(Point(step, loss=round(loss, 6), score=score))
    if score is None or state.best is None or score > state.best:
        state.best, state.best_step, state.since = score, step, 0
        for name, weight in average.items():
            best[name].copy_(weight)
    else:
        state.since += 1
    if score is not None:
        work.watch(step, score)
    if work.settings.patience and state.since >= work.settings.patience and state.epoch < work.settings.epochs:
        state.stopped = True
        state.events.append(
            f"stopped after pass {state.epoch}: validation F1 was best, {state.best:.4f}, at step {state.best_step}"
        )


def _save(work: Work, state: State, *parts: Any) -> None:
    if work.scratch is None:
        return
    import torch

    trained, average, best, optimiser, schedule = parts
    held = {
        "state": msgspec.json.encode(state).decode(),
        "weights": {name: weight.detach() for name, weight in trained.items()},
        "average": average,
        "best": best,
        "optimiser": optimiser.state_dict(),
        "schedule": {"last_epoch": schedule.last_epoch},
    }
    unfinished = work.scratch / f"{CHECKPOINT}.part"
    torch.save(held, unfinished)
    unfinished.replace(work.scratch / CHECKPOINT)  # whole or not at all, whenever it is killed


def _resumed(work: Work, *parts: Any) -> State | None:
    """Put everything back as the checkpoint has it, and return where it stood; None where there is none."""
    file = work.scratch / CHECKPOINT if work.scratch is not None else None
    if file is None or not file.exists():
        return None
    import torch

    trained, average, best, optimiser, schedule = parts
    held = torch.load(file, weights_only=True)
    for name, values in (("weights", trained), ("average", average), ("best", best)):
        _put(held[name], values)
    optimiser.load_state_dict(held["optimiser"])
    schedule.last_epoch = held["schedule"]["last_epoch"]
    state = msgspec.json.decode(held["state"], type=State)
    state.events.append(f"resumed after pass {state.epoch}")
    return state
