"""Audit: whether the record of decisions still says what was decided, and whether the evidence is still there.

Takes a ledger and a vault, gives one line a verdict, one a release and one a rollout, each with what is wrong. Changes
neither.

A chain shows what was changed, taken out or put in between. That its end was cut off shows only in what refers to it:
releases of verdicts that are gone, and runs of the gate without their verdict. Who keeps the head elsewhere sees even
that.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id, short
from lifeloop.core.data import Dataset
from lifeloop.core.errors import StoreError
from lifeloop.core.evidence import Leaderboard, Release, Trial, Verdict
from lifeloop.lifecycle.audit_rollouts import AuditedRollout, audit_rollouts, began, came_back, held_back
from lifeloop.project import Project
from lifeloop.store.chain import START
from lifeloop.store.ledger import ChainedRow, Ledger, ReleaseRow, VerdictRow
from lifeloop.store.rows import RolloutRow, path
from lifeloop.store.vault import Vault

COPIED = ("cycle", "decision", "challenger", "champion", "reason", "override_by")
"""What a row copies from its verdict."""


class AuditedVerdict(Struct, frozen=True):
    """One verdict of the chain."""

    sequence: int
    id: Id
    cycle: int
    decision: str
    override_by: str
    hash: Id
    problems: tuple[str, ...]


class AuditedRelease(Struct, frozen=True):
    """One release."""

    sequence: int
    id: Id
    name: str
    verdict: Id
    problems: tuple[str, ...]


class Audit(Struct, frozen=True):
    """What an audit found."""

    ledger: str
    head: Id
    """Hash of the last verdict's row; "" where there is none."""
    verdicts: tuple[AuditedVerdict, ...]
    releases: tuple[AuditedRelease, ...]
    problems: tuple[str, ...]
    """What concerns no single verdict, release or rollout."""
    rollouts: tuple[AuditedRollout, ...] = ()

    @property
    def n_problems(self) -> int:
        """Number of things that are wrong."""
        return len(self.problems) + sum(len(line.problems) for line in (*self.verdicts, *self.releases, *self.rollouts))


def audit(project: Project) -> Audit:
    """Return what is wrong with a project's record, if anything. Raises StoreError where it cannot be read at all."""
    with contextlib.closing(project.open_ledger()) as ledger:
        return audit_record(ledger, project.open_vault())


def audit_record(ledger: Ledger, vault: Vault) -> Audit:
    """Return what is wrong with a ledger and the vault that it names artifacts of, if anything."""
    chain = ledger.chain()
    rows = {link.row.id: link.row for link in chain}
    decided = {run.output for run in ledger.runs() if run.stage == "decide"}
    history, steps = ledger.releases(), ledger.rollouts()
    released = {row.verdict for row in history} | began(vault, steps)
    flaw = functools.cache(lambda identifier: _flaw(vault, identifier))  # many trials rest on one table
    verdicts = []
    before: ChainedRow | None = None
    for link in chain:
        row = link.row
        problems = (
            *_links(before, link),
            *_against_vault(vault, row, flaw),
            *_overridden(vault, row, rows),
            *_given(row, decided),
            *_followed(row, chain[-1].row, released, history, steps),
        )
        verdicts.append(
            AuditedVerdict(link.sequence, row.id, row.cycle, row.decision, row.override_by, link.hash, problems)
        )
        before = link
    places = {link.row.id: link.sequence for link in chain}
    releases = tuple(
        AuditedRelease(
            row.sequence,
            row.id,
            row.name,
            row.verdict,
            (*_in_order(history[:place], row, places, steps), *_release(vault, row, rows)),
        )
        for place, row in enumerate(history)
    )
    return Audit(
        ledger=ledger.name,
        head=before.hash if before else "",
        verdicts=tuple(verdicts),
        releases=releases,
        problems=tuple(_unrecorded(ledger, rows)),
        rollouts=audit_rollouts(vault, steps, history, rows),
    )


def _links(before: ChainedRow | None, link: ChainedRow) -> list[str]:
    """Return what is wrong with a row's place in the chain."""
    problems = []
    sequence, previous = (before.sequence, before.hash) if before else (0, START)
    if link.sequence != sequence + 1:
        problems.append(f"row {link.sequence} follows row {sequence}: what was between is gone")
    if link.previous != previous:
        problems.append(
            f"row {link.sequence} names {short(link.previous) or 'nothing'} as the hash before it, "
            f"where row {sequence} has {short(previous) or 'none'}"
        )
    if link.hash != link.expected:
        problems.append(
            f"row {link.sequence} has the hash {short(link.hash)}, its content {short(link.expected)}: it was changed"
        )
    return problems


def _given(row: VerdictRow, decided: set[Id]) -> list[str]:
    """Return that nobody gave a verdict: neither the gate nor a person."""
    return [] if row.override_by or row.id in decided else ["no run of the gate gave this verdict"]


def _followed(
    row: VerdictRow,
    last: VerdictRow,
    released: set[Id],
    history: Sequence[ReleaseRow],
    steps: Sequence[RolloutRow],
) -> list[str]:
    """Return that a verdict promotes and nothing was released. The last one's release may still be on its way."""
    if row.decision != "promote" or row.id in released or row.id == last.id or held_back(row, history, steps):
        return []
    return ["it promotes, and its release is missing"]


def _in_order(
    before: Sequence[ReleaseRow], row: ReleaseRow, places: dict[Id, int], steps: Sequence[RolloutRow]
) -> list[str]:
    """Return what is wrong with a release's place after those before it; `places` are those of the verdicts.

    A release that comes back by a rollback that is on record is where it should be.
    """
    problems = []
    last = before[-1].sequence if before else 0
    if row.sequence != last + 1:
        problems.append(f"release {row.sequence} follows release {last}: what was between is gone")
    if came_back(row, steps):
        return problems
    before = path(before)
    twins = [other.sequence for other in before if other.id == row.id]
    if twins:
        problems.append(f"it is in the ledger already, as release {twins[0]}")
    latest = max((places.get(other.verdict, 0) for other in before), default=0)
    if 0 < places.get(row.verdict, 0) < latest:
        problems.append(f"its verdict {short(row.verdict)} is older than that of a release before it: out of order")
    return problems


def _flaw(vault: Vault, identifier: Id) -> str:
    """Return what is wrong with an artifact's bytes, or ""."""
    try:
        vault.get(identifier)
    except StoreError as error:
        return error.what
    return ""


def _against_vault(vault: Vault, row: VerdictRow, flaw: Callable[[Id], str]) -> list[str]:
    """Return how a row differs from the verdict that it names, and what of that verdict's evidence is not there."""
    try:
        verdict = vault.get_value(row.id, Verdict)
    except StoreError as error:
        return [f"the verdict: {error.what}"]
    problems = [
        f"`{field}` is {getattr(row, field)!r} in the ledger and {getattr(verdict, field)!r} in the verdict"
        for field in COPIED
        if getattr(row, field) != getattr(verdict, field)
    ]
    try:
        vault.get_value(verdict.leaderboard, Leaderboard)
    except StoreError as error:
        problems.append(f"the leaderboard: {error.what}")
    for role, identifier in verdict.trials.items():
        try:
            trial = vault.get_value(identifier, Trial)
        except StoreError as error:
            problems.append(f"the trial {role}: {error.what}")
        else:
            problems += [f"{what} of the trial {role}: {said}" for what, said in _beneath(vault, trial, flaw)]
    return problems


def _beneath(vault: Vault, trial: Trial, flaw: Callable[[Id], str]) -> Iterator[tuple[str, str]]:
    """Yield what a trial rests on and what is wrong with it: its answers, its candidate and its examples."""
    if said := flaw(trial.answers):
        yield "the answers", said
    try:
        vault.get_value(trial.candidate, Candidate)
    except StoreError as error:
        yield "the candidate", error.what
    try:
        tables = vault.get_value(trial.dataset, Dataset).tables
    except StoreError as error:
        yield "the dataset", error.what
        return
    if trial.split not in tables:
        yield "the dataset", f"it has no split {trial.split}"
        return
    for table in tables[trial.split]:
        if said := flaw(table):
            yield f"a table of {trial.split} examples", said


def _overridden(vault: Vault, row: VerdictRow, rows: dict[Id, VerdictRow]) -> list[str]:
    """Return what is wrong with an override: it names a person, a reason and a verdict that is in the ledger."""
    try:
        verdict = vault.get_value(row.id, Verdict)
    except StoreError:  # said already
        return []
    if not verdict.override_by and not verdict.overrides:
        return []
    problems = []
    old = rows.get(verdict.overrides)
    if old is None:
        problems.append(f"it overrides the verdict {short(verdict.overrides)}, which is not in the ledger")
    else:
        problems += [
            f"it has another {field} than the verdict {short(old.id)} that it overrides"
            for field in ("cycle", "challenger")
            if getattr(row, field) != getattr(old, field)
        ]
    if not verdict.override_by or not verdict.override_reason:
        problems.append("it is an override without a name or a reason")
    return problems


def _release(vault: Vault, row: ReleaseRow, rows: dict[Id, VerdictRow]) -> list[str]:
    """Return what is wrong with a release: no verdict that promotes it, or another than the vault holds."""
    verdict, problems = rows.get(row.verdict), []
    if verdict is None:
        problems.append(f"its verdict {short(row.verdict)} is not in the ledger")
    elif verdict.decision != "promote":
        problems.append(f"its verdict {short(row.verdict)} does not promote: it is {verdict.decision!r}")
    elif verdict.challenger != row.candidate:
        problems.append(f"its verdict {short(row.verdict)} promotes another candidate")
    try:
        kept = vault.get_value(row.id, Release)
    except StoreError as error:
        return [*problems, f"the release: {error.what}"]
    return problems + [
        f"`{field}` is {getattr(row, field)!r} in the ledger and {getattr(kept, field)!r} in the release"
        for field in ("verdict", "candidate", "name")
        if getattr(row, field) != getattr(kept, field)
    ]


def _unrecorded(ledger: Ledger, rows: dict[Id, VerdictRow]) -> list[str]:
    """Return the verdicts that were given and are not in the chain.

    The last cycle may have been stopped between the two, and the next run records its verdict: that is no problem.
    """
    cycles = ledger.cycles()
    last = cycles[-1].number if cycles else 0
    return [
        f"the gate gave the verdict {short(run.output)} in cycle {run.cycle}, which is not in the chain"
        for run in ledger.runs()
        if run.stage == "decide" and run.output not in rows and run.cycle != last
    ]
