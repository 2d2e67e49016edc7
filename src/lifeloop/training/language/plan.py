"""How a language model's training is laid out: batches, steps, and the arguments that every TRL trainer is given.

Takes what fits into memory and how long to train, gives keyword arguments for any configuration class of TRL. Knows
nothing of the loss.
"""

import math
import os
from pathlib import Path
from typing import Any

from msgspec import Struct

from lifeloop.core.errors import ModelError
from lifeloop.models.devices import cpu_has_bfloat16

CHECKPOINTS = 20
"""How many checkpoints are spread over a training: a kill costs a twentieth of it at most."""
POINTS = 60
"""How many places of the training loss the curve has."""


class LessMemory(Exception):
    """Memory ran out in one process of several: all of them are to be started again, with the journal's new batch."""


class Plan(Struct, frozen=True):
    """What one attempt at a training is laid out for. Attempts after the first have smaller batches, same steps."""

    folder: Path
    """Where its checkpoints go."""
    batch: int
    """Examples that one device holds at once."""
    accumulation: int
    """How many such batches make one step."""
    seed: int
    resumable: bool = True
    """Whether checkpoints are of use to anybody."""

    def steps(self, n_examples: int, epochs: float) -> int:
        """Return how many steps `epochs` passes over the examples take, at least one a pass begun."""
        share = self.batch * self.accumulation * n_processes()
        return max(1, math.ceil(epochs * math.ceil(n_examples / share)))

    def arguments(self, steps: int, evaluations: int = 0, checkpoints: int = CHECKPOINTS) -> dict[str, Any]:
        """Return what every configuration class of TRL takes alike, for a training of so many steps.

        `evaluations` says how often validation is measured over its course, the last time at its end; 0 is never.
        `checkpoints` are written on the way. Nothing is sent anywhere, and nothing printed.
        """
        import torch

        on_gpu = torch.cuda.is_available()
        return {
            "output_dir": str(self.folder),
            "per_device_train_batch_size": self.batch,
            "per_device_eval_batch_size": self.batch,
            "gradient_accumulation_steps": self.accumulation,
            "activation_checkpointing": False,
            "seed": self.seed,
            "data_seed": self.seed,
            "use_cpu": not on_gpu,
            "bf16": torch.cuda.is_bf16_supported() if on_gpu else cpu_has_bfloat16(),
            "dataloader_pin_memory": on_gpu,
            "logging_strategy": "steps",
            "logging_steps": math.ceil(steps / POINTS),
            "save_strategy": "steps" if self.resumable else "no",
            "save_steps": math.ceil(steps / checkpoints),
            "save_total_limit": 2,
            "eval_strategy": "steps" if evaluations else "no",
            "eval_steps": math.ceil(steps / max(1, evaluations)),
            "report_to": "none",
            "push_to_hub": False,
            "disable_tqdm": True,
        }


def halved(plan: Plan, where: str) -> Plan:
    """Return the plan of an attempt that needs less memory and takes the same steps. Raises ModelError below one."""
    import msgspec

    if plan.batch == 1:
        raise ModelError(
            "one example at a time does not fit into memory",
            where=where,
            fix="lower `max_tokens` or `rank`, choose a smaller model, or a machine with more memory",
        )
    whole = plan.batch * plan.accumulation
    batch = max(size for size in range(1, plan.batch // 2 + 1) if whole % size == 0)
    return msgspec.structs.replace(plan, batch=batch, accumulation=whole // batch)


def n_processes() -> int:
    """Return how many processes train together, as their launcher says."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Return whether this process is the one of its group that writes files and tells how far it is."""
    return int(os.environ.get("RANK", "0")) == 0
