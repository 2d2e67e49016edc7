"""The rows to label next: from events that nobody has judged and from files without labels, to a sheet to fill in.

Asks the champion, a candidate that is named, or else a quick model of the training rows how sure it is. Reads the
ledger, train and validation, never test or guard; what an endpoint is paid is booked on the last cycle.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.content import Id, normalise
from lifeloop.core.data import Dataset
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.events import Event
from lifeloop.core.progress import Progress
from lifeloop.engine.spending import Allowance, Meter
from lifeloop.lifecycle.surroundings import responses_of
from lifeloop.lifecycle.version_log import newest_dataset
from lifeloop.models.answering_id import prices_of
from lifeloop.models.loading import load_candidate
from lifeloop.models.model import AnswersEach, Model
from lifeloop.project import Project
from lifeloop.sources.places import places, source_of
from lifeloop.sources.source import Reading
from lifeloop.stages.shortlist import Guess, Pooled, Shortlist, shortlist
from lifeloop.store.ledger import Ledger
from lifeloop.store.responses import Responses
from lifeloop.store.training_data import read_for_selection
from lifeloop.store.vault import Vault
from lifeloop.training.text_vectors import best_vectors
from lifeloop.training.trainer import Materials

MOST_EVENTS = 50_000
"""The newest events that are looked at."""
AT_ONCE = 256
WITH_PROBABILITIES = ("features", "encoder")
"""Kinds whose models give the probabilities of all labels, for many requests at a time."""
QUICK = "a quick model of the training rows"


class Proposal(Struct, frozen=True):
    """What is to be labelled, and how that was found."""

    shortlist: Shortlist
    model: str
    """Who was asked how sure it is; "" where nobody was."""
    vectors: str
    """The encoder by which rows differ, or "" for their words."""


class Asked(Struct, frozen=True):
    """Who is asked how sure it is."""

    name: str
    id: Id
    """The candidate."""


def propose(project: Project, n: int, files: Sequence[str], candidate: str, progress: Progress) -> Proposal:
    """Return the rows to label next: of `files` and of events without feedback.

    `candidate` names who is asked; by default the champion. Raises BriefError for a name that no cycle made and for an
    empty pool, DataError for files that cannot be read, ModelError where the budget for asking is used up.
    """
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        events = _unjudged(ledger)
        pool = [*_of_events(events), *_of_files(project, files)]
        if not pool:
            raise BriefError(
                "there is nothing to choose from: no event without feedback, and no file was named",
                where="data select label",
                fix="name a file with texts: --from texts.csv",
            )
        dataset = newest_dataset(ledger)
        known = _known(vault, dataset) if dataset else set()
        asked = _asked(ledger, vault, candidate)
        guesses, name = _guesses(project, ledger, vault, dataset, asked, pool, events, progress)
        used: list[str] = []

        def vectors_of(texts: Sequence[str]) -> np.ndarray:
            vectors, encoder = best_vectors(texts, project.brief.data.seed, progress)
            used.append(encoder)
            return vectors

        found = shortlist(pool, guesses, known, vectors_of, n, project.brief.data.seed)
    return Proposal(found, name, used[0] if used else "")


# the pool


def _unjudged(ledger: Ledger) -> dict[str, Event]:
    """Return the newest events that nobody has said anything of, by id, newest first."""
    judged = {row.event.id for row in ledger.feedback()}
    return {event.id: event for event in ledger.latest_events(MOST_EVENTS) if event.id not in judged}


def _of_events(events: dict[str, Event]) -> list[Pooled]:
    return [Pooled(id, f"event:{id}", event.input, event=id) for id, event in events.items()]


def _of_files(project: Project, files: Sequence[str]) -> Iterator[Pooled]:
    """Yield the rows of files in any format of a source; of the columns that the brief names, those that are there."""
    data, task = project.brief.data, project.brief.project.task
    for file in files:
        asked = msgspec.structs.replace(data, source=file, format="auto", id="", group="", split="", slices=())
        for place in places(Reading(asked, project.folder, task)):
            source = source_of(place)
            there = next(iter(source.sample(place.place, Reading(asked, project.folder, task), 1)), {})
            column = next((name for name in (data.input, "text", *there) if name in there), data.input)
            wanted = msgspec.structs.replace(
                asked,
                input=column,
                reference=column,  # there is none yet
                id=data.id if data.id in there else "",
                group=data.group if data.group in there else "",
                slices=tuple(name for name in data.slices if name in there),
            )
            for chunk in source.chunks(place.place, Reading(wanted, project.folder, task)):
                for row in chunk.table.filter(pl.col("flaw") == "").iter_rows(named=True):
                    slices = msgspec.json.decode(row["slices"], type=dict[str, str])
                    yield Pooled(row["id"], row["source"], row["input"], row["group"], slices)


def _known(vault: Vault, dataset: Id) -> set[str]:
    rows = [*read_for_selection(vault, dataset, "train"), *read_for_selection(vault, dataset, "validation")]
    return {normalise(example.input) for example in rows}


# how sure a model is


def _asked(ledger: Ledger, vault: Vault, name: str) -> Asked | None:
    if not name:
        release = ledger.current_release()
        return Asked(release.name, release.candidate) if release else None
    for row in reversed(ledger.runs()):
        if row.subject == f"make {name}":
            return Asked(name, vault.get_value(row.output, str))
    made = sorted({row.subject.removeprefix("make ") for row in ledger.runs() if row.subject.startswith("make ")})
    raise BriefError(
        f"no cycle has made a candidate {name!r}",
        where="--candidate",
        fix=f"name one of: {', '.join(made)}" if made else "`lifeloop run` makes them; a quick model does without",
    )


def _guesses(
    project: Project,
    ledger: Ledger,
    vault: Vault,
    dataset: Id,
    asked: Asked | None,
    pool: Sequence[Pooled],
    events: Mapping[str, Event],
    progress: Progress,
) -> tuple[list[Guess] | None, str]:
    """Return how sure a model is of each row, and who it is; None where there is none to ask."""
    if project.brief.project.task != "classify":  # an answer in words comes with no measure of doubt that holds
        return None, ""
    if asked is not None:
        known = _given(events, asked.id)
        missing = [row for row in pool if row.event not in known]
        found = _of_candidate(project, ledger, vault, asked.id, missing, progress) if missing else []
        fresh = iter(found)
        return [known[row.event] if row.event in known else next(fresh) for row in pool], asked.name
    if not dataset:
        return None, ""
    labels = vault.get_value(dataset, Dataset).labels
    with _quick_model(project, vault, dataset, labels, progress) as model:
        return _ask(model, labels, pool, lambda answers, left: None, progress), QUICK


def _given(events: Mapping[str, Event], candidate: Id) -> dict[str, Guess]:
    """Return what a candidate said in production, by event: nobody need ask it again."""
    return {
        id: Guess(event.output, event.confidence)
        for id, event in events.items()
        if event.candidate == candidate and event.confidence is not None and not event.error
    }


def _of_candidate(
    project: Project, ledger: Ledger, vault: Vault, identifier: Id, rows: Sequence[Pooled], progress: Progress
) -> list[Guess]:
    """Return what a candidate says of rows, within what the last cycle may still spend."""
    candidate = vault.get_value(identifier, Candidate)
    labels = candidate.labels if candidate.kind in WITH_PROBABILITIES else ()
    cycle, budget = ledger.cycles()[-1].number, project.brief.budget
    with contextlib.closing(load_candidate(vault, identifier)) as model, Responses(responses_of(project)) as responses:
        spent, paid = responses.spent(cycle), isinstance(model, AnswersEach)
        most_tokens = max(0, budget.tokens - spent.tokens) if budget.tokens else -1
        meter = Meter(Allowance(usd=max(0.0, budget.usd - spent.usd), tokens=most_tokens))
        spends = {"tokens", "usd"} if any(prices_of(vault, identifier) or ()) else {"tokens"}

        def pay(answers: Sequence[Answer], n_next: int) -> None:
            if not paid:
                return
            usd, tokens = meter.add(answers)
            responses.put([], cycle=cycle, usd=usd, tokens=tokens)
            if n_next and (key := meter.used_up(n_next, meter.n_paid, spends)):
                raise ModelError(
                    f"the budget is used up after {meter.n_paid} of {len(rows)} rows were asked about",
                    where=f"lifeloop.toml: budget.{key}",
                    fix="raise it, name a --candidate that costs nothing, or choose from fewer rows",
                )

        return _ask(model, labels, rows, pay, progress)


@contextlib.contextmanager
def _quick_model(
    project: Project, vault: Vault, dataset: Id, labels: tuple[str, ...], progress: Progress
) -> Iterator[Model]:
    """Give a model of words and characters, fitted to the training rows."""
    from lifeloop.models import features
    from lifeloop.training.features import TRAINER

    settings = features.Settings()
    materials = Materials(
        task="classify",
        labels=labels,
        settings=settings,
        train=tuple(read_for_selection(vault, dataset, "train")),
        validation=tuple(read_for_selection(vault, dataset, "validation")),
        prompt=None,
        parent=None,
        parent_settings=None,
        members=(),
        seed=project.brief.explore.seed,
    )
    with tempfile.TemporaryDirectory(prefix="lifeloop-") as folder:
        TRAINER.build(materials, Path(folder), progress)
        candidate = Candidate("quick", "features", "classify", labels, msgspec.to_builtins(settings))
        yield features.KIND.load(candidate, Path(folder), ())


Pay = Callable[[Sequence[Answer], int], None]
"""Called before each batch with the answers of the one before it, and with how many are to be asked next."""


def _ask(model: Model, labels: Sequence[str], rows: Sequence[Pooled], pay: Pay, progress: Progress) -> list[Guess]:
    """Return what a model makes of rows: with `labels`, which of them comes second too."""
    probabilities = getattr(model, "probabilities", None) if labels else None
    found: list[Guess] = []
    answers: list[Answer] = []
    size = AT_ONCE if probabilities else max(1, model.batch_size)
    for start in range(0, len(rows), size):
        batch = [Request(row.input) for row in rows[start : start + size]]
        pay(answers, len(batch))
        if probabilities:
            found += two_best(np.asarray(probabilities(batch)), labels)
        else:
            answers = model.answer(batch)
            found += [Guess(answer.output, None if answer.error else answer.confidence) for answer in answers]
        progress(len(found), len(rows), "asking how sure it is")
    pay(answers, 0)
    return found


def two_best(chances: np.ndarray, labels: Sequence[str]) -> list[Guess]:
    """Return the likeliest two labels of each row of (n, n_labels)."""
    order = np.argsort(-chances, axis=1, kind="stable")[:, :2]
    return [
        Guess(labels[one], float(row[one]), labels[other], float(row[other]))
        for row, (one, other) in zip(chances, order.tolist(), strict=True)
    ]
