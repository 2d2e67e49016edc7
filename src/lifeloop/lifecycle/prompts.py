"""Versions of prompts: which ones cycles saw, who used them, how those fared, and what changed between two.

A version is named by the content of its two templates. Reads ledger, vault and the project's folder; changes none.
"""

import contextlib
import difflib

import msgspec
from msgspec import Struct

from lifeloop.core.candidates import Candidate, Prompt
from lifeloop.core.content import Id, content_id, short
from lifeloop.core.errors import BriefError
from lifeloop.core.evidence import Leaderboard, MetricValue
from lifeloop.lifecycle.cycle import BriefSource
from lifeloop.project import Project
from lifeloop.store.ledger import Ledger, RunRow
from lifeloop.store.vault import Vault
from lifeloop.training.prompt_bench import SEARCH_FILE, Search

HERE = "working folder"


class Use(Struct, frozen=True):
    """A candidate that was asked with a version, and how it fared."""

    candidate: str
    candidate_id: Id
    cycle: int
    """The last one with it on the leaderboard; 0 where it was made and never got there."""
    value: MetricValue | None
    """On the first objective, over validation; None where there is no trial."""
    search: Search | None = None
    """Where the candidate was made by searching a prompt: what was tried."""


class Version(Struct, frozen=True):
    """One version of a prompt."""

    name: str
    id: Id
    prompt: Prompt
    cycle: int
    """The first that saw it; 0 where it is in the folder alone."""
    current: bool
    """Whether it is what the folder holds now."""
    written_by: str
    """The candidate whose making wrote it; "" where people did."""
    system_changed: bool
    """Whether its system template, which carries the security rules, differs from that of the version before."""
    uses: tuple[Use, ...]


class Difference(Struct, frozen=True):
    """What changed from one version to another, as unified diffs."""

    name: str
    before: Id
    after: Id
    system: tuple[str, ...]
    """Lines; none where the system template stayed as it was."""
    user: tuple[str, ...]


def version_id(prompt: Prompt) -> Id:
    """Return what names a version: the hash of its pair of templates."""
    return content_id([prompt.system, prompt.user])


def history(project: Project, name: str = "") -> tuple[Version, ...]:
    """Return every version of a prompt, or of all, oldest first. Raises BriefError where there is no such prompt."""
    with contextlib.closing(project.open_ledger()) as ledger:
        return _history(project, ledger, project.open_vault(), name)


def _history(project: Project, ledger: Ledger, vault: Vault, name: str) -> tuple[Version, ...]:
    seen: dict[tuple[str, Id], tuple[Prompt, int, str]] = {}
    for row in ledger.cycles():
        for table in vault.get_value(row.brief, BriefSource).prompts.values():
            prompt = msgspec.convert(table, Prompt)
            seen.setdefault((prompt.name, version_id(prompt)), (prompt, row.number, ""))
        for made in (run for run in ledger.runs() if run.cycle == row.number):
            candidate = _made(vault, made)
            if candidate is not None and candidate.prompt is not None:
                key = (candidate.prompt.name, version_id(candidate.prompt))
                seen.setdefault(key, (candidate.prompt, row.number, candidate.name))
    for prompt in project.prompts.values():
        seen.setdefault((prompt.name, version_id(prompt)), (prompt, 0, ""))
    uses = _uses(ledger, vault)
    versions: list[Version] = []
    for (its_name, identifier), (prompt, cycle, author) in seen.items():
        if name and its_name != name:
            continue
        before = next((each for each in reversed(versions) if each.name == its_name), None)
        here = project.prompts.get(its_name)
        versions.append(
            Version(
                name=its_name,
                id=identifier,
                prompt=prompt,
                cycle=cycle,
                current=here is not None and version_id(here) == identifier,
                written_by=author,
                system_changed=before is not None and before.prompt.system != prompt.system,
                uses=tuple(uses.get((its_name, identifier), {}).values()),
            )
        )
    if name and not versions:
        raise _unknown(name, sorted({its_name for its_name, _ in seen}))
    return tuple(versions)


def _unknown(name: str, known: list[str]) -> BriefError:
    close = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {close[0]!r}?" if close else f"there is: {', '.join(known)}" if known else _NONE
    return BriefError(f"there is no prompt {name!r} that a candidate uses", where="prompts", fix=fix)


_NONE = 'write prompts/NAME/system.md and user.md, and name them in a candidate: prompt = "NAME"'


def _made(vault: Vault, row: RunRow) -> Candidate | None:
    """Return the candidate that a run made, or None where it made none."""
    if not row.subject.startswith("make "):
        return None
    return vault.get_value(vault.get_value(row.output, str), Candidate)


def _uses(ledger: Ledger, vault: Vault) -> dict[tuple[str, Id], dict[Id, Use]]:
    """Return by name and version the candidates that used it, each with its last trial on a leaderboard."""
    found: dict[tuple[str, Id], dict[Id, Use]] = {}

    def note(identifier: Id, cycle: int, value: MetricValue | None) -> None:
        candidate = vault.get_value(identifier, Candidate)
        if candidate.prompt is None:
            return
        uses = found.setdefault((candidate.prompt.name, version_id(candidate.prompt)), {})
        if value is not None or identifier not in uses:
            uses[identifier] = Use(candidate.name, identifier, cycle, value, _search(vault, candidate))

    for row in ledger.runs():
        if row.subject.startswith("make "):
            note(vault.get_value(row.output, str), 0, None)
        elif row.subject == "leaderboard":
            board = vault.get_value(row.output, Leaderboard)
            for standing in board.standings:
                if standing.candidate and standing.trial is not None:
                    note(standing.candidate, row.cycle, standing.trial.metric(board.metric))
    return found


def _search(vault: Vault, candidate: Candidate) -> Search | None:
    path = vault.folder(candidate.files) / SEARCH_FILE if candidate.files else None
    return msgspec.json.decode(path.read_bytes(), type=Search) if path and path.exists() else None


def find_version(versions: tuple[Version, ...], prefix: str) -> Version:
    """Return the version whose id begins so. Raises BriefError where none or several do."""
    found = [version for version in versions if version.id.startswith(prefix.lower())] if prefix else []
    if len(found) != 1:
        what = f"{len(found)} versions begin" if found else "no version begins"
        raise BriefError(
            f"{what} with {prefix!r}",
            where="prompts",
            fix=f"name one of: {', '.join(short(version.id) for version in versions)}",
        )
    return found[0]


def difference(project: Project, name: str, before: str = "", after: str = "") -> Difference:
    """Return what changed between two versions, named by the beginnings of their ids.

    Without `after`, against what the folder holds; without `before`, from the last version that a cycle saw.
    Raises BriefError where there is no such prompt or version.
    """
    versions = history(project, name)
    old = find_version(versions, before) if before else _last_tried(versions, name)
    if after:
        new = find_version(versions, after)
    else:
        new = next((version for version in versions if version.current), None)
        if new is None:
            raise BriefError(
                f"no candidate of the brief uses prompts/{name} now", where="prompts", fix="name two versions"
            )
    return Difference(
        name=name,
        before=old.id,
        after=new.id,
        system=_lines(old, new, "system", new.current and not after),
        user=_lines(old, new, "user", new.current and not after),
    )


def _last_tried(versions: tuple[Version, ...], name: str) -> Version:
    """Return the last version by people that a cycle saw: what an optimiser wrote is asked for by its id."""
    tried = [version for version in versions if version.cycle and not version.written_by]
    if not tried:
        raise BriefError(f"no cycle has tried {name!r} yet", where="prompts", fix="`lifeloop run` tries it")
    return tried[-1]


def _lines(old: Version, new: Version, part: str, in_folder: bool) -> tuple[str, ...]:
    texts = [getattr(version.prompt, part).splitlines() for version in (old, new)]
    place = f"prompts/{new.name}/{part}.md"
    after = HERE if in_folder else short(new.id)
    return tuple(difflib.unified_diff(*texts, f"{place} ({short(old.id)})", f"{place} ({after})", lineterm="", n=3))
