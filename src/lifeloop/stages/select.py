"""Which rows to train on? Each meaning once, rows that are worth it, and within a budget of tokens those that stand
for the others.

Takes a dataset and the brief's selection, gives a view of the dataset that differs in its training rows alone, and the
reason for each row that is left out. Reads train and nothing else; the dataset itself stays whole.
"""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.content import Id
from lifeloop.core.data import Dataset, Example, Finding
from lifeloop.core.data_brief import Selection
from lifeloop.core.errors import BriefError
from lifeloop.core.progress import Progress
from lifeloop.guards.guard import finding
from lifeloop.stats import diversity
from lifeloop.store.tables import examples_to_table, to_parquet
from lifeloop.store.training_data import read_for_selection
from lifeloop.store.vault import Vault
from lifeloop.tasks.task import Task
from lifeloop.training.quality import Quality, quality
from lifeloop.training.text_vectors import text_vectors

VERSION = "1"
"""Changed by hand when the same rows would be selected otherwise."""

STEP = "selection"
POOR, REPEATED, BEYOND = "worth too little to train on", "it says what another row says", "beyond the budget of tokens"
TOGETHER = 2000
"""Rows that are compared with each other at most: more are put in parts of near ones first (SemDeDup does the same)."""
CHARS_A_TOKEN = 4

Labels = Callable[[Sequence[str]], tuple[str, ...]]


class Left(Struct, frozen=True):
    """A training row that no candidate is made from."""

    id: str
    source: str
    reason: str
    detail: str


class Chosen(Struct, frozen=True):
    """Which of some examples train."""

    kept: tuple[int, ...]
    """Their places, in order."""
    left: tuple[Left, ...]
    tokens: int
    """Of those that train."""
    of_tokens: int
    """Of all."""


class Selected(Struct, frozen=True):
    """A selection, as the vault has it."""

    dataset: Id
    """A Dataset whose training rows are those selected; all else is that of the version it was made from."""
    version: Id
    """The version."""
    left: Id
    """Parquet: id, source, reason and detail of each training row that was left out."""
    n_kept: int
    n_left: int
    tokens: int
    of_tokens: int
    findings: tuple[Finding, ...]


def select(vault: Vault, dataset: Id, settings: Selection, task: Task, seed: int, progress: Progress) -> Selected:
    """Return which training rows of a dataset train. Raises BriefError for a budget that not even the labels fit in,
    ModelError where the encoder is not there.
    """
    version = vault.get_value(dataset, Dataset)
    examples = read_for_selection(vault, dataset, "train")
    chosen = choose(examples, settings, task, seed, progress)
    table = vault.put(to_parquet(examples_to_table([examples[place] for place in chosen.kept])))
    left = pl.DataFrame(
        [msgspec.structs.asdict(each) for each in chosen.left],
        schema=dict.fromkeys(("id", "source", "reason", "detail"), pl.String),
    )
    findings = findings_of(chosen)
    view = msgspec.structs.replace(
        version,
        tables=version.tables | {"train": (table,)},
        counts=version.counts | {"train": len(chosen.kept)},
        findings=(*version.findings, *findings),
    )
    return Selected(
        dataset=vault.put_value(view),
        version=dataset,
        left=vault.put(to_parquet(left)),
        n_kept=len(chosen.kept),
        n_left=len(chosen.left),
        tokens=chosen.tokens,
        of_tokens=chosen.of_tokens,
        findings=findings,
    )


def findings_of(chosen: Chosen) -> tuple[Finding, ...]:
    """Return what was left out, a finding a reason."""
    by_reason: dict[str, list[str]] = {}
    for each in chosen.left:
        by_reason.setdefault(each.reason, []).append(each.source)
    return tuple(finding(STEP, "dropped", reason, sources) for reason, sources in by_reason.items())


def choose(examples: Sequence[Example], settings: Selection, task: Task, seed: int, progress: Progress) -> Chosen:
    """Return which examples train: first the poor ones go, then repeats, then what the budget does not hold.

    The best row of each label (or entity type) always stays. Raises as `select` does.
    """
    classify = task.name == "classify"
    costs = np.array([tokens(example) for example in examples], dtype=float)
    texts = [each.input if classify else f"{each.input}\n{each.reference}" for each in examples]
    vectors = text_vectors(texts, settings.encoder, seed, "lifeloop.toml: data.selection.encoder", progress)
    worth = quality([each.input for each in examples], vectors, [e.reference for e in examples] if classify else None)
    held = _held(examples, worth, costs, task)
    left: dict[int, tuple[str, str]] = {}
    if settings.quality:
        for place in np.flatnonzero(worth.scores < settings.quality):
            if int(place) not in held:
                left[int(place)] = (POOR, f"{worth.scores[place]:.2f}: {worth.weakest[place]}")
    progress(1, 3, "rows that say the same")
    groups = _groups(examples, vectors, classify, seed)
    if settings.similarity:
        left |= _repeats(examples, vectors, worth, groups, settings.similarity, held, left)
    progress(2, 3, "rows that stand for others")
    if settings.tokens:
        left |= _beyond(vectors, worth, costs, groups, settings.tokens, held, left)
    kept = tuple(place for place in range(len(examples)) if place not in left)
    return Chosen(
        kept=kept,
        left=tuple(Left(examples[at].id, examples[at].source, *left[at]) for at in sorted(left)),
        tokens=int(costs[list(kept)].sum()),
        of_tokens=int(costs.sum()),
    )


def tokens(example: Example) -> int:
    """Return about how many tokens a row has, with its reference."""
    return max(1, math.ceil((len(example.input) + len(example.reference)) / CHARS_A_TOKEN))


def _held(examples: Sequence[Example], worth: Quality, costs: NDArray[np.float64], task: Task) -> set[int]:
    """Return the best row of each label, of several the shortest: no candidate could know a label without a row."""
    best: dict[str, tuple[float, float, int]] = {}
    for place, example in enumerate(examples):
        mine = (-float(worth.scores[place]), float(costs[place]), place)
        for label in task.labels([example.reference]):
            best[label] = min(best.get(label, mine), mine)
    return {place for _, _, place in best.values()}


def _groups(
    examples: Sequence[Example], vectors: NDArray[np.float32], classify: bool, seed: int
) -> list[NDArray[np.intp]]:
    """Return the places of rows that are compared with each other: those of a label, or near ones, in small parts."""
    by_label: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        by_label.setdefault(example.reference if classify else "", []).append(place)
    found = []
    for label in sorted(by_label):
        own = np.array(by_label[label], dtype=np.intp)
        found += [own[part] for part in diversity.parts(vectors[own], TOGETHER, seed)]
    return found


def _repeats(
    examples: Sequence[Example],
    vectors: NDArray[np.float32],
    worth: Quality,
    groups: Sequence[NDArray[np.intp]],
    similarity: float,
    held: set[int],
    left: dict[int, tuple[str, str]],
) -> dict[int, tuple[str, str]]:
    """Return the rows that say what a better one says, or of two as good an earlier one."""
    found = {}
    for group in groups:
        own = [int(place) for place in group if int(place) not in left]
        order = sorted(range(len(own)), key=lambda row: (own[row] not in held, -worth.scores[own[row]], own[row]))
        firsts = {row for row, place in enumerate(own) if place in held}
        leaders = diversity.first_of_alike(vectors[own], order, similarity, firsts)
        for row, leader in enumerate(leaders):
            if leader != row:
                found[own[row]] = (REPEATED, f"as {examples[own[int(leader)]].id}")
    return found


def _beyond(
    vectors: NDArray[np.float32],
    worth: Quality,
    costs: NDArray[np.float64],
    groups: Sequence[NDArray[np.intp]],
    budget: int,
    held: set[int],
    left: dict[int, tuple[str, str]],
) -> dict[int, tuple[str, str]]:
    """Return the rows that the budget does not hold. Each group gets the share of it that it has of all tokens."""
    open_ = [[int(place) for place in group if int(place) not in left] for group in groups]
    total = float(sum(costs[own].sum() for own in open_))
    if total <= budget:
        return {}
    least = float(costs[list(held)].sum())
    if least > budget:
        raise BriefError(
            f"{budget} tokens do not hold one row of each label: that takes {least:.0f}",
            where="lifeloop.toml: data.selection.tokens",
            fix=f"raise it: all training rows have {costs.sum():.0f}",
        )
    found: dict[int, tuple[str, str]] = {}
    spare, rest = float(budget) - least, total - least
    for own in open_:
        chosen = [row for row, place in enumerate(own) if place in held]
        fixed = float(costs[own][chosen].sum())
        free = float(costs[own].sum()) - fixed
        share = spare * free / rest if rest else 0.0
        # Rows count by their worth: a wrong label is like no other row of that label, and coverage alone would take it.
        added = diversity.covering(vectors[own], worth.scores[own], costs[own], fixed + share, chosen)
        kept = {*chosen, *added}
        spare -= float(costs[own][added].sum())  # what a group leaves over, the later ones share
        rest -= free
        found |= {place: (BEYOND, f"{budget} tokens") for row, place in enumerate(own) if row not in kept}
    return found
