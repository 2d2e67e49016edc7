"""What a training leaves in its scratch folder for the attempt after a kill: checkpoints, the best weights, a journal.

Takes folders and weights, gives the place to go on from. A checkpoint counts only where it was marked as whole, so one
that a kill cut short is never read.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from lifeloop.core.training_record import Point

if TYPE_CHECKING:
    import torch

WHOLE = "whole"
KEPT = "kept.safetensors"
JOURNAL = "journal.json"
OUT_OF_MEMORY = "out of memory"
"""How the event of a smaller batch begins."""


class Journal(Struct, frozen=True):
    """How far a training came, over all its attempts."""

    batch: int
    accumulation: int
    seconds: float = 0.0
    """Spent until the last checkpoint."""
    events: tuple[str, ...] = ()
    best_step: int = 0
    best_score: float | None = None
    """Of the weights in `kept.safetensors`."""
    done: bool = False
    """Whether nothing is left to train; `kept.safetensors` then holds what came of it."""
    curve: tuple[Point, ...] = ()
    """Filled in when it is done; until then the checkpoints hold it."""


def read_journal(folder: Path) -> Journal | None:
    """Return the journal of earlier attempts, or None for the first."""
    file = folder / JOURNAL
    return msgspec.json.decode(file.read_bytes(), type=Journal) if file.exists() else None


def write_journal(folder: Path, journal: Journal) -> None:
    """Write the journal; whoever reads it sees the old one or the new one."""
    _swap_in(folder / JOURNAL, lambda path: path.write_bytes(msgspec.json.encode(journal)))


def mark_whole(folder: Path, step: int) -> None:
    """Note that the checkpoint of a step was written to its end."""
    (folder / f"checkpoint-{step}" / WHOLE).touch()


def last_checkpoint(folder: Path) -> Path | None:
    """Return the latest checkpoint that is whole; those that were cut short are removed."""
    found: dict[int, Path] = {}
    for place in folder.glob("checkpoint-*"):
        if (place / WHOLE).exists():
            found[int(place.name.rpartition("-")[2])] = place
        else:
            shutil.rmtree(place, ignore_errors=True)
    return found[max(found)] if found else None


def keep_weights(folder: Path, model: "torch.nn.Module") -> None:
    """Write the weights that are trained, in place of those kept before."""
    from safetensors.torch import save_file

    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in _trained(model).items()}
    _swap_in(folder / KEPT, lambda path: save_file(weights, path))


def restore_weights(folder: Path, model: "torch.nn.Module") -> None:
    """Put the weights that were kept back into the model."""
    import torch
    from safetensors.torch import load_file

    kept = load_file(folder / KEPT)
    with torch.no_grad():
        for name, tensor in _trained(model).items():
            tensor.copy_(kept[name])


def _trained(model: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    return {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}


def _swap_in(file: Path, write: Callable[[Path], object]) -> None:
    partial = file.with_suffix(f".{os.getpid()}")
    write(partial)
    partial.replace(file)
