"""One step of training an encoder under a head, whatever the head: clipped, in parts where memory is short, averaged.

Takes what moves, the place and how a part of the batch adds its gradient, gives the loss. Knows nothing of texts.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from lifeloop.core.errors import ModelError
from lifeloop.training.encoder_checkpoint import Moving, Place
from lifeloop.training.language.running import is_out_of_memory

T = TypeVar("T")


def stepped(
    moving: Moving, place: Place, batch: Sequence[T], backward: Callable[[Sequence[T]], float], average: float
) -> float:
    """Take one step and return its loss. Out of memory, batches go in twice as many parts from then on.

    `backward` adds a part's share of the batch's gradient and returns its share of the loss; `average` is the decay of
    the moving average of the weights. Raises ModelError where one text does not fit, or the loss is no number.
    """
    import torch

    while True:
        try:
            moving.optimiser.zero_grad(set_to_none=True)
            size = math.ceil(len(batch) / place.parts)
            loss = sum(backward(batch[start : start + size]) for start in range(0, len(batch), size))
            torch.nn.utils.clip_grad_norm_(list(moving.weights.values()), 1.0)
            moving.optimiser.step()
            break
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            _halve(place, len(batch))
    _require_finite(loss, place.step + 1)
    moving.schedule.step()
    _into_average(moving, average, place.step)
    return loss


def _halve(place: Place, n_batch: int) -> None:
    if place.parts >= n_batch:
        raise ModelError(
            "memory runs out with one text at a time",
            where="candidates",
            fix="lower `max_tokens`, freeze more layers, or tune a smaller encoder",
        )
    place.parts *= 2
    place.events.append(
        f"out of memory at step {place.step + 1}: went on with batches in {place.parts} parts, their gradients added up"
    )


def _require_finite(loss: float, step: int) -> None:
    """Raise ModelError where a step's loss is no number: the weights are none either from then on."""
    if not math.isfinite(loss):
        fix = "lower `learning_rate`, by a factor of 10, say"
        raise ModelError(f"training diverged: the loss of step {step} is {loss}", where="candidates", fix=fix)


def _into_average(moving: Moving, decay: float, step: int) -> None:
    """Move the average towards the weights as they are now; at the beginning it follows more closely."""
    import torch

    share = 1.0 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(
            list(moving.average.values()), [weight.detach() for weight in moving.weights.values()], share
        )
