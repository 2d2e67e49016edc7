"""A project: a folder with `lifeloop.toml` and `prompts/`, and where its ledger and vault are.

Reads the folder and checks the brief's names against what is installed. Knows nothing of cycles.
"""

import difflib
from pathlib import Path
from typing import Any

from msgspec import Struct

from lifeloop import plugins
from lifeloop.auto import expand
from lifeloop.core.brief import Brief, convert_settings, parse_brief
from lifeloop.core.candidates import Prompt
from lifeloop.core.errors import BriefError
from lifeloop.core.evidence import OPERATIONAL, Direction
from lifeloop.filters.protection import check_protection
from lifeloop.guards.personal.masking import check_kinds
from lifeloop.metrics.declared import check_declared, direction_of
from lifeloop.models.model import ModelKind
from lifeloop.models.project_files import fingerprint_of
from lifeloop.models.prompting import render_system, render_user
from lifeloop.place import BRIEF_FILE, STATE_FOLDER, ledger_url, read_brief_text, vault_url
from lifeloop.stages.adapt import NOT_SETTINGS, SEARCH
from lifeloop.store.ledger import Ledger, open_ledger
from lifeloop.store.vault import Vault
from lifeloop.tasks.task import Task
from lifeloop.training.search_ranges import plan_of
from lifeloop.training.trainer import Trainer


class Project(Struct, frozen=True):
    """An opened project folder."""

    folder: Path
    brief: Brief
    brief_text: str
    prompts: dict[str, Prompt]
    ledger_url: str
    vault_url: str

    @property
    def state(self) -> Path:
        """The folder for what is not committed: caches, and by default ledger and vault."""
        return self.folder / STATE_FOLDER

    def open_ledger(self) -> Ledger:
        """Return the open ledger, created on first use."""
        return open_ledger(self.ledger_url)

    def open_vault(self) -> Vault:
        """Return the vault."""
        return Vault(self.vault_url, cache=self.state / "cache")


def open_project(folder: Path) -> Project:
    """Return the project in a folder. Raises BriefError where the brief or a prompt is missing or wrong."""
    text = read_brief_text(folder)
    brief = expand(parse_brief(text, BRIEF_FILE))
    check_names(brief, folder)
    prompts = {name: _read_prompt(folder, name) for name in _prompt_names(brief)}
    _check_prompts(brief, prompts)
    return Project(
        folder=folder.resolve(),
        brief=brief,
        brief_text=text,
        prompts=prompts,
        ledger_url=ledger_url(folder),
        vault_url=vault_url(folder),
    )


def directions(brief: Brief) -> dict[str, Direction]:
    """Return for each objective's metric whether more or less is better."""
    return {objective.metric: _direction(objective.metric, brief) for objective in brief.objectives}


def _direction(metric: str, brief: Brief) -> Direction:
    if metric in OPERATIONAL:
        return "min"
    if metric in brief.metrics:
        return direction_of(metric, brief.metrics[metric])
    task: Task = plugins.get("tasks", brief.project.task)
    return task.metrics[metric].direction


def baseline_name(brief: Brief) -> str:
    """Return the candidate that stands in for a champion: the one named, or the first of the simplest kinds."""
    if brief.gate.baseline:
        return brief.gate.baseline
    for kind in ("majority", "gazetteer", "nearest"):
        for name, table in brief.candidates.items():
            if table.get("kind") == kind:
                return name
    return next(iter(brief.candidates))


def check_names(brief: Brief, folder: Path = Path()) -> None:
    """Check tasks, metrics, kinds and settings against what is installed, and the files that metrics name.

    Raises BriefError, or DataError for what a metric's file holds.
    """
    plugins.get("tasks", brief.project.task, where=f"{BRIEF_FILE}: project.task")
    metrics = check_declared(brief.project.task, brief.metrics, folder)
    known = (*metrics, *OPERATIONAL)
    for index, objective in enumerate(brief.objectives):
        where = f"{BRIEF_FILE}: objectives[{index}].metric"
        if objective.metric not in known:
            raise BriefError(
                f"{brief.project.task} has no metric {objective.metric!r}",
                where=where,
                fix=f"use one of: {', '.join(known)}; or declare it as [metrics.{objective.metric}]",
            )
        metric = metrics.get(objective.metric)
        if metric is not None and metric.needs_out_of_scope and not brief.data.out_of_scope:
            raise BriefError(
                f"{objective.metric} means nothing without an out-of-scope label",
                where=where,
                fix='name it as data.out_of_scope, or use "accuracy"',
            )
    if brief.primary.metric in OPERATIONAL:
        raise BriefError(
            f"{brief.primary.metric} cannot rank candidates: nothing would be fast, and never right",
            where=f"{BRIEF_FILE}: objectives[0].metric",
            fix=f"put a quality metric first: {', '.join(metrics)}",
        )
    for name, table in brief.candidates.items():
        _check_candidate(name, table, brief, folder)
    _check_writer(brief, brief.data.synthesis.model, "data.synthesis.model")
    _check_preferences(brief)
    check_kinds(brief.data.refine.personal_data, f"{BRIEF_FILE}: data.refine.personal_data")
    check_protection(brief.gateway.protection, BRIEF_FILE)
    _check_hosting(brief)


def _check_hosting(brief: Brief) -> None:
    """Check that what is to have a process of its own are model kinds."""
    known = plugins.names("models")
    for kind in brief.gateway.hosting.separate:
        if kind not in known:
            close = difflib.get_close_matches(kind, known, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"name any of: {', '.join(known)}"
            where = f"{BRIEF_FILE}: gateway.hosting.separate"
            raise BriefError(f"there is no model kind {kind!r}", where=where, fix=fix)


def _check_preferences(brief: Brief) -> None:
    """Check that who answers and who judges can write, and that columns are of files."""
    asked = brief.preferences
    for key, other in (("judge", "answers"), ("answers", "judge")):
        if getattr(asked.ai, key) and not getattr(asked.ai, other):
            what = f"`{key}` without `{other}`: one candidate writes two answers, and one says which is better"
            raise BriefError(what, where=f"{BRIEF_FILE}: preferences.ai.{other}", fix="name a candidate that writes")
        _check_writer(brief, getattr(asked.ai, key), f"preferences.ai.{key}")
    for key in ("rater", "time", "subject", "first"):
        if getattr(asked, key) and not asked.sources:
            fix = 'add source = "pairs.jsonl", or remove the key'
            raise BriefError("a column of no file", where=f"{BRIEF_FILE}: preferences.{key}", fix=fix)
    if not all(asked.sources):
        raise BriefError(
            "an empty name", where=f"{BRIEF_FILE}: preferences.source", fix="name a file, or remove the key"
        )


def _check_writer(brief: Brief, name: str, key: str) -> None:
    """Check that the candidate that a key names can write."""
    where = f"{BRIEF_FILE}: {key}"
    if not name:
        return
    kinds = [kind for kind in plugins.names("models") if getattr(plugins.get("models", kind), "writes", False)]
    able = [other for other, table in brief.candidates.items() if table.get("kind") in kinds]
    if name in able:
        return
    fix = f"name one of: {', '.join(able)}" if able else f"add a candidate of kind {' or '.join(map(repr, kinds))}"
    if name not in brief.candidates:
        close = difflib.get_close_matches(name, able, n=1)
        fix = f"did you mean {close[0]!r}?" if close else fix
        raise BriefError(f"there is no candidate {name!r}", where=where, fix=fix)
    kind = brief.candidates[name].get("kind")
    what = f"a candidate of kind {kind!r} writes no texts" if kind else f"{name!r} is made from another candidate"
    raise BriefError(what, where=where, fix=fix)


def _check_candidate(name: str, table: dict[str, object], brief: Brief, folder: Path) -> None:
    where = f"candidates.{name}"
    if "adapt" in table:
        trainer = plugins.get("adaptations", str(table["adapt"]), where=f"{BRIEF_FILE}: {where}.adapt")
        rest = {key: value for key, value in table.items() if key not in NOT_SETTINGS}
        convert_settings(rest, trainer.settings, where, BRIEF_FILE)
        _check_parent(name, table, trainer, brief)
        if SEARCH in table:
            plan_of(table[SEARCH], trainer.settings, f"{where}.{SEARCH}")
        return
    kind: ModelKind = plugins.get("models", str(table["kind"]), where=f"{BRIEF_FILE}: {where}.kind")
    settings = {key: value for key, value in table.items() if key not in NOT_SETTINGS}
    convert_settings(settings, kind.settings, where, BRIEF_FILE)
    if SEARCH in table:
        plan_of(table[SEARCH], kind.settings, f"{where}.{SEARCH}")
    fingerprint_of(kind, settings, table.get(SEARCH), folder, where)
    _check_columns(kind.settings, settings, brief, f"{BRIEF_FILE}: {where}.columns")
    if kind.tasks and brief.project.task not in kind.tasks:
        raise BriefError(
            f"kind {table['kind']!r} cannot do {brief.project.task}",
            where=f"{BRIEF_FILE}: {where}.kind",
            fix=f"it does: {', '.join(kind.tasks)}",
        )


def _check_columns(kind: type[Any], settings: dict[str, object], brief: Brief, where: str) -> None:
    """Check that columns a candidate reads are columns of data.slices, which is what requests bring."""
    named = settings.get("columns", []) if "columns" in kind.__struct_fields__ else []
    for column in named if isinstance(named, list) else []:
        if column not in brief.data.slices:
            close = difflib.get_close_matches(str(column), brief.data.slices, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"add {column!r} to data.slices"
            raise BriefError(f"{column!r} is no column of data.slices", where=where, fix=fix)


def _check_parent(name: str, table: dict[str, object], trainer: Trainer, brief: Brief) -> None:
    """Check that a parent is of a kind that the adaptation can start from."""
    able: tuple[str, ...] = getattr(trainer, "parents", ())
    kinds = _kinds_of(str(table["parent"]), brief)
    if not able or kinds & set(able):
        return
    raise BriefError(
        f"{table['adapt']!r} cannot start from {table['parent']!r}, which is of kind {' or '.join(sorted(kinds))}",
        where=f"{BRIEF_FILE}: candidates.{name}.parent",
        fix=f"name a candidate of kind {' or '.join(able)}, or one that was adapted from such",
    )


def _kinds_of(name: str, brief: Brief) -> set[str]:
    """Return the kinds that a candidate may be of: its own, or its ancestor's and what adapting made of that."""
    table = brief.candidates[name]
    if "kind" in table:
        return {str(table["kind"])}
    trainer: Trainer = plugins.get("adaptations", str(table["adapt"]))
    return {getattr(trainer, "makes", "")} - {""} or _kinds_of(str(table["parent"]), brief)


def prompt_of(table: dict[str, object]) -> str:
    """Return the name of the prompt that a candidate's section names, or ""."""
    return str(table.get("prompt", ""))


def _prompt_names(brief: Brief) -> set[str]:
    return {prompt_of(table) for table in brief.candidates.values()} - {""}


def _read_prompt(folder: Path, name: str) -> Prompt:
    place = folder / "prompts" / name
    if "/" in name or name.startswith("."):
        raise BriefError(
            f"{name!r} is no name of a prompt", where=BRIEF_FILE, fix="write the name of a folder in prompts/"
        )
    texts = {}
    for part in ("system", "user"):
        path = place / f"{part}.md"
        try:
            texts[part] = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise BriefError("there is no such file", where=str(path), fix=f"write the {part} prompt there") from None
        except (OSError, UnicodeDecodeError) as error:
            raise BriefError(f"cannot be read: {error}", where=str(path), fix="it must be UTF-8 text") from None
    return Prompt(name=name, **texts)


def _check_prompts(brief: Brief, prompts: dict[str, Prompt]) -> None:
    """Render each prompt once, so that a slip in a template is found before anything is spent."""
    contract = plugins.get("tasks", brief.project.task).contract(("label",))
    for prompt in prompts.values():
        render_system(prompt, contract)
        if "MARK" not in render_user(prompt, contract, "MARK"):
            raise BriefError(
                "the input is not in the user prompt",
                where=f"prompts/{prompt.name}/user.md",
                fix="put {{ text }} where the input goes",
            )
