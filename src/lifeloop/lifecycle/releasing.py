"""How a release begins its way to production: by a verdict that promotes, and by nothing else.

To all traffic at once or in steps, as the brief says. What is decided is on record at once, and every gateway follows
the record; nothing here waits for one.
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from lifeloop.core.brief import Release as ReleaseSection
from lifeloop.core.content import Id, short
from lifeloop.core.errors import GateError
from lifeloop.core.evidence import Leaderboard, Release, Verdict
from lifeloop.lifecycle.rollouts import ROLLED_BACK, RUNNING
from lifeloop.project import Project
from lifeloop.stages.release import release
from lifeloop.store.ledger import Ledger
from lifeloop.store.rows import ReleaseRow, RolloutRow, Traffic, VerdictRow
from lifeloop.store.vault import Vault

TRIES = 10
"""How often to begin anew where somebody else decides at the same moment."""


class Begun(Struct, frozen=True):
    """What became of a verdict that promotes."""

    state: Literal["released", "rolling_out", "held"]
    release: Id
    """Of what is in production or on its way there; "" where it is held."""
    name: str
    about: str
    """In words: the strategy and share, or why it is held."""


def begin(
    ledger: Ledger,
    vault: Vault,
    verdict: Verdict,
    made: Release,
    section: ReleaseSection,
    clock: Callable[[], float],
    *,
    again: bool = False,
) -> Begun:
    """Begin a release by the brief's strategy, once: to all at once, or as a rollout.

    A release that was begun before is left as it stands, and one that was taken back stays so unless `again`. It is
    held while another rollout runs, where production is not what its verdict held it against, and where its candidate
    was taken back before, under whatever verdict.
    """
    identifier = vault.put_value(made)
    for _ in range(TRIES):
        traffic, rows = ledger.traffic(), ledger.rollouts()
        known = _known(identifier, made, traffic, ledger.releases(), rows, again=again)
        if known is not None:
            return known
        why = _held(verdict, traffic) or ("" if again else _taken_back_before(vault, made, rows))
        if why:
            return Begun("held", "", made.name, why)
        there = traffic.production
        if section.strategy == "direct" or there is None or there.candidate == made.candidate:
            ledger.add_release(
                id=identifier, verdict=made.verdict, candidate=made.candidate, name=made.name, at=clock()
            )
            alone = "" if section.strategy == "direct" else ", since there is nothing else to compare it with"
            return Begun("released", identifier, made.name, f"to all traffic at once{alone}")
        row = _first_row(identifier, there.id, section, next_number(rows), clock())
        if ledger.add_rollout_step(row):
            return Begun("rolling_out", identifier, made.name, told(row))
    raise GateError("the record of rollouts changes all the time", where=ledger.name, fix="try again")


def release_verdict(
    project: Project, *, verdict: str, strategy: str, clock: Callable[[], float]
) -> tuple[VerdictRow, Begun]:
    """Begin the release of a verdict, named by the beginning of its id; "" means the last that waits for its release.

    `strategy` overrides the brief's where it is not "". Raises GateError where there is no such verdict, it does not
    promote, or its release is held.
    """
    with contextlib.closing(project.open_ledger()) as ledger:
        vault = project.open_vault()
        row = _to_release(ledger, vault, verdict)
        value = vault.get_value(row.id, Verdict)
        section = project.brief.release
        if strategy:
            section = msgspec.structs.replace(section, strategy=strategy)
        production = ledger.current_release()
        board = vault.get_value(value.leaderboard, Leaderboard)
        made = release(value, board, section, replaces=production.id if production else "")
        begun = begin(ledger, vault, value, made, section, clock, again=bool(verdict))
        if begun.state == "held":
            raise GateError(
                f"{made.name}, the challenger of the verdict {short(row.id)}, is not released: {begun.about}",
                where=ledger.name,
                fix="`lifeloop status` says where traffic stands",
            )
        return row, begun


# below: what holds a release


def _known(
    identifier: Id,
    made: Release,
    traffic: Traffic,
    history: Collection[ReleaseRow],
    rows: Sequence[RolloutRow],
    *,
    again: bool,
) -> Begun | None:
    """Return how a release stands that was begun before, or None."""
    if traffic.production is not None and traffic.production.id == identifier:
        return Begun("released", identifier, made.name, "in production already")
    if traffic.rollout is not None and traffic.rollout.release == identifier:
        return Begun("rolling_out", identifier, made.name, told(traffic.rollout))
    ended = [row for row in rows if row.release == identifier]
    if again or (not ended and all(row.id != identifier for row in history)):
        return None
    there = f"{traffic.production.name} is in production since" if traffic.production else "nothing is in production"
    if ended and ended[-1].phase == ROLLED_BACK:
        again_by = f"`lifeloop release {short(made.verdict)}` releases it again"
        return Begun("held", "", made.name, f"it was {_told_back(ended[-1])}; {there}; {again_by}")
    again_by = f"`lifeloop rollback --to {short(identifier)}` brings it back"
    return Begun("held", "", made.name, f"it was in production before; {there}; {again_by}")


def overtaken(ledger: Ledger, vault: Vault, cycle: int) -> bool:
    """Return whether a cycle's verdict promotes and can never be released: production is not what it was held against.

    Then another cycle is due, on the same data, against what is in production since.
    """
    rows = [row for row in waiting(ledger, vault) if row.cycle == cycle]
    if not rows:
        return False
    traffic = ledger.traffic()
    return traffic.rollout is None and bool(_held(vault.get_value(rows[-1].id, Verdict), traffic))


def _held(verdict: Verdict, traffic: Traffic) -> str:
    """Return why a challenger may not begin now, or ""."""
    running, production = traffic.rollout, traffic.production
    if running is not None:
        return (
            f"the rollout of release {short(running.release)} is running ({told(running)}); it waits for its end, or "
            "`lifeloop rollback` ends it; then `lifeloop release`"
        )
    if production is None or production.candidate in (verdict.champion, verdict.challenger):
        return ""
    return (
        f"its verdict held it against {verdict.champion_name}, and {production.name} is in production since; "
        "`lifeloop run` holds it against that"
    )


def _taken_back_before(vault: Vault, made: Release, rows: Sequence[RolloutRow]) -> str:
    """Return that the candidate was taken back when it last went to traffic, or ""."""
    for row in reversed(rows):
        if row.phase != RUNNING and vault.get_value(row.release, Release).candidate == made.candidate:
            if row.phase != ROLLED_BACK:
                return ""
            by = f" by {row.by}" if row.by else ""
            return (
                f"it was taken back{by} before ({row.reason}); `lifeloop release {short(made.verdict)}` tries it again"
            )
    return ""


def _told_back(row: RolloutRow) -> str:
    by = f" by {row.by}" if row.by else ""
    return f"taken back{by}: {row.reason}"


def changed_since(verdict: Verdict, traffic: Traffic) -> str:
    """Return that production is no more what a verdict that promotes nobody was held against, or ""."""
    there = traffic.production
    if verdict.decision == "promote" or there is None or there.candidate == verdict.champion:
        return ""
    what = f"production changed since: {there.name} (release {short(there.id)}) is there"
    return f"{what}; a changed brief, new data or new feedback starts a cycle that is held against it"


def told(row: RolloutRow) -> str:
    """Return in words where a rollout stands."""
    if row.strategy == "shadow":
        return f"shadow: answers {row.share:.1%} of the requests unseen"
    name = "A/B" if row.strategy == "ab" else f"canary, step {row.step + 1}"
    return f"{name}: {row.share:.1%} of the traffic"


def _first_row(identifier: Id, control: Id, section: ReleaseSection, sequence: int, now: float) -> RolloutRow:
    settings = section.rollout
    shares = {"shadow": settings.shadow_share, "ab": settings.ab_share}
    return RolloutRow(
        sequence=sequence,
        release=identifier,
        control=control,
        strategy=section.strategy,
        phase=RUNNING,
        step=0,
        share=shares.get(section.strategy, settings.steps[0]),
        settings=msgspec.json.encode(settings).decode(),
        reason="begun by its verdict",
        by="",
        at=now,
    )


def waiting(ledger: Ledger, vault: Vault) -> list[VerdictRow]:
    """Return the verdicts that promote and whose release was never begun, oldest first."""
    begun = {row.verdict for row in ledger.releases()}
    begun |= {vault.get_value(row.release, Release).verdict for row in ledger.rollouts()}
    return [row for row in ledger.verdicts() if row.decision == "promote" and row.id not in begun]


def _to_release(ledger: Ledger, vault: Vault, prefix: str) -> VerdictRow:
    rows = ledger.verdicts()
    if not prefix:
        found = waiting(ledger, vault)[-1:]
        if not found:
            raise _none_waits(ledger, vault, rows)
        return found[0]
    found = [row for row in rows if row.id.startswith(prefix)]
    if not found:
        fix = "`lifeloop audit` lists the verdicts; a release, a candidate or a file is none"
        raise GateError(f"there is no verdict {prefix!r}", where=ledger.name, fix=fix)
    if len(found) > 1:
        named = ", ".join(short(row.id) for row in found[:5])
        raise GateError(f"{len(found)} verdicts begin with {prefix!r}", where=ledger.name, fix=f"say which: {named}")
    return found[0]


def _none_waits(ledger: Ledger, vault: Vault, rows: Sequence[VerdictRow]) -> GateError:
    """Return the error that says what became of the last verdict, and of the last that promotes."""
    what, fix = "no verdict that promotes waits for its release", "`lifeloop run` gives the next verdict"
    if rows and rows[-1].decision != "promote":
        what += f"; the last one is {rows[-1].decision!r}: {rows[-1].reason}"
    last = next((row for row in reversed(rows) if row.decision == "promote"), None)
    traffic, steps = ledger.traffic(), ledger.rollouts()
    if last is None or traffic.production is None:
        return GateError(what, where=ledger.name, fix=fix)
    if traffic.production.verdict == last.id:
        return GateError(f"{what}; {traffic.production.name} is in production by the last", where=ledger.name, fix=fix)
    made = {row.release: vault.get_value(row.release, Release) for row in steps}
    ended = [row for row in steps if made[row.release].verdict == last.id]
    if ended and ended[-1].phase == RUNNING:
        what += f"; {made[ended[-1].release].name} is on its way by the last ({told(ended[-1])})"
    elif ended and ended[-1].phase == ROLLED_BACK:
        what += f"; {made[ended[-1].release].name}, promoted by the last, was {_told_back(ended[-1])}"
        fix = f"`lifeloop release {short(last.id)}` releases it again"
    return GateError(what, where=ledger.name, fix=fix)


def next_number(rows: Sequence[RolloutRow]) -> int:
    """Return the number of the row after the last."""
    return rows[-1].sequence + 1 if rows else 1
