"""Where the loop stands, in a few plain SQL statements that SQLite and PostgreSQL both run.

On SQLite it goes through the standard library, since importing SQLAlchemy alone would take longer than
`lifeloop status` may. Reads only; a ledger of an earlier revision is first upgraded by `open_ledger`.
"""

import contextlib
import sqlite3
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from lifeloop.core.errors import StoreError
from lifeloop.core.events import ABANDONED

Rows = list[tuple[Any, ...]]


class RolloutStanding(Struct, frozen=True):
    """How the last rollout stands."""

    release: str
    strategy: str
    phase: str
    step: int
    """From 1."""
    share: float
    reason: str
    by: str
    at: float
    answers: int = 0
    """Of its own since the step began, also unseen ones of a shadow; 0 once it has ended."""
    failed: int = 0
    """Of those, the ones that its candidate did not give."""


class Standing(Struct, frozen=True):
    """The ledger in a dozen numbers."""

    cycle: int
    """Number of the last cycle; 0 before the first."""
    cycle_at: float
    last_run: str
    """The last stage run that completed, as "stage subject"."""
    decision: str
    """The last verdict; "" before the first."""
    reason: str
    decided_cycle: int
    release: str
    """Id of what is in production, or ""."""
    name: str
    released_at: float
    n_releases: int
    n_events: int
    n_feedback: int
    new_feedback: int
    """Feedback that no cycle has learned from."""
    override_by: str = ""
    """Who made the last verdict against the gate; "" where the gate decided."""
    release_override_by: str = ""
    """Who promoted what is in production against the gate; "" where the gate did."""
    rollout: RolloutStanding | None = None
    """The last rollout, running or ended; None before the first."""


def standing(url: str) -> Standing:
    """Return where the loop stands. A ledger that does not exist yet gives zeros. Raises StoreError."""
    if url.startswith("sqlite:///"):
        path = Path(url.removeprefix("sqlite:///"))
        return _from_sqlite(url, path) if path.exists() else _empty()
    return _through_ledger(url)


def _through_ledger(url: str) -> Standing:
    from lifeloop.store.ledger import open_ledger

    with contextlib.closing(open_ledger(url)) as ledger, ledger.reading() as query:
        return _read(query)


def _from_sqlite(url: str, path: Path) -> Standing:
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5.0)
        try:
            return _read(lambda sql: connection.execute(sql).fetchall())
        finally:
            connection.close()
    except sqlite3.Error as error:
        if "no such column" in str(error) or "no such table: rollouts" in str(error):  # of an earlier revision
            return _through_ledger(url)
        if "no such table" in str(error):
            return _empty()
        locked = "locked" in str(error)
        raise StoreError(
            "the ledger is locked by another process" if locked else f"cannot be read ({error})",
            where=str(path),
            fix="try again" if locked else "restore it from a backup, if it is damaged",
        ) from None


def _read(query: Callable[[str], Rows]) -> Standing:
    cycle = query("SELECT number, at, feedback_until FROM cycles ORDER BY number DESC LIMIT 1")
    # one row for each part of the data, and one that says which version it became, are nothing that people wait for
    told = "stage NOT IN ('examine', 'version')"
    run = query(f"SELECT stage, subject FROM runs WHERE {told} ORDER BY sequence DESC LIMIT 1")
    verdict = query("SELECT decision, reason, cycle, override_by FROM verdicts ORDER BY sequence DESC LIMIT 1")
    release = query(
        "SELECT r.id, r.name, r.at, coalesce(v.override_by, '') FROM releases r "
        "LEFT JOIN verdicts v ON v.id = r.verdict ORDER BY r.sequence DESC LIMIT 1"
    )
    counts = [int(query(f"SELECT count(*) FROM {table}")[0][0]) for table in ("releases", "events", "feedback")]
    n_shadows = int(query("SELECT count(*) FROM events WHERE shadow_of != ''")[0][0])
    learned = int(cycle[0][2]) if cycle else 0
    return Standing(
        cycle=int(cycle[0][0]) if cycle else 0,
        cycle_at=float(cycle[0][1]) if cycle else 0.0,
        last_run=" ".join(run[0]) if run else "",
        decision=str(verdict[0][0]) if verdict else "",
        reason=str(verdict[0][1]) if verdict else "",
        decided_cycle=int(verdict[0][2]) if verdict else 0,
        release=str(release[0][0]) if release else "",
        name=str(release[0][1]) if release else "",
        released_at=float(release[0][2]) if release else 0.0,
        n_releases=counts[0],
        n_events=counts[1] - n_shadows,
        n_feedback=counts[2],
        new_feedback=int(query(f"SELECT count(*) FROM feedback WHERE sequence > {learned}")[0][0]),
        override_by=str(verdict[0][3]) if verdict else "",
        release_override_by=str(release[0][3]) if release else "",
        rollout=_rollout(query),
    )


def _rollout(query: Callable[[str], Rows]) -> RolloutStanding | None:
    """Return how the last rollout stands, with what is counted fast: the answers of its own, which are the fewer."""
    rows = query(
        "SELECT release, control, strategy, phase, step, share, reason, by, at FROM rollouts ORDER BY sequence DESC"
    )
    if not rows:
        return None
    release, _, strategy, phase, step, share, reason, by, at = rows[0]
    answers = failed = 0
    if phase == "running":
        since = [row[-1] for row in takewhile(lambda row: row[:6] == rows[0][:6], rows)][-1]
        bad = f"CASE WHEN error = '' OR substr(error, 1, {len(ABANDONED)}) = '{ABANDONED}' THEN 0 ELSE 1 END"
        of_step = f"release = '{release}' AND at >= {since!r}"
        answers, failed = query(f"SELECT count(*), coalesce(sum({bad}), 0) FROM events WHERE {of_step}")[0]
    return RolloutStanding(
        release, strategy, phase, int(step) + 1, share, reason, by, float(at), int(answers), int(failed)
    )


def _empty() -> Standing:
    return Standing(0, 0.0, "", "", "", 0, "", "", 0.0, 0, 0, 0, 0)
