"""What became of releases: how each came to production, on which figures, and what it served. Reads only."""

import contextlib
from collections.abc import Callable, Sequence
from itertools import groupby

from msgspec import Struct

from lifeloop.core.content import Id, short
from lifeloop.core.evidence import Release
from lifeloop.lifecycle.rollouts import RUNNING, Position, position, watch_of
from lifeloop.project import Project
from lifeloop.stages import roll_out
from lifeloop.store.ledger import Ledger
from lifeloop.store.rows import ReleaseRow, RolloutRow


class Decided(Struct, frozen=True):
    """One decision on a release's way."""

    at: float
    what: str
    """released, the strategy of a step, promoted, rolled_back or came_back."""
    share: float
    reason: str
    by: str
    """Who decided; "" where the figures or the gate did."""


class Told(Struct, frozen=True):
    """One release and what became of it."""

    release: Id
    name: str
    verdict: Id
    in_production: bool
    decided: tuple[Decided, ...]
    """Oldest first."""
    served: tuple[int, int]
    """Of a rollout: answers of its own and of both sides, while it had a share of the traffic and was compared."""
    figures: tuple[str, ...] = ()
    """Of the running rollout: what its present step has come to."""


def releases_told(project: Project, clock: Callable[[], float]) -> tuple[Told, ...]:
    """Return what became of each release, the newest first: in production ever, or on its way there."""
    with contextlib.closing(project.open_ledger()) as ledger:
        vault, now = project.open_vault(), clock()
        traffic, rows, history = ledger.traffic(), ledger.rollouts(), ledger.releases()
        running = position(ledger, vault, traffic.rollout) if traffic.rollout is not None else None
        told = []
        for release, decisions in _decided(history, rows).items():
            made = vault.get_value(release, Release)
            runs = running is not None and running.row.release == release
            told.append(
                Told(
                    release=release,
                    name=made.name,
                    verdict=made.verdict,
                    in_production=traffic.production is not None and traffic.production.id == release,
                    decided=tuple(sorted(decisions, key=lambda decision: decision.at)),
                    served=_served(ledger, rows, release, now),
                    figures=_figures(ledger, running, now) if running is not None and runs else (),
                )
            )
        return tuple(sorted(told, key=lambda one: one.decided[-1].at if one.decided else 0.0, reverse=True))


def _decided(history: Sequence[ReleaseRow], rows: Sequence[RolloutRow]) -> dict[Id, list[Decided]]:
    """Return what was decided of each release: by rollouts, and to release it at once."""
    decided: dict[Id, list[Decided]] = {}
    for row in history:
        found = decided.setdefault(row.id, [])
        back = next((step for step in rows if (step.at, step.control) == (row.at, row.id)), None)
        if back is not None:
            what = f"instead of release {short(back.release)}, which was taken back: {back.reason}"
            found.append(Decided(row.at, "came_back", 1.0, what, back.by))
        elif not any((step.at, step.release) == (row.at, row.id) for step in rows):
            found.append(Decided(row.at, "released", 1.0, "to all traffic at once", ""))
    for step in rows:
        what = step.strategy if step.phase == RUNNING else step.phase
        decided.setdefault(step.release, []).append(Decided(step.at, what, step.share, step.reason, step.by))
    return decided


def _figures(ledger: Ledger, place: Position, now: float) -> tuple[str, ...]:
    """Return what a running rollout has come to in its step, in words."""
    watch = watch_of(ledger, place)
    watch.read(now)
    seen = watch.observed((now - place.began.at) / 3600.0)
    row = place.row
    decision = roll_out.decide(place.settings, row.strategy, row.step, row.share, seen)
    lines = [roll_out.told_shadow(seen.shadow)] if seen.shadow and seen.shadow.n else []
    lines += [roll_out.told(figure, place.settings) for figure in seen.figures if sum(figure.counts)]
    return (*lines, decision.reason)


def _served(ledger: Ledger, rows: Sequence[RolloutRow], release: Id, now: float) -> tuple[int, int]:
    """Return how many answers a release gave while its rollouts ran, and how many both sides gave.

    A shadow gives none, and what it gives once it is promoted is no rollout's.
    """
    own, total, place = 0, 0, 0
    for (one, control, compared), group in groupby(rows, _side_by_side):
        steps = list(group)
        place += len(steps)
        if one != release or not compared:
            continue
        until = rows[place].at if place < len(rows) else now
        mine, other = ledger.count_served((release, control), steps[0].at, until)
        own, total = own + mine, total + mine + other
    return own, total


def _side_by_side(row: RolloutRow) -> tuple[Id, Id, bool]:
    """Return which two releases a row is about, and whether both answer people from then on."""
    return row.release, row.control, row.phase == RUNNING and row.strategy != "shadow"
