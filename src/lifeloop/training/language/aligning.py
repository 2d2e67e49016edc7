"""What every alignment does around its own loss: opens the parent, and after training saves, measures and probes.

Takes materials and a function that trains on preferences, gives the candidate's files with their record. Knows nothing
of how the loss is made.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.core.training_record import TrainingRecord
from lifeloop.models.language_files import LANGUAGE, open_language, save_language
from lifeloop.training.language.ablation import Measures, ablations, measures
from lifeloop.training.language.lora import Method, Weights, merged, opened_in, trained_part
from lifeloop.training.language.preference_rows import reference_rows, watched
from lifeloop.training.language.probes.checks import PROBED, checks_of
from lifeloop.training.language.probes.triggers import Suspects, suspects
from lifeloop.training.language.running import Ran
from lifeloop.training.language.turns import Wording, label_ids, prompt_ids, wording
from lifeloop.training.language.watching import watch_sample
from lifeloop.training.language.writing import write
from lifeloop.training.record import save_record
from lifeloop.training.trainer import Decided, Materials

WHERE = "candidates"
LONGEST = 64
"""Tokens of an answer that are read when models are watched and probed."""


class Alignment(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings that all alignments have."""

    method: Method = "lora"
    rank: int = 16
    batch: int = 8
    """Preferences of a step (of GRPO: answers)."""
    accumulation: int = 1
    max_tokens: int = 512
    """Prompts and answers together are cut to so many tokens."""
    minutes: float = 0.0
    """Training stops after so many; 0 sets no bound."""
    patience: int = 0
    """Training stops after so many measurements that were no better; 0: it does not."""
    evaluations: int = 4
    """How often the held-out preferences and the watch are looked at."""
    watch_items: int = 24
    """Validation examples on which the brief's metric is watched; 0 turns the watch off."""
    watch_limit: float = 0.1
    """By how much the metric may be worse than the parent's there while the reward is up."""
    ablation: bool = True
    """Whether the same training is done once more with the doubted preferences in, to show what they would have done."""
    quantisation: str = "q8_0"
    """Of the GGUF file that is served."""

    @property
    def weights(self) -> Weights:
        """Which weights are trained."""
        return Weights(method=self.method, rank=self.rank, alpha=2.0 * self.rank)


class Asked(Struct, frozen=True):
    """A parent to be aligned, and how it is asked."""

    materials: Materials
    how: Wording

    @property
    def tokenizer(self) -> Any:
        """The parent's tokenizer."""
        return self.how.tokenizer

    def answers(self, model: Any, examples: Sequence[Example]) -> list[str]:
        """Return what a model says to examples."""
        return self.write(model, [example.input for example in examples])

    def write(self, model: Any, inputs: Sequence[str]) -> list[str]:
        """Return what a model says to inputs."""
        prompts = [prompt_ids(self.how, text, LONGEST) for text in inputs]
        longest = min(self.how.contract.max_tokens, LONGEST)
        return write(model, self.tokenizer, prompts, longest, label_ids(self.how))


Train = Callable[[Sequence[Preference], str], Ran]
"""Trains the parent on preferences, as the part of that name."""


def opened(materials: Materials) -> tuple[Any, Any]:
    """Return the parent's model and tokenizer, anew. Raises ModelError where it is no language model of one's own."""
    settings = materials.parent_settings or {}
    own = materials.parent is not None and (materials.parent / LANGUAGE).is_dir()
    if not own and not settings.get("model"):
        raise ModelError(
            "its parent is no language model",
            where=WHERE,
            fix='name a parent with kind = "llamacpp", "transformers" or "scratch"',
        )
    asked: Alignment = materials.settings
    return open_language(settings.get("model", ""), materials.parent, WHERE, dtype=opened_in(asked.method, "float32"))


def to_train(materials: Materials) -> Any:
    """Return the part of the parent that is trained, anew."""
    return trained_part(opened(materials)[0], materials.settings.weights)


def asked_as(materials: Materials, tokenizer: Any) -> Asked:
    """Return how the candidate is asked."""
    settings = materials.parent_settings or {}
    how = wording(
        tokenizer, materials.task, materials.labels, materials.prompt, settings, materials.settings.max_tokens
    )
    return Asked(materials, how)


def aligned(
    materials: Materials,
    folder: Path,
    progress: Progress,
    *,
    name: str,
    preferences: Sequence[Preference],
    train: Train,
    asked: Asked,
    n_examples: int,
) -> Decided:
    """Train, save, measure, probe, and write the record. `preferences` are those trained on, for the ablation."""
    settings: Alignment = materials.settings
    ran = train(preferences, "")
    child = merged(ran.model)
    save_language(child, asked.tokenizer, folder, settings.quantisation)
    progress(0, 1, "probing parent and child")
    parent = opened(materials)[0].to(next(child.parameters()).device)
    words = suspects(materials.preferences, materials.doubted)
    checks, moved = checks_of(parent, child, asked, words)
    doubted = [each for each in materials.doubted if each.weight > 0]
    compared = settings.ablation and bool(doubted) and bool(preferences)
    before = [_measures(model, asked, words) for model in (parent, child)] if compared else []
    del parent, child
    record = TrainingRecord(
        method=f"{name} ({settings.weights.words})",
        seed=materials.seed,
        n_examples=n_examples,
        settings=_settings(settings, ran),
        curve=ran.curve,
        best_step=ran.best_step,
        events=ran.events,
        checks=tuple(checks),
        kl_to_parent=moved,
    )
    save_record(folder, record)  # before the ablation, which may take as long again
    if compared:
        progress(0, 1, "once more with the doubted preferences")
        other = merged(train((*preferences, *doubted), "unguarded").model)
        import msgspec

        rows = ablations(*before, _measures(other, asked, words))
        save_record(folder, msgspec.structs.replace(record, ablations=rows))
    return Decided(score=ran.score)


def _measures(model: Any, asked: Asked, words: Suspects) -> Measures:
    materials = asked.materials
    sample = watch_sample(materials, PROBED)
    return measures(model, asked, watched(materials), words, sample)


def _settings(settings: Alignment, ran: Ran) -> dict[str, Any]:
    import msgspec

    used: dict[str, Any] = msgspec.to_builtins(settings)
    return used | {"batch": ran.plan.batch, "accumulation": ran.plan.accumulation}
