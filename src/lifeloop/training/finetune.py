"""Fine-tunes a candidate's sentence encoder together with its head, from where its parent stands.

A short loop of plain PyTorch: it starts from the parent's head, so two or three passes are enough. Word embeddings and
the lowest layers stay as they are, which halves the time and keeps what pre-training knew.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.models import linear
from lifeloop.models.encoder import TUNED, open_encoder
from lifeloop.training.calibration import temperature
from lifeloop.training.features import known
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    import torch

    from lifeloop.models.transformers_encoder import SentenceEncoder


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """How long and how fast."""

    epochs: int = 2
    batch: int = 32
    learning_rate: float = 2e-4
    head_learning_rate: float = 2e-3
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = 0.01
    frozen_layers: int = 3
    """Layers from the bottom that stay as they are."""
    max_tokens: int = 128
    """Training texts are cut to this; serving keeps the parent's limit."""


class FinetuneTrainer:
    """Adaptation "finetune", of candidates of kind "encoder"."""

    settings = Settings
    version = "2"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the tuned encoder and its head."""
        if materials.parent is None or materials.parent_settings is None:
            raise ModelError("there is no parent to start from", where="candidates", fix='write parent = "NAME"')
        if materials.parent_settings.get("model") is None or not (materials.parent / linear.WEIGHTS).exists():
            raise ModelError("its parent is no encoder", where="candidates", fix='name a parent with kind = "encoder"')
        tuned = materials.parent / TUNED
        encoder = open_encoder(
            materials.parent_settings["model"],
            materials.settings.max_tokens,
            "candidates.model",
            tuned if tuned.exists() else None,
        )
        import torch  # after the encoder, which says how threads wait before torch is there

        torch.manual_seed(materials.seed)
        head = _head(materials.parent).to(encoder.device)
        _freeze(encoder, materials.settings.frozen_layers)
        _train(encoder, head, materials, progress)
        weights, bias = (part.detach().cpu().numpy() for part in (head.weight, head.bias))
        held_out, truth = known(materials.validation, materials.labels)
        unseen = encoder.encode([example.input for example in held_out], progress) if held_out else None
        heat = temperature(unseen @ weights.T + bias, truth) if unseen is not None else 1.0
        encoder.save(folder / TUNED)
        linear.save_head(folder, weights / heat, bias / heat)
        return Decided()


def _head(parent: Path) -> "torch.nn.Linear":
    import torch

    weights, bias = linear.load_head(parent)
    head = torch.nn.Linear(weights.shape[1], weights.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights))
        head.bias.copy_(torch.from_numpy(bias))
    return head


def _freeze(encoder: "SentenceEncoder", layers: int) -> None:
    for part in [encoder.body.embeddings, *encoder.body.encoder.layer[:layers]]:
        for parameter in part.parameters():
            parameter.requires_grad = False


def _train(encoder: "SentenceEncoder", head: "torch.nn.Linear", materials: Materials, progress: Progress) -> None:
    import torch
    import torch.nn.functional as F

    settings: Settings = materials.settings
    examples, truth = known(materials.train, materials.labels)
    rows = encoder.tokens([example.input for example in examples])
    body = [parameter for parameter in encoder.body.parameters() if parameter.requires_grad]
    groups = [
        {"params": body, "lr": settings.learning_rate},
        {"params": head.parameters(), "lr": settings.head_learning_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    steps = settings.epochs * math.ceil(len(rows) / settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _rise_and_fall(steps, settings.warmup))
    chance = np.random.default_rng(materials.seed)
    targets = torch.from_numpy(truth).to(encoder.device)
    where = encoder.device.type
    encoder.body.train()
    done = 0
    for epoch in range(settings.epochs):
        for batch in _batches(rows, settings.batch, chance):
            ids, mask = encoder.pad([rows[place] for place in batch])
            with torch.autocast(where, dtype=torch.bfloat16, enabled=where == "cuda" or _has_bfloat16()):
                logits = head(encoder.vectors_of(ids, mask))
            loss = F.cross_entropy(logits.float(), targets[batch])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(body, 1.0)
            optimiser.step()
            schedule.step()
            done += 1
            progress(done, steps, f"epoch {epoch + 1}, loss {loss.item():.3f}")
    encoder.body.eval()


def _rise_and_fall(steps: int, warmup: float) -> Any:
    rising = max(1.0, warmup * steps)
    return lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1.0, steps - rising)))


def _batches(rows: Sequence[Sequence[int]], size: int, chance: np.random.Generator) -> Iterator[list[int]]:
    """Yield places in batches of similar length: sorted within windows of fifty batches, then shuffled."""
    order = chance.permutation(len(rows)).tolist()
    batches = []
    for start in range(0, len(order), size * 50):
        window = sorted(order[start : start + size * 50], key=lambda place: len(rows[place]))
        batches += [window[begin : begin + size] for begin in range(0, len(window), size)]
    yield from (batches[place] for place in chance.permutation(len(batches)))


def _has_bfloat16() -> bool:
    """Return whether this processor multiplies bfloat16 natively; elsewhere it would only be slower."""
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(word in flags.read_text() for word in ("avx512_bf16", "amx_bf16"))


TRAINER = FinetuneTrainer()
