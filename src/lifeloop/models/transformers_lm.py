"""Model kind "transformers": any causal language model, through torch in this process.

For GPUs, for adapters (soft prompts, LoRA), and for models that llama.cpp cannot be given. How it answers is in
`language_answers`, how its files are opened in `language_opening`.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from lifeloop.core.candidates import Candidate, Estimate, Machine
from lifeloop.core.data import Profile
from lifeloop.core.errors import ModelError
from lifeloop.models.language_answers import Settings, TransformersLM
from lifeloop.models.language_opening import open_network
from lifeloop.models.llamacpp import learned_in
from lifeloop.models.model import Model
from lifeloop.models.weights import find_language


def load_language(candidate: Candidate, folder: Path | None) -> TransformersLM:
    """Return a candidate's language model: the setting's, or what training wrote to its folder. Raises ModelError."""
    get: Any = candidate.settings.get
    where = f"candidates.{candidate.name}"
    network, tokenizer = open_network(
        get("model", ""), folder, where, dtype=get("dtype", "auto"), device=get("device", "auto")
    )
    if threads := get("threads", 0):
        import torch

        torch.set_num_threads(threads)
    return TransformersLM(candidate, learned_in(folder), network, tokenizer, threading.Lock())


class TransformersKind:
    """Model kind "transformers"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "1"
    writes = True

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the model in this process."""
        return load_language(candidate, folder)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the time to read an input, at two operations a parameter and token, and the memory of the weights."""
        try:
            place = find_language(settings.model, "")
            files = [place] if place.is_file() else list(place.glob("*.safetensors"))
            size = sum(file.stat().st_size for file in files)
            parameters = size / 0.7 if place.is_file() else size / 2
        except ModelError:
            parameters = 150e6
        found = estimated(parameters, settings.max_words, profile, machine)
        measured = settings.calibrate * found.seconds_per_item if profile.n_labels else 0.0
        return msgspec.structs.replace(found, build_seconds=10.0 + measured)


def estimated(parameters: float, max_words: int, profile: Profile, machine: Machine) -> Estimate:
    """Return what a language model of so many parameters needs to answer, in batches that reach 70% of peak."""
    tokens = min(profile.mean_chars / 6.0, max_words) * 1.4 + 12
    read = 2 * parameters * tokens / (machine.gflops * 0.7 * 1e9)
    return Estimate(
        memory_gb=0.6 + 6 * parameters / 1e9,
        build_seconds=0.0,
        seconds_per_item=read if profile.n_labels else read + 4.0,
        basis=f"{parameters / 1e6:.0f}M parameters, {tokens:.0f} tokens an item",
    )


KIND = TransformersKind()
