"""Asks a candidate's own model under other user templates and other shots, and scores what it says.

Takes the materials of an adaptation, gives values in which more is better. No variant is asked the same example twice,
and every call is counted. Knows nothing of how variants are come by; the system template is always the parent's.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Contract, Prompt, Request
from lifeloop.core.data import Example
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.core.progress import Progress
from lifeloop.models import prompting, scoring
from lifeloop.models.language_files import carry_language
from lifeloop.models.llamacpp import Learned
from lifeloop.models.model import Model, ModelKind
from lifeloop.models.prompting import Shot
from lifeloop.tasks.chat import request_for
from lifeloop.tasks.scoring import read
from lifeloop.tasks.task import Metric, Scope, Scored, Task
from lifeloop.training.shots import read_learned, write_learned
from lifeloop.training.trainer import Materials

SEARCH_FILE = "search.json"
"""Beside the shots: what was tried, for people."""


class Variant(Struct, frozen=True):
    """One way to ask the model."""

    about: str
    """How it came about, in a few words."""
    user: str
    """The user template."""
    shots: tuple[Shot, ...] = ()

    @property
    def asks(self) -> "Asks":
        """What it sends to the model: two variants that ask alike are one."""
        return self.user, self.shots


Asks = tuple[str, tuple[Shot, ...]]


class Tried(Struct, frozen=True):
    """One variant, as the record of a search shows it."""

    about: str
    user: str
    n_shots: int
    split: str
    n_items: int
    value: float
    """On the objective; less is better where the metric says so."""


class Search(Struct, frozen=True):
    """The record of a search: the file `search.json`."""

    metric: str
    calls: int
    usd: float
    tokens: int
    discarded: int
    """Proposals that could not be used, such as templates without the input."""
    chosen: str
    tried: tuple[Tried, ...]


class Bench:
    """The parent's model, open to be asked. A context manager: it frees the model and its files at the end."""

    def __init__(self, materials: Materials, most_calls: int, progress: Progress) -> None:
        settings = materials.parent_settings or {}
        if "shots" not in settings or "prompt" not in settings:
            raise ModelError(
                "its parent has no prompt",
                where="candidates",
                fix='name a parent that is prompted: kind = "remote", "llamacpp" or "transformers"',
            )
        self.materials = materials
        self.task: Task = plugins.get("tasks", materials.task)
        known = materials.scoring or self.task.metrics.get(materials.metric)
        self.metric: Metric = known or next(iter(self.task.metrics.values()))
        self.prompt = materials.prompt or prompting.PLAIN
        self.calls, self.usd, self.tokens = 0, 0.0, 0
        self.tried: list[Tried] = []
        self._most_calls = most_calls
        self._progress = progress
        self._scope = Scope(labels=materials.labels, out_of_scope=materials.out_of_scope)
        self._validation = {example.id for example in materials.validation}
        self._answers: dict[Asks, dict[str, Answer]] = {}
        self._chances: dict[Asks, dict[str, list[float]]] = {}
        self._folders = tempfile.TemporaryDirectory(prefix="lifeloop-")
        self._model: Model | None = None

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        if self._model is not None:
            self._model.close()
        self._folders.cleanup()

    @property
    def contract(self) -> Contract:
        """What the task asks of an output."""
        return self.task.contract(self.materials.labels)

    @property
    def left(self) -> int:
        """Calls that may still be made."""
        return max(0, self._most_calls - self.calls)

    @property
    def calibration(self) -> int:
        """Inputs on which the model's liking for labels is measured before it serves; 0 where it is not."""
        wanted = (self.materials.parent_settings or {}).get("calibrate", 0)
        return int(wanted) if self.contract.choices else 0

    def as_it_was(self) -> Variant:
        """Return how the parent asks."""
        learned = read_learned(self.materials.parent)
        return Variant("as it was", self.prompt.user, tuple(learned.shots))

    def value(self, variant: Variant, examples: Sequence[Example], prior: Sequence[float] = ()) -> float:
        """Return the objective on examples, turned so that more is better. `prior` as in `answers`."""
        found = self.scored(variant, examples, prior)
        columns = self.metric.columns(found, self._scope)
        columns = columns[~np.isnan(columns).any(axis=1)]
        value = float(self.metric.combine(columns.mean(axis=0))) if len(columns) else 0.0
        split = "validation" if examples[0].id in self._validation else "train"
        self.tried.append(Tried(variant.about, variant.user, len(variant.shots), split, len(examples), value))
        return value if self.metric.direction == "max" else -value

    def values(self, found: Sequence[Scored]) -> list[float]:
        """Return each example's own score in [0, 1], more is better; 1 where the metric says nothing of it."""
        columns = self.metric.columns(found, self._scope)
        own = np.array([float(self.metric.combine(row)) for row in columns])
        own = own if self.metric.direction == "max" else 1.0 - own
        return np.clip(np.nan_to_num(own, nan=1.0), 0.0, 1.0).tolist()

    def scored(self, variant: Variant, examples: Sequence[Example], prior: Sequence[float] = ()) -> list[Scored]:
        """Return the examples with what a variant says of them."""
        return read(self.task, examples, self.answers(variant, examples, prior), self._scope)

    def answers(self, variant: Variant, examples: Sequence[Example], prior: Sequence[float] = ()) -> list[Answer]:
        """Return a variant's answers. A model that scores labels is corrected by `prior`; where that is empty, by its
        liking for labels over these very examples, whose references it does not see.
        """
        self._ask(variant, examples)
        rows = self._chances.get(variant.asks, {})
        prior = prior or self.prior(variant, examples)
        return [
            self._likeliest(rows[example.id], prior) if example.id in rows else self._answers[variant.asks][example.id]
            for example in examples
        ]

    def check(self, variant: Variant, examples: Sequence[Example]) -> None:
        """Raise ModelError where the model answers not one of the examples."""
        found = self.answers(variant, examples)
        if found and all(answer.error for answer in found):
            raise ModelError(
                f"not one of {len(found)} requests was answered: {found[0].error}",
                where=f"candidates, kind {self.materials.parent_kind}",
                fix="see that the model answers: `lifeloop prompts try`",
            )

    def prior(self, variant: Variant, examples: Sequence[Example]) -> list[float]:
        """Return a variant's liking for labels over examples, asked for where it is not known; empty for models that
        score no labels.
        """
        self._ask(variant, examples)
        rows = self._chances.get(variant.asks, {})
        found = [rows[example.id] for example in examples if example.id in rows]
        return scoring.geometric_mean(found) if found else []

    def _likeliest(self, chances: Sequence[float], prior: Sequence[float]) -> Answer:
        chances = scoring.calibrated(chances, prior)
        best = max(range(len(chances)), key=chances.__getitem__)
        return Answer(output=self.contract.choices[best], confidence=chances[best])

    def write(self, prompt: Prompt, text: str, max_tokens: int) -> Answer:
        """Return what the model writes when it is given a text under a prompt for writing."""
        wanted = {"shots": 0, "max_words": 3000, "max_tokens": max_tokens}
        settings = dict(self.materials.parent_settings or {})
        settings |= {key: value for key, value in wanted.items() if key in settings}
        candidate = Candidate("writing", self.materials.parent_kind, "generate", (), settings, prompt=prompt)
        model, owned = self._open(candidate, Learned())
        try:
            return self.counted(model.answer([Request(text=text)]))[0]
        finally:
            if owned:
                model.close()

    def _ask(self, variant: Variant, examples: Sequence[Example]) -> None:
        known = self._chances.get(variant.asks, {}).keys() | self._answers.get(variant.asks, {}).keys()
        missing = [example for example in examples if example.id not in known]
        if not missing:
            return
        prompt = msgspec.structs.replace(self.prompt, user=variant.user)
        candidate = Candidate(
            name="trying a prompt",
            kind=self.materials.parent_kind,
            task=self.materials.task,
            labels=self.materials.labels,
            settings=dict(self.materials.parent_settings or {}) | {"shots": len(variant.shots)},
            prompt=prompt,
        )
        model, owned = self._open(candidate, Learned(shots=list(variant.shots)))
        try:
            self._put(variant, model, missing)
        finally:
            if owned:
                model.close()

    def _put(self, variant: Variant, model: Model, examples: Sequence[Example]) -> None:
        likings: Callable[[Request], list[float]] | None = getattr(model, "probabilities", None)
        answers = self._answers.setdefault(variant.asks, {})
        if likings and self.calibration:
            rows = self._chances.setdefault(variant.asks, {})
            for example in examples:
                self._tell(variant)
                self.calls += 1
                try:
                    rows[example.id] = likings(request_for(self.materials.task, example.input))
                except LifeloopError as error:  # too many shots for the model's context, say
                    answers[example.id] = Answer(output="", error=error.what)
            return
        for start in range(0, len(examples), model.batch_size):
            self._tell(variant)
            batch = examples[start : start + model.batch_size]
            said = self.counted(model.answer([request_for(self.materials.task, each.input) for each in batch]))
            answers.update({example.id: answer for example, answer in zip(batch, said, strict=True)})

    def counted(self, answers: list[Answer], *, own: bool = True) -> list[Answer]:
        """Return answers after writing down what they took; `own` says whether the candidate's own model gave them."""
        self.calls += len(answers) if own else 0
        usd = sum(answer.usd for answer in answers)
        tokens = sum(answer.tokens_in + answer.tokens_out for answer in answers)
        self.usd += usd
        self.tokens += tokens
        self.materials.pay(usd, tokens)
        return answers

    def _tell(self, variant: Variant) -> None:
        self._progress(min(self.calls, self._most_calls), self._most_calls, f"trying: {variant.about}")

    def _open(self, candidate: Candidate, learned: Learned) -> tuple[Model, bool]:
        """Return a model under a candidate's prompt, and whether it is the caller's to close.

        A kind whose models can take another prompt (`prompted`) keeps its weights in memory for the whole search.
        """
        folder = Path(tempfile.mkdtemp(dir=self._folders.name))
        write_learned(folder, learned)
        kind: ModelKind = plugins.get("models", candidate.kind)
        again: Callable[[Candidate, Path], Model] | None = getattr(self._model, "prompted", None)
        if again is not None:
            return again(candidate, folder), False
        carry_language(self.materials.parent, folder)
        model = kind.load(candidate, folder, ())
        if hasattr(model, "prompted"):
            self._model = model
            return model, False
        return model, True

    def record(self, chosen: Variant, discarded: int) -> Search:
        """Return what was tried and what it took."""
        return Search(
            metric=self.metric.name,
            calls=self.calls,
            usd=self.usd,
            tokens=self.tokens,
            discarded=discarded,
            chosen=chosen.about,
            tried=tuple(self.tried),
        )


def check_numbers(**numbers: Any) -> None:
    """Raise ValueError for a setting below its least value; given as `name=(value, least)`."""
    for name, (value, least) in numbers.items():
        if value < least:
            raise ValueError(f"`{name}` is {value}, and must be at least {least}")
