"""Where a language model's tuning begins and ends: opens the parent, writes the child that serves in its place."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from lifeloop.core.errors import ModelError
from lifeloop.core.training_record import TrainingRecord
from lifeloop.models.language_files import GGUF, open_language, open_tokenizer, save_language
from lifeloop.training.language import LANGUAGE_KINDS
from lifeloop.training.language.lora import Weights, merged, opened_in, trained_part
from lifeloop.training.language.plan import is_first
from lifeloop.training.record import save_record
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    from lifeloop.training.language.running import Ran
    from lifeloop.training.language.turns import Wording

WHERE = "candidates"


class LanguageParent(Struct, frozen=True):
    """The candidate that is tuned."""

    kind: str
    settings: dict[str, Any]
    files: Path | None
    tokenizer: Any

    def open_whole(self, dtype: str) -> Any:
        """Return its model, anew."""
        return open_language(self.settings.get("model", ""), self.files, WHERE, dtype=dtype)[0]

    def open_trained(self, settings: Any) -> tuple[Any, Any]:
        """Return its model with what `settings` (`method`, `rank`, …, `dtype`) trains, anew, and its tokenizer."""
        model = self.open_whole(opened_in(settings.method, settings.dtype))
        return trained_part(model, weights_of(settings)), self.tokenizer


def language_parent(materials: Materials, kinds: Sequence[str] = LANGUAGE_KINDS) -> LanguageParent:
    """Return the parent of a training. Raises ModelError where there is none, or it is no language model."""
    if materials.parent_settings is None:
        raise ModelError("there is no parent to start from", where=WHERE, fix='write parent = "NAME"')
    if materials.parent_kind not in kinds:
        raise ModelError(
            f"a candidate of kind {materials.parent_kind!r} has no language model to tune",
            where=f"{WHERE}: parent",
            fix=f"name a parent of kind {', '.join(kinds)}",
        )
    tokenizer = open_tokenizer(materials.parent_settings.get("model", ""), materials.parent, WHERE)
    return LanguageParent(materials.parent_kind, materials.parent_settings, materials.parent, tokenizer)


def wording_of(parent: LanguageParent, materials: Materials, max_tokens: int) -> "Wording":
    """Return how the parent is asked, and so its child."""
    from lifeloop.training.language.turns import wording

    return wording(parent.tokenizer, materials.task, materials.labels, materials.prompt, parent.settings, max_tokens)


def weights_of(settings: Any) -> Weights:
    """Return what the settings of an adaptation train."""
    return Weights(settings.method, settings.rank, settings.alpha, settings.dropout)


def write_child(
    ran: "Ran", parent: LanguageParent, materials: Materials, *, name: str, n_examples: int, folder: Path
) -> Decided:
    """Write the trained model, merged, with its record and whatever the parent's kind reads beside it."""
    settings = materials.settings
    if is_first():
        save_language(merged(ran.model), parent.tokenizer, folder, settings.gguf)
        write_beside(folder)
        save_record(folder, record_of(ran, materials, f"{name} ({weights_of(settings).words})", n_examples))
    return decided(parent, folder, ran.score)


def write_beside(folder: Path) -> None:
    """Write that the child is shown no examples, and that nothing is known of what its scores lean to."""
    from lifeloop.models.llamacpp import Learned
    from lifeloop.training.shots import write_learned

    write_learned(folder, Learned())


def decided(parent: LanguageParent, folder: Path, score: float | None) -> Decided:
    """Return what the child's settings are: no shots, no calibration; and its kind where llama.cpp cannot serve it."""
    unneeded = {key: 0 for key in ("shots", "calibrate") if key in parent.settings}
    kind = "transformers" if parent.kind == "llamacpp" and is_first() and not (folder / GGUF).exists() else ""
    return Decided(settings=unneeded, kind=kind, score=score)


def record_of(ran: "Ran", materials: Materials, method: str, n_examples: int) -> TrainingRecord:
    """Return the record of a training."""
    return TrainingRecord(
        method=method,
        seed=materials.seed,
        n_examples=n_examples,
        settings=msgspec.to_builtins(materials.settings) | {"batch": ran.plan.batch},
        curve=ran.curve,
        best_step=ran.best_step,
        events=ran.events,
    )
