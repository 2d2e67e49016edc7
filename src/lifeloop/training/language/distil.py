"""Adaptation "distil": a small candidate learns what a larger one, its teacher, answers to the training examples.

Distillation at the level of whole answers (Kim and Rush, 2016): the teacher's answers stand where references stood.
Language models are tuned on them as "sft" does, encoders as "finetune" does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from lifeloop import plugins
from lifeloop.core.bounds import UpToOne
from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.training.language import LANGUAGE_KINDS, sft
from lifeloop.training.record import load_record, save_record
from lifeloop.training.trainer import Decided, Materials

ENCODER_KEYS = ("epochs", "batch", "learning_rate", "warmup", "weight_decay", "max_tokens", "patience")


class Settings(sft.Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Those of "sft", and whom to learn from. Encoders heed the keys that "finetune" has too."""

    teacher: str
    """The candidate whose answers are learned."""
    min_confidence: UpToOne = 0.0
    """Answers that the teacher was less sure of are left out."""


class DistilTrainer:
    """Adaptation of language models and encoders."""

    settings = Settings
    parents = ("encoder", *LANGUAGE_KINDS)
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the candidate that learned from the teacher."""
        examples, note = lessons(materials)
        if materials.parent_kind == "encoder":
            decided = _tune_encoder(materials, examples, folder, progress)
        else:
            from lifeloop.training.language import job

            if job.is_wanted(materials):
                return job.launch("distil", materials, folder, progress)
            decided = sft.tuned(materials, examples, "distil", folder, progress)
        _add_to_record(folder, note)
        return decided


def lessons(materials: Materials) -> tuple[list[Example], str]:
    """Return the training examples with the teacher's answers for references, and a sentence on what was left out.

    Left out are failed and unsure answers, and those that break the task's contract. Raises ModelError where too few
    are left to learn anything from.
    """
    if len(materials.taught) != len(materials.train):
        raise ModelError(
            f"there are {len(materials.taught)} answers of the teacher to {len(materials.train)} training examples",
            where="candidates",
            fix='write teacher = "NAME", the name of another candidate',
        )
    kept, unsure, failed = [], 0, 0
    for example, answer in zip(materials.train, materials.taught, strict=True):
        said = _said(materials, answer)
        if said is None:
            failed += 1
        elif answer.confidence is not None and answer.confidence < materials.settings.min_confidence:
            unsure += 1
        else:
            kept.append(msgspec.structs.replace(example, reference=said))
    if not kept:
        what = f"none of the teacher's answers can be learned: {failed} failed, {unsure} were unsure"
        raise ModelError(what, where="candidates", fix="lower min_confidence, or choose another teacher")
    whole = len(materials.train)
    return kept, f"learned {len(kept)} of {whole} answers of the teacher; {failed} had failed, {unsure} were unsure"


def _said(materials: Materials, answer: Answer) -> str | None:
    """Return what a reference would hold, or None for an answer that is none."""
    if answer.error:
        return None
    try:
        parsed = plugins.get("tasks", materials.task).parse(answer.output, materials.labels)
    except ValueError:
        return None
    return parsed if isinstance(parsed, str) else answer.output


def _tune_encoder(materials: Materials, examples: Sequence[Example], folder: Path, progress: Progress) -> Decided:
    trainer = plugins.get("adaptations", "finetune")
    ours: dict[str, Any] = msgspec.to_builtins(materials.settings)
    defaults: dict[str, Any] = msgspec.to_builtins(msgspec.convert({"teacher": "-"}, Settings))
    known = {field.name for field in msgspec.structs.fields(trainer.settings)}
    asked = {key: ours[key] for key in ENCODER_KEYS if key in known and ours[key] != defaults[key]}
    if "epochs" in asked:
        asked["epochs"] = max(1, round(asked["epochs"]))
    settings = msgspec.convert(asked, trainer.settings)
    return trainer.build(msgspec.structs.replace(materials, settings=settings, train=tuple(examples)), folder, progress)


def _add_to_record(folder: Path, note: str) -> None:
    record = load_record(folder)
    if record is not None:
        method = record.method if record.method.startswith("distil") else f"distil, then {record.method}"
        save_record(folder, msgspec.structs.replace(record, method=method, events=(note, *record.events)))


TRAINER = DistilTrainer()
