"""Override: a person promotes against the gate, with a name and a reason that every record of it shows from then on.

Takes a verdict that did not promote, gives a new one that does, and releases its challenger. The old verdict stays.
"""

import contextlib
from collections.abc import Callable

import msgspec
from msgspec import Struct

from lifeloop.core.content import Id, content_id, short
from lifeloop.core.errors import GateError
from lifeloop.core.evidence import Leaderboard, Release, Verdict
from lifeloop.lifecycle.cycle import only_run
from lifeloop.lifecycle.gate import row_of
from lifeloop.lifecycle.persons import said
from lifeloop.lifecycle.releasing import told
from lifeloop.project import Project
from lifeloop.stages.release import release
from lifeloop.store.ledger import Ledger, VerdictRow
from lifeloop.store.vault import Vault


class Overridden(Struct, frozen=True):
    """What an override came to."""

    verdict_id: Id
    verdict: Verdict
    released: Id


def override(project: Project, *, reason: str, by: str, verdict: str, clock: Callable[[], float]) -> Overridden:
    """Promote the challenger of a verdict, named by the beginning of its id; "" means the last verdict.

    Raises GateError where there is no reason or name, no such verdict, or nothing to override.
    """
    reason, by = said(reason, "--reason", "why it goes to production all the same"), said(by, "--by", "your name")
    with contextlib.closing(project.open_ledger()) as ledger, only_run(project.state):
        vault = project.open_vault()
        row = _to_override(ledger, vault, verdict)
        old = vault.get_value(row.id, Verdict)
        new = msgspec.structs.replace(
            old,
            decision="promote",
            reason=f"promoted against the gate by {by}: {reason} (the gate's {_WORDS[old.decision]}: {old.reason})",
            override_by=by,
            override_reason=reason,
            overrides=row.id,
        )
        board = vault.get_value(old.leaderboard, Leaderboard)
        made = msgspec.structs.replace(
            release(new, board, project.brief.release, replaces=_current(ledger, vault)),
            cycle=ledger.verdicts()[-1].cycle,  # of an older verdict: it is not the champion that later cycles had
        )
        identifier, released = vault.put_value(new), vault.put_value(made)
        ledger.add_override(row_of(identifier, new, clock()), release=released, name=made.name)
        return Overridden(identifier, new, released)


_WORDS = {"reject": "rejection", "undecided": "open verdict"}


def _to_override(ledger: Ledger, vault: Vault, prefix: str) -> VerdictRow:
    if running := ledger.traffic().rollout:
        raise GateError(
            f"the rollout of release {short(running.release)} is running ({told(running)})",
            where=ledger.name,
            fix="`lifeloop rollback` ends it; then override",
        )
    rows = ledger.verdicts()
    found = [row for row in rows if row.id.startswith(prefix)] if prefix else rows[-1:]
    if not found:
        what = f"there is no verdict {prefix!r}" if prefix else "there is no verdict to override"
        raise GateError(what, where=ledger.name, fix="`lifeloop audit` lists the verdicts; `lifeloop run` gives one")
    if len(found) > 1:
        named = ", ".join(short(row.id) for row in found[:5])
        raise GateError(f"{len(found)} verdicts begin with {prefix!r}", where=ledger.name, fix=f"say which: {named}")
    (row,) = found
    later = [other for other in rows if other.override_by and vault.get_value(other.id, Verdict).overrides == row.id]
    if row.decision == "promote" or later:
        by = row.override_by or (later[0].override_by if later else "")
        how = f", by {by} against the gate" if by else ""
        raise GateError(
            f"the verdict {short(row.id)} of cycle {row.cycle} is promoted already{how}",
            where="override",
            fix="there is nothing to override; `lifeloop why` shows what is in production",
        )
    current = ledger.current_release()
    if current is not None and current.candidate == row.challenger:
        raise GateError(
            f"{current.name}, the challenger of the verdict {short(row.id)}, is in production already",
            where="override",
            fix="there is nothing to override",
        )
    return row


def _current(ledger: Ledger, vault: Vault) -> Id:
    row = ledger.current_release()
    return content_id(vault.get_value(row.id, Release)) if row else ""
