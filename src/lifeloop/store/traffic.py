"""Who answers whom: the history of production and of rollouts, and what was served by the two sides of one.

Takes a connection, gives rows. Who adds a row claims its number: of several processes that decide at once exactly one
gets it, and the others are told so. Knows nothing of why anybody decides.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from lifeloop.core.content import Id
from lifeloop.core.events import ABANDONED
from lifeloop.store import schema
from lifeloop.store.rows import JudgedRow, ReleaseRow, RolloutRow, ServedRow, ShadowRow, Traffic, path


class Taken(Exception):
    """Somebody else has added the row of that number."""


_E, _F = schema.events.c, schema.feedback.c

Place = tuple[float, int]
"""Of an event in the order in which they began: its time and its number."""


def read_traffic(connection: sa.Connection) -> Traffic:
    """Return how things stand.

    A rollout counts as running only while the release that it is compared with is in production, so that whoever reads
    between the two halves of a change sees no third state.
    """
    rollout = last_rollout(connection)
    history = releases(connection)
    way = path(history)
    production = history[-1] if history else None
    running = rollout is not None and rollout.phase == "running"
    if running and (production is None or rollout is None or rollout.control != production.id):
        running = False
    return Traffic(
        production=production, previous=way[-2] if len(way) > 1 else None, rollout=rollout if running else None
    )


def releases(connection: sa.Connection) -> list[ReleaseRow]:
    """Return the history of production, oldest first."""
    query = sa.select(schema.releases).order_by(schema.releases.c.sequence)
    return [ReleaseRow(**row) for row in connection.execute(query).mappings()]


def rollouts(connection: sa.Connection) -> list[RolloutRow]:
    """Return what became of all rollouts, oldest first."""
    query = sa.select(schema.rollouts).order_by(schema.rollouts.c.sequence)
    return [RolloutRow(**row) for row in connection.execute(query).mappings()]


def last_rollout(connection: sa.Connection) -> RolloutRow | None:
    """Return the newest row, or None."""
    query = sa.select(schema.rollouts).order_by(schema.rollouts.c.sequence.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return RolloutRow(**row) if row else None


def claim(connection: sa.Connection, row: RolloutRow, release: ReleaseRow | None) -> None:
    """Insert a row of a rollout and, where it changes production, that of the release.

    Their numbers are the next ones after the last that the caller had seen. Raises Taken where they are not any more;
    between that question and the insert it is an IntegrityError.
    """
    for table, claimed in ((schema.rollouts, row), (schema.releases, release)):
        if claimed is not None:
            last = connection.execute(sa.select(sa.func.max(table.c.sequence))).scalar() or 0
            if claimed.sequence != last + 1:
                raise Taken
            connection.execute(sa.insert(table).values(msgspec.structs.asdict(claimed)))


def events_before(connection: sa.Connection, at: float) -> int:
    """Return the number after which the events of a time and later are found.

    Late ones are among them: an event has its number from when it came here, not from when it was served. Costs as much
    as there are events since then: the sum keeps databases from looking for the lowest number from the first on.
    """
    first = connection.execute(sa.select(sa.func.min(_E.sequence + 0)).where(_E.at >= at)).scalar()
    last = connection.execute(sa.select(sa.func.max(_E.sequence))).scalar() if first is None else first - 1
    return int(last or 0)


def feedback_before(connection: sa.Connection, at: float) -> int:
    """Return the number after which the feedback of a time and later is found, late ones included."""
    first = connection.execute(sa.select(sa.func.min(_F.sequence)).where(_F.at >= at)).scalar()
    last = connection.execute(sa.select(sa.func.max(_F.sequence))).scalar() if first is None else first - 1
    return int(last or 0)


def recorded_until(connection: sa.Connection) -> float:
    """Return when the event ended that came here last; 0 where there is none.

    Events come in the order in which they ended, so what ended later may not be here yet.
    """
    query = sa.select(_E.at + _E.seconds).order_by(_E.sequence.desc()).limit(1)
    return float(connection.execute(query).scalar() or 0.0)


def served(
    connection: sa.Connection, sides: tuple[Id, Id], after: Place, until: float, limit: int
) -> Iterator[ServedRow]:
    """Yield what two releases served and showed to people after a place and until a time, in the order it began."""
    query = (
        sa.select(
            _E.sequence,
            _E.at,
            _E.id,
            _E.release,
            _failed(_E.error),
            _abandoned(_E.error),
            sa.case((_E.output == "", 1), else_=0),
            _E.seconds,
            _E.user_key,
        )
        .where(*_between(after, until), _one_of(sides), _E.shadow_of == "")
        .order_by(_E.at, _E.sequence)
        .limit(limit)
    )
    for row in connection.execute(query):
        yield ServedRow(*row[:4], bool(row[4]), bool(row[5]), bool(row[6]), *row[7:])


def count_served(connection: sa.Connection, sides: tuple[Id, Id], since: float, until: float) -> tuple[int, int]:
    """Return how many answers of two releases people were shown between two times."""
    query = (
        sa.select(_E.release, sa.func.count())
        .where(_E.release.in_(sides), _E.at >= since, _E.at <= until, _E.shadow_of == "")
        .group_by(_E.release)
    )
    found = {row[0]: int(row[1]) for row in connection.execute(query)}
    return found.get(sides[0], 0), found.get(sides[1], 0)


def judged(
    connection: sa.Connection, sides: tuple[Id, Id], since: float, after: int, limit: int
) -> Iterator[JudgedRow]:
    """Yield feedback on what two releases served since a time, with what it is about, in the order it came here."""
    query = (
        sa.select(_F.sequence, _F.event, _E.at, _E.release, _E.user_key, _F.rating, _F.label, _E.output)
        .join(schema.events, _E.id == _F.event)
        .where(_F.sequence > after, _one_of(sides), _later(since), _E.shadow_of == "")
        .order_by(_F.sequence)
        .limit(limit)
    )
    for row in connection.execute(query):
        yield JudgedRow(*row)


def shadowed(connection: sa.Connection, release: Id, after: Place, until: float, limit: int) -> Iterator[ShadowRow]:
    """Yield what a release answered unseen after a place and until a time, each beside what was shown instead."""
    shown = schema.events.alias("shown")
    s = shown.c
    query = (
        sa.select(
            _E.sequence,
            _E.at,
            _E.output,
            s.output,
            _failed(_E.error),
            _failed(s.error),
            _E.seconds,
            s.seconds,
            _E.usd,
            s.usd,
            s.user_key,
        )
        .join(shown, s.id == _E.shadow_of)
        .where(*_between(after, until), _E.shadow_of != "", _one_of((release,)))
        .order_by(_E.at, _E.sequence)
        .limit(limit)
    )
    for row in connection.execute(query):
        yield ShadowRow(*row[:4], bool(row[4]), bool(row[5]), *row[6:])


def _between(after: Place, until: float) -> tuple[sa.ColumnElement[bool], ...]:
    """Return SQL for an event that began after a place and until a time."""
    at, sequence = after
    return _E.at >= at, _E.at <= until, sa.or_(_E.at > at, _E.sequence > sequence)


def _one_of(releases: Sequence[Id]) -> sa.ColumnElement[bool]:
    """Return SQL for an event of one of those releases; an expression, so that rows are not read by its index.

    By the index of releases all of a release's events would be read and sorted for the few that are new.
    """
    return sa.func.coalesce(_E.release, "").in_(releases)


def _later(since: float) -> sa.ColumnElement[bool]:
    """Return SQL for an event of a time or later, for the same reason no plain comparison."""
    return _E.at + 0.0 >= since


def _failed(error: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
    """Return SQL for whether the released candidate gave no whole answer, through no doing of the client.

    What comes after the end in an event's error is what befell candidates before it.
    """
    left = error.startswith(ABANDONED, autoescape=True)
    return sa.case((sa.or_(error == "", sa.and_(left, sa.not_(error.contains("; ")))), 0), else_=1)


def _abandoned(error: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
    """Return SQL for whether an answer was given up before its candidate had failed or was done."""
    left = error.startswith(ABANDONED, autoescape=True)
    return sa.case((sa.and_(left, sa.not_(error.contains("; "))), 1), else_=0)
