"""What a tuning of an encoder needs to go on after a kill: weights, moments, chance and place, in one file.

Written whole or not at all, and read back as tensors and plain values only: nothing in it can run.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from lifeloop.core.training_record import Point

if TYPE_CHECKING:
    import torch

FILE = "encoder-checkpoint.pt"


class Place(Struct):
    """Where a tuning stands; lives as long as its loop."""

    epoch: int = 0
    """Passes that are whole."""
    batch: int = 0
    """Batches done of the pass under way."""
    step: int = 0
    parts: int = 1
    """In how many parts a batch is computed, to fit into memory."""
    losses: list[float] = []
    """Of the pass under way."""
    best_step: int = 0
    best_score: float | None = None
    best_loss: float = 0.0
    since_best: int = 0
    """Passes since the best."""
    stopped: bool = False
    curve: list[Point] = []
    events: list[str] = []


class Moving(Struct, frozen=True):
    """Everything of a tuning that changes, besides its place."""

    weights: "dict[str, torch.Tensor]"
    average: "dict[str, torch.Tensor]"
    best: "dict[str, torch.Tensor]"
    optimiser: Any
    schedule: Any


def save_checkpoint(folder: Path, place: Place, moving: Moving) -> None:
    """Write where a tuning stands over what was written before."""
    import torch

    whole = {
        "place": msgspec.json.encode(place).decode(),
        "weights": {name: weight.detach() for name, weight in moving.weights.items()},
        "average": moving.average,
        "best": moving.best,
        "optimiser": moving.optimiser.state_dict(),
        "schedule": moving.schedule.state_dict(),
        "chance": torch.get_rng_state(),
        "chance on GPUs": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{FILE}.part"
    torch.save(whole, unfinished)
    unfinished.replace(folder / FILE)


def load_checkpoint(folder: Path | None, moving: Moving) -> Place | None:
    """Put a tuning where its checkpoint says and return that place, or None where there is no checkpoint."""
    if folder is None or not (folder / FILE).exists():
        return None
    import torch

    whole = torch.load(folder / FILE, map_location="cpu", weights_only=True)
    with torch.no_grad():
        for part in ("weights", "average", "best"):
            for name, tensor in getattr(moving, part).items():
                tensor.copy_(whole[part][name])
    moving.optimiser.load_state_dict(whole["optimiser"])
    moving.schedule.load_state_dict(whole["schedule"])
    torch.set_rng_state(whole["chance"])
    if whole["chance on GPUs"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(whole["chance on GPUs"])
    return msgspec.json.decode(whole["place"], type=Place)
