"""Audit: whether the record of decisions still says what was decided, and whether the evidence is still there.

Takes a ledger and a vault, gives one line a verdict and one a release, each with what is wrong. Changes neither.

A chain shows what was changed, taken out or put in between. That its end was cut off shows only in what refers to it:
releases of verdicts that are gone, and runs of the gate without their verdict. Who keeps the head elsewhere sees even
that.
"""

import contextlib

from msgspec import Struct

from lifeloop.core.content import Id, short
from lifeloop.core.errors import StoreError
from lifeloop.core.evidence import Release, Trial, Verdict
from lifeloop.project import Project
from lifeloop.store.chain import START
from lifeloop.store.ledger import ChainedRow, Ledger, ReleaseRow, VerdictRow
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
    """What concerns no single verdict or release."""

    @property
    def n_problems(self) -> int:
        """Number of things that are wrong."""
        return len(self.problems) + sum(len(line.problems) for line in (*self.verdicts, *self.releases))


def audit(project: Project) -> Audit:
    """Return what is wrong with a project's record, if anything. Raises StoreError where it cannot be read at all."""
    with contextlib.closing(project.open_ledger()) as ledger:
        return audit_record(ledger, project.open_vault())


def audit_record(ledger: Ledger, vault: Vault) -> Audit:
    """Return what is wrong with a ledger and the vault that it names artifacts of, if anything."""
    chain = ledger.chain()
    rows = {link.row.id: link.row for link in chain}
    verdicts = []
    before: ChainedRow | None = None
    for link in chain:
        row = link.row
        problems = (*_links(before, link), *_against_vault(vault, row), *_overridden(vault, row, rows))
        verdicts.append(
            AuditedVerdict(link.sequence, row.id, row.cycle, row.decision, row.override_by, link.hash, problems)
        )
        before = link
    releases = tuple(
        AuditedRelease(row.sequence, row.id, row.name, row.verdict, tuple(_release(vault, row, rows)))
        for row in ledger.releases()
    )
    return Audit(
        ledger=ledger.name,
        head=before.hash if before else "",
        verdicts=tuple(verdicts),
        releases=releases,
        problems=tuple(_unrecorded(ledger, rows)),
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


def _against_vault(vault: Vault, row: VerdictRow) -> list[str]:
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
    for role, identifier in verdict.trials.items():
        try:
            if not vault.has(vault.get_value(identifier, Trial).answers):
                problems.append(f"the answers of the trial {role} are missing from the vault")
        except StoreError as error:
            problems.append(f"the trial {role}: {error.what}")
    return problems


def _overridden(vault: Vault, row: VerdictRow, rows: dict[Id, VerdictRow]) -> list[str]:
    """Return what is wrong with an override: it names a person, a reason and a verdict that is in the ledger."""
    try:
        verdict = vault.get_value(row.id, Verdict)
    except StoreError:  # said already
        return []
    if not verdict.override_by and not verdict.overrides:
        return []
    problems = []
    if verdict.overrides not in rows:
        problems.append(f"it overrides the verdict {short(verdict.overrides)}, which is not in the ledger")
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
