"""How a person ends a rollout, or takes back what is in production: finish and rollback.

Both are on record with a name and a reason, and every gateway follows the record. Neither holds the project's lock: a
rollback waits for no cycle.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.content import Id, short
from lifeloop.core.errors import GateError
from lifeloop.core.evidence import Release
from lifeloop.lifecycle.persons import said
from lifeloop.lifecycle.releasing import TRIES, next_number
from lifeloop.lifecycle.rollouts import PROMOTED, ROLLED_BACK, promoted
from lifeloop.project import Project
from lifeloop.store.ledger import Ledger
from lifeloop.store.rows import ReleaseRow, RolloutRow, Traffic
from lifeloop.store.vault import Vault


class Ended(Struct, frozen=True):
    """What a person put on record, and what it left in production."""

    release: Id
    """What was taken back, or put in production."""
    name: str
    phase: str
    """promoted or rolled_back."""
    strategy: str
    step: int
    """In which it was, from 1."""
    settings: dict[str, Any]
    """The brief's release.rollout as its rollout began with it; empty where there was none."""
    production: Id
    """The release in production from now on."""
    production_name: str
    reason: str
    by: str
    at: float


def finish(project: Project, *, by: str, reason: str, clock: Callable[[], float]) -> Ended:
    """Put the release of the running rollout in production by a person's word. Raises GateError where none runs."""
    reason, by = said(reason, "--reason", "why it goes to all traffic now"), said(by, "--by", "your name")
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        for _ in range(TRIES):
            traffic = ledger.traffic()
            running = traffic.rollout
            if running is None:
                raise GateError("no rollout is running", where=ledger.name, fix="`lifeloop release` begins one")
            now = clock()
            later = msgspec.structs.replace(running, sequence=running.sequence + 1, reason=reason, by=by, at=now)
            row, made = promoted(later, vault.get_value(running.release, Release), traffic, now)
            if ledger.add_rollout_step(row, made):
                return _ended(vault, row)
        raise GateError("the record of rollouts changes all the time", where=ledger.name, fix="try again")


def rollback(project: Project, *, by: str, reason: str, to: str = "", clock: Callable[[], float]) -> Ended:
    """Take back what came last: the running rollout, or else what is in production for the release before it.

    `to` names another release that was in production, by the beginning of its id. Raises GateError where there is
    nothing to go back to.
    """
    reason, by = said(reason, "--reason", "why it is taken back"), said(by, "--by", "your name")
    with contextlib.closing(project.open_ledger()) as ledger:
        for _ in range(TRIES):
            traffic, rows = ledger.traffic(), ledger.rollouts()
            row, target = _taken_back(ledger, traffic, rows, to)
            now = clock()
            row = msgspec.structs.replace(row, sequence=next_number(rows), reason=reason, by=by, at=now)
            if target is not None:
                target = msgspec.structs.replace(target, sequence=_last(traffic) + 1, at=now)
            if ledger.add_rollout_step(row, target):
                return _ended(project.open_vault(), row)
        raise GateError("the record of rollouts changes all the time", where=ledger.name, fix="try again")


def _ended(vault: Vault, row: RolloutRow) -> Ended:
    production = row.release if row.phase == PROMOTED else row.control
    return Ended(
        release=row.release,
        name=vault.get_value(row.release, Release).name,
        phase=row.phase,
        strategy=row.strategy,
        step=row.step + 1,
        settings=msgspec.json.decode(row.settings),
        production=production,
        production_name=vault.get_value(production, Release).name,
        reason=row.reason,
        by=row.by,
        at=row.at,
    )


def _taken_back(
    ledger: Ledger, traffic: Traffic, rows: Sequence[RolloutRow], to: str
) -> tuple[RolloutRow, ReleaseRow | None]:
    """Return what goes back, as its next row but for who and when, and the release that comes in its place."""
    running, production = traffic.rollout, traffic.production
    if running is not None and not to:
        return msgspec.structs.replace(running, phase=ROLLED_BACK, share=0.0), None
    if production is None:
        raise GateError("nothing is in production", where=ledger.name, fix="`lifeloop run` first")
    target = _named(ledger, production, to) if to else traffic.previous
    if target is None:
        raise GateError(
            f"there is no release before {production.name}, which is in production",
            where=ledger.name,
            fix="a release is taken back only for one that was in production before it",
        )
    if running is not None:
        return msgspec.structs.replace(running, control=target.id, phase=ROLLED_BACK, share=0.0), target
    direct = RolloutRow(0, production.id, target.id, "direct", ROLLED_BACK, 0, 0.0, "{}", "", "", 0.0)
    row = next((row for row in reversed(rows) if row.release == production.id), direct)
    return msgspec.structs.replace(row, control=target.id, phase=ROLLED_BACK, share=0.0), target


def _named(ledger: Ledger, production: ReleaseRow, prefix: str) -> ReleaseRow:
    found = {row.id: row for row in ledger.releases() if row.id.startswith(prefix)}
    if production.id in found and len(found) == 1:
        raise GateError(f"{production.name} is in production already", where="--to", fix="name another release")
    if len(found) != 1:
        named = ", ".join(short(identifier) for identifier in found)
        what = f"{len(found)} releases begin with {prefix!r}" if found else f"there is no release {prefix!r}"
        fix = f"say which: {named}" if found else "`lifeloop release --list` lists those that were in production"
        raise GateError(what, where="--to", fix=fix)
    return next(iter(found.values()))


def _last(traffic: Traffic) -> int:
    return traffic.production.sequence if traffic.production else 0
