"""Audit of rollouts: whether each release on its way to traffic, or back, rests on a verdict that promotes.

Takes the rows of rollouts and releases, gives one line a rollout with what is wrong. Changes nothing.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby

from msgspec import Struct

from lifeloop.core.content import Id, short
from lifeloop.core.errors import StoreError
from lifeloop.core.evidence import Release
from lifeloop.store.rows import ReleaseRow, RolloutRow, VerdictRow
from lifeloop.store.vault import Vault


class AuditedRollout(Struct, frozen=True):
    """One release on its way to all traffic, or back."""

    sequence: int
    """Of its first row."""
    release: Id
    strategy: str
    phase: str
    """How it stands, or ended."""
    problems: tuple[str, ...]


def audit_rollouts(
    vault: Vault, steps: Sequence[RolloutRow], history: Sequence[ReleaseRow], verdicts: Mapping[Id, VerdictRow]
) -> tuple[AuditedRollout, ...]:
    """Return what is wrong with the record of rollouts, by rollout, oldest first."""
    found = []
    before = 0
    for release, rows in ((release, tuple(rows)) for release, rows in groupby(steps, lambda row: row.release)):
        problems = _rests_on(vault, release, verdicts)
        for row in rows:
            if row.sequence != before + 1:
                problems.append(f"row {row.sequence} of the rollouts follows row {before}: what was between is gone")
            before = row.sequence
            problems += _in_production(row, history)
        found.append(AuditedRollout(rows[0].sequence, release, rows[-1].strategy, rows[-1].phase, tuple(problems)))
    return tuple(found)


def _rests_on(vault: Vault, release: Id, verdicts: Mapping[Id, VerdictRow]) -> list[str]:
    """Return what is wrong with the release of a rollout and its verdict."""
    try:
        kept = vault.get_value(release, Release)
    except StoreError as error:
        return [f"the release: {error.what}"]
    verdict = verdicts.get(kept.verdict)
    if verdict is None:
        return [f"its verdict {short(kept.verdict)} is not in the ledger"]
    if verdict.decision != "promote":
        return [f"its verdict {short(verdict.id)} does not promote: it is {verdict.decision!r}"]
    if verdict.challenger != kept.candidate:
        return [f"its verdict {short(verdict.id)} promotes another candidate"]
    return []


def _in_production(row: RolloutRow, history: Sequence[ReleaseRow]) -> list[str]:
    """Return where a row of a rollout and the history of production contradict one another."""
    until = [release.id for release in history if release.at <= row.at]
    problems = []
    if row.phase == "promoted" and row.release not in until:
        problems.append(f"row {row.sequence} promotes it, and it is not among the releases")
    if row.control not in until:
        problems.append(f"row {row.sequence} names {short(row.control)} as what is in production, which it never was")
    return problems


def began(vault: Vault, steps: Sequence[RolloutRow]) -> set[Id]:
    """Return the verdicts whose release began a rollout."""
    found = set()
    for release in {row.release for row in steps}:
        try:
            found.add(vault.get_value(release, Release).verdict)
        except StoreError:  # said of the rollout
            continue
    return found


def came_back(row: ReleaseRow, steps: Sequence[RolloutRow]) -> bool:
    """Return whether a rollback on record put that release in production again."""
    return any(step.phase == "rolled_back" and step.control == row.id and step.at == row.at for step in steps)


def held_back(row: VerdictRow, history: Sequence[ReleaseRow], steps: Sequence[RolloutRow]) -> bool:
    """Return whether a verdict fell while a rollout ran, or after production had changed: then nothing is released."""
    last = next((step for step in reversed(steps) if step.at <= row.at), None)
    if last is not None and last.phase == "running":
        return True
    there = next((release for release in reversed(history) if release.at <= row.at), None)
    return there is not None and there.candidate != row.champion
