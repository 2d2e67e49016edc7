"""Makes a candidate from its recipe: trains, adapts or composes it, and puts its files in the vault.

Serves both explore (kinds) and adapt (adaptations and compositions). Reads train and validation, never test or guard.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lifeloop import plugins
from lifeloop.core.brief import convert_settings
from lifeloop.core.candidates import Answer, Candidate, Recipe
from lifeloop.core.content import Id, content_id
from lifeloop.core.data import Example
from lifeloop.core.errors import LifeloopError, ModelError
from lifeloop.core.evidence import Trial
from lifeloop.core.progress import Progress
from lifeloop.engine.spending import Meter
from lifeloop.engine.trial import Workplace
from lifeloop.metrics.declared import metrics_of
from lifeloop.metrics.metric_kind import Surroundings
from lifeloop.models.model import ModelKind
from lifeloop.stages.adapt import NOT_SETTINGS, SEARCH
from lifeloop.stages.prefer import CERTAIN
from lifeloop.store.preference_tables import NO_PREFERENCES, read_preferences
from lifeloop.store.responses import Responses
from lifeloop.store.tables import from_parquet, table_to_answers
from lifeloop.store.training_data import read_for_selection, sample
from lifeloop.store.vault import Vault
from lifeloop.tasks.task import Metric
from lifeloop.training.trainer import Decided, Materials, MemberAnswers, Trainer

VERSION = "1"


def version_of(table: dict[str, Any]) -> str:
    """Return the version of all code that making a candidate of this section rests on."""
    trainer = _trainer(table)
    kind: ModelKind | None = plugins.find("models", table.get("kind", ""))
    parts = [VERSION, trainer.version if trainer else "", kind.version if kind else ""]
    return "/".join(parts)


def make(vault: Vault, recipe: Recipe, max_items: int, workplace: Workplace, *, progress: Progress) -> Id:
    """Return the id of the candidate that the recipe gives. Raises ModelError or BriefError."""
    trainer = _trainer(recipe.table)
    parent = vault.get_value(recipe.parent, Candidate) if recipe.parent else None
    settings, kept = _settings(recipe, trainer, parent)
    if trainer is None:
        return vault.put_value(_candidate(recipe, parent, Decided(kept), files=""))
    materials = msgspec.structs.replace(
        _materials(vault, recipe, settings, parent, max_items),
        scoring=_scoring(recipe, workplace),
        pay=_payer(workplace),
        scratch=_scratch(recipe, workplace),
        project=workplace.folder,
    )
    with tempfile.TemporaryDirectory(prefix="lifeloop-") as folder, _named(recipe.name):
        decided = _built(trainer, recipe, materials, Path(folder), progress)
        files = vault.put_folder(Path(folder))
    whole = msgspec.structs.replace(decided, settings=kept | decided.settings)
    return vault.put_value(_candidate(recipe, parent, whole, files=files))


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Let errors of a trainer, which does not know whom it makes, say which section of the brief they are about."""
    try:
        yield
    except LifeloopError as error:
        first, _, rest = error.where.partition(".")
        if first == "candidates" and rest.partition(".")[0] != name:
            error.where = ".".join(part for part in (first, name, rest) if part)
        raise


def _built(trainer: Trainer, recipe: Recipe, materials: Materials, folder: Path, progress: Progress) -> Decided:
    """Return what training decided: once with the brief's own settings, or over the ranges that it searches."""
    ranges = recipe.table.get(SEARCH)
    if ranges is None:
        return trainer.build(materials, folder, progress)
    from lifeloop.training.search import searched

    return searched(trainer, materials, ranges, f"candidates.{recipe.name}.{SEARCH}", folder, progress)


def _scratch(recipe: Recipe, workplace: Workplace) -> Path | None:
    """Return a folder that belongs to this recipe, so that what is trained again after a kill finds its checkpoints."""
    if workplace.scratch is None:
        return None
    folder = scratch_of(workplace.scratch, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def scratch_of(root: Path, recipe: Recipe) -> Path:
    """Return the folder of a recipe's checkpoints. Whoever has the candidate on record may remove it."""
    return root / content_id(recipe)[:16]


def _scoring(recipe: Recipe, workplace: Workplace) -> Metric | None:
    """Return the metric to make good, where the brief declares it."""
    if recipe.metric not in recipe.metrics:
        return None
    left = workplace.allowance
    around = Surroundings(
        recipe.task, recipe.labels, workplace.folder, workplace.responses, workplace.cycle, left.usd, left.tokens
    )
    return metrics_of(recipe.task, recipe.metrics, around)[recipe.metric]


def _payer(workplace: Workplace) -> Callable[[float, int], None]:
    """Return a function that books what making pays, and stops it where the budget is used up."""
    meter = Meter(workplace.allowance)

    def pay(usd: float, tokens: int) -> None:
        if usd or tokens:
            with Responses(workplace.responses) as responses:
                responses.put([], cycle=workplace.cycle, usd=usd, tokens=tokens)
        meter.add([Answer(output="", usd=usd, tokens_in=tokens)])
        if key := meter.used_up():
            raise ModelError(
                "the budget is used up while it was being made; what was paid for is counted",
                where=f"lifeloop.toml: budget.{key}",
                fix="raise it and run again, or give the adaptation fewer calls",
            )

    return pay


def _trainer(table: dict[str, Any]) -> Trainer | None:
    if "adapt" in table:
        found: Trainer = plugins.get("adaptations", table["adapt"])
        return found
    return plugins.find("trainers", table["kind"])


def _settings(recipe: Recipe, trainer: Trainer | None, parent: Candidate | None) -> tuple[Any, dict[str, Any]]:
    """Return the settings that training reads, and those that the candidate keeps for serving."""
    where = f"candidates.{recipe.name}"
    table = {key: value for key, value in recipe.table.items() if key not in NOT_SETTINGS}
    if parent is not None:
        assert trainer is not None and trainer.settings is not None, "an adaptation always has a trainer with settings"
        return convert_settings(table, trainer.settings, where, "lifeloop.toml"), dict(parent.settings)
    kind: ModelKind = plugins.get("models", recipe.table["kind"], where=where)
    settings = convert_settings(table, kind.settings, where, "lifeloop.toml")
    return settings, msgspec.to_builtins(settings)


def _materials(vault: Vault, recipe: Recipe, settings: Any, parent: Candidate | None, max_items: int) -> Materials:
    train = read_for_selection(vault, recipe.dataset, "train")
    validation = read_for_selection(vault, recipe.dataset, "validation")
    preferred = read_preferences(vault, recipe.preferences, CERTAIN) if recipe.preferences else NO_PREFERENCES
    if recipe.members:  # composed on the very items that the members were tried on
        validation = sample(validation, max_items, recipe.seed)
    return Materials(
        task=recipe.task,
        labels=recipe.labels,
        settings=settings,
        train=tuple(train),
        validation=tuple(validation),
        prompt=recipe.prompt if parent is None else parent.prompt,
        parent=vault.folder(parent.files) if parent and parent.files else None,
        parent_settings=parent.settings if parent else None,
        parent_kind=parent.kind if parent else "",
        members=tuple(_member(vault, trial) for _, trial in recipe.members),
        out_of_scope=recipe.out_of_scope,
        metric=recipe.metric,
        seed=recipe.seed,
        preferences=preferred.trusted,
        held_out=preferred.held_out,
        doubted=preferred.doubted,
        flip_rate=preferred.flip_rate,
        corpus=tuple(sorted(vault.folder(recipe.corpus).iterdir())) if recipe.corpus else (),
        taught=_taught(vault, recipe.taught, train) if recipe.taught else (),
    )


def _taught(vault: Vault, answers: Id, train: Sequence[Example]) -> tuple[Answer, ...]:
    """Return a teacher's answers to the training examples, in their order."""
    table = from_parquet(vault.get(answers))
    first = table.filter(table["repeat"] == 0)
    found = dict(zip(first["example"], table_to_answers(first), strict=True))
    return tuple(found[example.id] for example in train)


def _member(vault: Vault, trial: Id) -> MemberAnswers:
    found = vault.get_value(trial, Trial)
    table = from_parquet(vault.get(found.answers))
    answers = tuple(table_to_answers(table.filter(table["repeat"] == 0)))  # one answer an example, however often asked
    return MemberAnswers(name=found.name, answers=answers, usd_per_1000=found.measurements.usd_per_1000)


def _candidate(recipe: Recipe, parent: Candidate | None, decided: Decided, files: Id) -> Candidate:
    return Candidate(
        name=recipe.name,
        kind=decided.kind or (parent.kind if parent else recipe.table["kind"]),
        task=recipe.task,
        labels=recipe.labels,
        settings=decided.settings,
        files=files,
        prompt=decided.prompt or (recipe.prompt if parent is None else parent.prompt),
        parent=recipe.parent,
        members=tuple(candidate for candidate, _ in recipe.members),
        dataset=recipe.dataset,
        preferences=recipe.preferences,
    )
