"""What every alignment does around its own loss: trains, writes the child, and probes parent and child alike.

Takes materials and a function that trains on preferences, gives the candidate's files with their record. Knows nothing
of how the loss is made.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.models.language_files import save_language
from lifeloop.training.language.ablation import Measures, ablations, measures
from lifeloop.training.language.alignment import Alignment
from lifeloop.training.language.asked import Asked
from lifeloop.training.language.lora import merged
from lifeloop.training.language.parent import LanguageParent, decided, record_of, weights_of, write_beside
from lifeloop.training.language.plan import is_first
from lifeloop.training.language.preference_rows import watched
from lifeloop.training.language.probes.checks import PROBED, checks_of
from lifeloop.training.language.probes.triggers import Suspects, suspects
from lifeloop.training.language.running import Ran
from lifeloop.training.language.watching import watch_sample
from lifeloop.training.record import save_record
from lifeloop.training.trainer import Decided, Materials

Train = Callable[[Sequence[Preference], str], Ran]
"""Trains the parent on preferences, as the part of that name."""


def aligned(
    name: str,
    preferences: Sequence[Preference],
    doubted: Sequence[Preference],
    train: Train,
    parent: LanguageParent,
    asked: Asked,
    folder: Path,
    progress: Progress,
    *,
    n_examples: int,
) -> Decided:
    """Train on the preferences, write the child and its record, and train once more with the doubted ones to compare.

    `doubted` are those of the kind that the training takes. `name` is the adaptation's.
    """
    materials: Materials = asked.materials
    settings: Alignment = materials.settings
    ran = train(preferences, "")
    compared = settings.ablation and bool(doubted)
    measured: tuple[Measures, Measures] = {}, {}
    words = suspects(materials.preferences, materials.doubted)
    if is_first():
        child = merged(ran.model)
        save_language(child, parent.tokenizer, folder, settings.gguf)
        write_beside(folder)
        progress(0, 1, "probing parent and child")
        before = parent.open_whole("float32").to(child.device)
        checks, moved = checks_of(before, child, asked, words)
        if compared:
            measured = _measures(before, asked, words), _measures(child, asked, words)
        record = record_of(ran, materials, f"{name} ({weights_of(settings).words})", n_examples)
        unmoved = ("no place was better than the parent: its weights were kept",) if _unmoved(ran) else ()
        record = msgspec.structs.replace(
            record, checks=tuple(checks), kl_to_parent=moved, events=(*record.events, *unmoved)
        )
        save_record(folder, record)
        del before, child
    if compared:
        other = train((*preferences, *doubted), "unguarded")
        if is_first():
            rows = ablations(*measured, _measures(merged(other.model), asked, words))
            save_record(folder, msgspec.structs.replace(record, ablations=rows))
    return decided(parent, folder, ran.score)


def _unmoved(ran: Ran) -> bool:
    """Return whether the weights kept are those of before the first step, which the trainers measure too."""
    return ran.score is not None and ran.best_step == 0


def _measures(model: Any, asked: Asked, words: Suspects) -> Measures:
    return measures(model, asked, watched(asked.materials), words, watch_sample(asked.materials, PROBED))
