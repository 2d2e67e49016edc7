"""Tries a version of a prompt by hand: what a candidate is sent, and what it says, for a text or for some validation
examples.

Reads the project, the ledger and the vault; the ledger is not written to. Test examples cannot be named here.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.brief import convert_settings
from lifeloop.core.candidates import Answer, Candidate, Message, Prompt, Recipe, Request
from lifeloop.core.content import Id
from lifeloop.core.data import Dataset, Example
from lifeloop.core.errors import BriefError
from lifeloop.core.progress import Progress
from lifeloop.engine.trial import Allowance, Workplace
from lifeloop.lifecycle.prompts import Version, find_version, history, version_id
from lifeloop.lifecycle.surroundings import responses_of
from lifeloop.lifecycle.version_log import newest_dataset
from lifeloop.models import prompting
from lifeloop.models.loading import load_candidate
from lifeloop.models.model import Model
from lifeloop.project import Project, prompt_of
from lifeloop.stages.make import make
from lifeloop.store.ledger import Ledger
from lifeloop.store.training_data import read_for_selection, sample
from lifeloop.store.vault import Vault
from lifeloop.tasks.chat import conversation
from lifeloop.tasks.scoring import read
from lifeloop.tasks.task import Scope, Task
from lifeloop.training.shots import read_learned


class Told(Struct, frozen=True):
    """One input: what was sent for it, and what came back."""

    input: str
    messages: tuple[Message, ...]
    answer: Answer
    seconds: float
    example: Id = ""
    reference: str = ""
    right: bool | None = None
    """Whether it is fully right; None for a text that has no reference."""


class Attempt(Struct, frozen=True):
    """One candidate asked with one version."""

    candidate: str
    prompt: str
    version: Id
    told: tuple[Told, ...]
    metric: str = ""
    value: float | None = None
    """Over the examples; None for a text."""


def try_prompt(
    project: Project,
    name: str,
    *,
    text: str | None = None,
    n_examples: int = 0,
    candidate: str = "",
    version: str = "",
    progress: Progress,
) -> list[Attempt]:
    """Return what each candidate that uses a prompt says: of a text, or of the first validation examples of a sample.

    A candidate that no cycle made with this version is made first, as a cycle would. Raises BriefError where the
    prompt, version or candidate is unknown, or no data was read yet; ModelError where a candidate cannot be loaded.
    """
    versions = history(project, name)
    wanted = find_version(versions, version) if version else _working(versions, name)
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        dataset = _dataset(ledger)
        examples = _validation(project, vault, dataset, n_examples) if text is None else []
        return [
            _attempt(project, vault, _candidate_for(project, ledger, vault, dataset, each, wanted, progress), each,
                     wanted, [text] if text is not None else [], examples)
            for each in _users(project, wanted, candidate)
        ]  # fmt: skip


def _working(versions: tuple[Version, ...], name: str) -> Version:
    found = next((version for version in versions if version.current), None)
    if found is None:
        raise BriefError(f"no candidate of the brief uses {name!r}", where="prompts", fix="name a --version")
    return found


def _users(project: Project, version: Version, only: str) -> list[str]:
    """Return the candidates to ask: those of the brief that name the prompt, and those made with this version."""
    named = [name for name, table in project.brief.candidates.items() if prompt_of(table) == version.name]
    users = list(dict.fromkeys([*(use.candidate for use in version.uses if version.written_by), *named]))
    if version.written_by and not only:
        return users[:1]
    if only and only not in users:
        raise BriefError(
            f"{only!r} does not use the prompt {version.name!r}",
            where="--candidate",
            fix=f"name one of: {', '.join(users)}",
        )
    return [only] if only else users


def _dataset(ledger: Ledger) -> Id:
    dataset = newest_dataset(ledger)
    if not dataset:
        raise BriefError("the data was not read yet", where="prompts try", fix="run `lifeloop plan` first")
    return dataset


def _validation(project: Project, vault: Vault, dataset: Id, n: int) -> list[Example]:
    return sample(read_for_selection(vault, dataset, "validation"), n, project.brief.explore.seed)


def _candidate_for(
    project: Project, ledger: Ledger, vault: Vault, dataset: Id, name: str, version: Version, progress: Progress
) -> Id:
    """Return the candidate of that name with this version: the last that a cycle made, or else one made now."""
    table = project.brief.candidates.get(name)
    settings = None
    if table is not None and "kind" in table:
        kind = plugins.get("models", table["kind"])
        rest = {key: value for key, value in table.items() if key != "kind"}
        settings = msgspec.to_builtins(convert_settings(rest, kind.settings, f"candidates.{name}", "lifeloop.toml"))
    for row in reversed(ledger.runs()):
        if row.subject != f"make {name}":
            continue
        identifier = vault.get_value(row.output, str)
        made = vault.get_value(identifier, Candidate)
        same = made.prompt is not None and version_id(made.prompt) == version.id
        if same and (settings is None or made.settings == settings):
            return identifier
    assert table is not None, "a candidate that no cycle made is one that the brief names"
    recipe = Recipe(
        name=name,
        task=project.brief.project.task,
        labels=vault.get_value(dataset, Dataset).labels,
        table=table,
        dataset=dataset,
        prompt=version.prompt,
        seed=project.brief.explore.seed,
        out_of_scope=project.brief.data.out_of_scope,
    )
    workplace = Workplace(responses_of(project), project.folder, cycle=0, allowance=Allowance())
    return make(vault, recipe, project.brief.explore.max_items, workplace, progress=progress)


def _attempt(
    project: Project,
    vault: Vault,
    identifier: Id,
    name: str,
    version: Version,
    texts: Sequence[str],
    examples: Sequence[Example],
) -> Attempt:
    candidate = vault.get_value(identifier, Candidate)
    task: Task = plugins.get("tasks", candidate.task)
    scope = Scope(labels=candidate.labels, out_of_scope=project.brief.data.out_of_scope)
    files = vault.folder(candidate.files) if candidate.files else None
    with _loaded(vault, identifier) as model:
        if not examples:
            told = tuple(_tell(model, candidate, files, version.prompt, text) for text in texts)
            return Attempt(name, version.name, version.id, told)
        told = tuple(_tell(model, candidate, files, version.prompt, example.input) for example in examples)
    scored = read(task, examples, [each.answer for each in told], scope)
    metric = task.metrics.get(project.brief.primary.metric) or next(iter(task.metrics.values()))
    columns = metric.columns(scored, scope)
    counted = columns[~np.isnan(columns).any(axis=1)]
    exact = (task.metrics.get("exact") or next(iter(task.metrics.values()))).columns(scored, scope)[:, 0] >= 1.0
    marked = tuple(
        msgspec.structs.replace(each, example=example.id, reference=example.reference, right=bool(right))
        for each, example, right in zip(told, examples, exact, strict=True)
    )
    value = float(metric.combine(counted.mean(axis=0))) if len(counted) else None
    return Attempt(name, version.name, version.id, marked, metric.name, value)


@contextlib.contextmanager
def _loaded(vault: Vault, identifier: Id) -> Iterator[Model]:
    model = load_candidate(vault, identifier)
    try:
        yield model
    finally:
        model.close()


def _tell(model: Model, candidate: Candidate, files: Path | None, prompt: Prompt, text: str) -> Told:
    """Return a text's messages as the candidate's kind composes them, and its answer."""
    settings = candidate.settings
    shots = [
        (prompting.cut(shown, settings.get("shot_words", 10**6)), said) for shown, said in read_learned(files).shots
    ]
    turns = conversation(text) if candidate.task == "chat" else ()
    request = Request(text=turns[-1].content if turns else text, messages=turns)
    contract = plugins.get("tasks", candidate.task).contract(candidate.labels)
    sent = prompting.messages(prompt, contract, shots, request, settings.get("max_words", 10**6))
    begun = time.perf_counter()
    answer = model.answer([request])[0]
    return Told(input=text, messages=tuple(sent), answer=answer, seconds=time.perf_counter() - begun)
