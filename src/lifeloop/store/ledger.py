"""The ledger: the database of record. Append-only; SQLite on one machine, PostgreSQL by URL.

Knows rows and their order. Knows nothing of what stages compute: what they give is in the vault, under the ids
written here.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from lifeloop.core.content import Id
from lifeloop.core.errors import StoreError
from lifeloop.core.events import Event, Feedback
from lifeloop.store import chain, schema, traffic
from lifeloop.store.database import connect, explain
from lifeloop.store.migrate import migrate
from lifeloop.store.rows import (
    ChainedRow,
    CycleRow,
    FeedbackRow,
    JudgedRow,
    KeyRow,
    ReleaseRow,
    RolloutRow,
    RunRow,
    ServedRow,
    ShadowRow,
    Traffic,
    VerdictRow,
)
from lifeloop.store.served import insert_served
from lifeloop.store.traffic import Place

__all__ = [
    "ChainedRow",
    "CycleRow",
    "FeedbackRow",
    "Ledger",
    "ReleaseRow",
    "RunRow",
    "VerdictRow",
    "attach_ledger",
    "open_ledger",
]

IDS_AT_ONCE = 500
"""Ids of one query: older builds of SQLite allow 999 parameters."""

CHAIN = 0x6C696670
"""Number of the PostgreSQL advisory lock that whoever adds a verdict holds."""


class Ledger:
    """An open ledger. Safe to share between threads; every method is one transaction."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._engine = engine
        self.name = name

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # cycles

    def add_cycle(self, row: CycleRow) -> None:
        """Record that a cycle starts. Raises StoreError if another process started the same number."""
        self._insert(schema.cycles, msgspec.structs.asdict(row))

    def cycles(self) -> list[CycleRow]:
        """Return all cycles, oldest first."""
        return [CycleRow(**row) for row in self._select(sa.select(schema.cycles).order_by(schema.cycles.c.number))]

    # stage runs

    def find_run(self, key: Id) -> RunRow | None:
        """Return the run of that key, or None if nothing of that key has completed."""
        rows = self._select(sa.select(schema.runs).where(schema.runs.c.key == key))
        return _run(rows[0]) if rows else None

    def add_run(self, row: RunRow) -> None:
        """Record a completed run. A second one of the same key changes nothing: the first stands."""
        values = msgspec.structs.asdict(row) | {"inputs": json.dumps(row.inputs, sort_keys=True)}
        self._insert_numbered(schema.runs, values, ignore_existing=True)

    def runs(self) -> list[RunRow]:
        """Return all completed runs, oldest first."""
        return [_run(row) for row in self._select(sa.select(schema.runs).order_by(schema.runs.c.sequence))]

    # verdicts and releases

    def add_verdict(self, row: VerdictRow) -> None:
        """Record a verdict at the end of the chain; the same verdict twice changes nothing."""
        with self._transaction() as connection:
            self._chain(connection, row)

    def add_override(self, row: VerdictRow, *, release: Id, name: str) -> None:
        """Record a verdict and put its challenger in production, in one transaction: never the one without the other.

        `release` is the id of the release, `name` that of the candidate.
        """
        values = {"id": release, "verdict": row.id, "candidate": row.challenger, "name": name, "at": row.at}
        with self._transaction() as connection:
            self._chain(connection, row)
            self._append(connection, schema.releases, values)

    def verdicts(self) -> list[VerdictRow]:
        """Return all verdicts, oldest first."""
        return [link.row for link in self.chain()]

    def chain(self) -> list[ChainedRow]:
        """Return all verdicts with their places in the chain, oldest first; whether it holds is the caller's to say."""
        names = [field.name for field in msgspec.structs.fields(VerdictRow)]
        return [
            ChainedRow(
                sequence=row["sequence"],
                row=VerdictRow(**{name: row[name] for name in names}),
                previous=row["previous"],
                hash=row["hash"],
                expected=chain.chained(row["previous"], row),
            )
            for row in self._select(sa.select(schema.verdicts).order_by(schema.verdicts.c.sequence))
        ]

    def add_release(self, *, id: Id, verdict: Id, candidate: Id, name: str, at: float) -> None:
        """Put a release in production, after all before it."""
        values = {"id": id, "verdict": verdict, "candidate": candidate, "name": name, "at": at}
        self._insert_numbered(schema.releases, values, ignore_existing=False)

    def releases(self) -> list[ReleaseRow]:
        """Return the history of production, oldest first."""
        rows = self._select(sa.select(schema.releases).order_by(schema.releases.c.sequence))
        return [ReleaseRow(**row) for row in rows]

    def current_release(self) -> ReleaseRow | None:
        """Return what is in production, or None."""
        query = sa.select(schema.releases).order_by(schema.releases.c.sequence.desc()).limit(1)
        rows = self._select(query)
        return ReleaseRow(**rows[0]) if rows else None

    # rollouts

    def traffic(self) -> Traffic:
        """Return what is in production, what was before it, and the running rollout."""
        with self._transaction() as connection:
            return traffic.read_traffic(connection)

    def rollouts(self) -> list[RolloutRow]:
        """Return what became of all rollouts, oldest first; the last row is how things stand."""
        with self._transaction() as connection:
            return traffic.rollouts(connection)

    def add_rollout_step(self, row: RolloutRow, release: ReleaseRow | None = None) -> bool:
        """Record how a rollout goes on, with the release that this puts in production, in one transaction.

        Both claim the number after the last that the caller has seen. Returns False, and records nothing, where
        somebody else was faster: of several processes that decide at once exactly one is heard.
        """
        try:
            with self._engine.begin() as connection:
                traffic.claim(connection, row, release)
        except (traffic.Taken, IntegrityError):
            return False
        except (DBAPIError, OSError) as error:
            raise explain(error, self.name) from error
        return True

    def feedback_before(self, at: float) -> int:
        """Return the sequence number after which the feedback of a time and later is found."""
        with self._transaction() as connection:
            return traffic.feedback_before(connection, at)

    def recorded_until(self) -> float:
        """Return until when events are here, if all that write them come along: when the last one here ended, or 0."""
        with self._transaction() as connection:
            return traffic.recorded_until(connection)

    def served_by(self, sides: tuple[Id, Id], *, after: Place, until: float, limit: int) -> list[ServedRow]:
        """Return what two releases served that began after a place and until a time, in that order."""
        with self._transaction() as connection:
            return list(traffic.served(connection, sides, after, until, limit))

    def judged_of(self, sides: tuple[Id, Id], *, since: float, after: int, limit: int) -> list[JudgedRow]:
        """Return feedback on what two releases served since a time, in the order it came, after a sequence number."""
        with self._transaction() as connection:
            return list(traffic.judged(connection, sides, since, after, limit))

    def count_served(self, sides: tuple[Id, Id], since: float, until: float) -> tuple[int, int]:
        """Return how many answers of two releases people were shown between two times."""
        with self._transaction() as connection:
            return traffic.count_served(connection, sides, since, until)

    def shadows_of(self, release: Id, *, after: Place, until: float, limit: int) -> list[ShadowRow]:
        """Return what a release answered unseen after a place and until a time, beside what was shown."""
        with self._transaction() as connection:
            return list(traffic.shadowed(connection, release, after, until, limit))

    # events and feedback

    def add_served(self, events: Sequence[Event], feedback: Sequence[Feedback]) -> None:
        """Record events and feedback in one transaction; those whose id is already there are left as they are."""
        with self._transaction() as connection:
            insert_served(connection, events, feedback)

    def event(self, id: str) -> Event | None:
        """Return the event of that id, or None."""
        rows = self._select(sa.select(schema.events).where(schema.events.c.id == id))
        return Event(**_without(rows[0], "sequence")) if rows else None

    def events(self, ids: Collection[str]) -> dict[str, Event]:
        """Return the events of those ids that are there, by id."""
        wanted, found = sorted(ids), {}
        for start in range(0, len(wanted), IDS_AT_ONCE):
            part = schema.events.c.id.in_(wanted[start : start + IDS_AT_ONCE])
            for row in self._select(sa.select(schema.events).where(part)):
                found[row["id"]] = Event(**_without(row, "sequence"))
        return found

    def latest_events(self, limit: int) -> list[Event]:
        """Return the newest events that people were shown, newest first."""
        shown = schema.events.c.shadow_of == ""
        query = sa.select(schema.events).where(shown).order_by(schema.events.c.sequence.desc()).limit(limit)
        return [Event(**_without(row, "sequence")) for row in self._select(query)]

    def count_events(self) -> int:
        """Return how many events there are."""
        return int(self._select(sa.select(sa.func.count().label("n")).select_from(schema.events))[0]["n"])

    def last_feedback(self) -> int:
        """Return the sequence number of the newest feedback, or 0."""
        query = sa.select(sa.func.max(schema.feedback.c.sequence).label("n"))
        return int(self._select(query)[0]["n"] or 0)

    def feedback(self, *, after: int = 0, until: int | None = None) -> list[FeedbackRow]:
        """Return feedback with its events, oldest first, with `after` < sequence <= `until`."""
        f, e = schema.feedback.c, schema.events.c
        query = (
            sa.select(schema.feedback, *(column.label(f"event_{column.name}") for column in e))
            .join(schema.events, e.id == f.event)
            .where(f.sequence > after)
            .order_by(f.sequence)
        )
        if until is not None:
            query = query.where(f.sequence <= until)
        found = []
        for row in self._select(query):
            event = {name.removeprefix("event_"): row.pop(name) for name in list(row) if name.startswith("event_")}
            sequence = row.pop("sequence")
            event.pop("sequence")
            found.append(FeedbackRow(sequence=sequence, feedback=Feedback(**row), event=Event(**event)))
        return found

    # API keys

    def add_key(self, row: KeyRow) -> bool:
        """Record what becomes of an API key, under the row's own number; return False where that number is taken.

        Whoever adds one has read `key_rows` and numbers on from there, so that nobody changes a key unseen by another.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(sa.insert(schema.api_keys).values(msgspec.structs.asdict(row)))
        except IntegrityError:
            return False
        except (DBAPIError, OSError) as error:
            raise explain(error, self.name) from error
        return True

    def key_rows(self, after: int = 0) -> list[KeyRow]:
        """Return what became of API keys, oldest first, with sequence > `after`."""
        keys = schema.api_keys
        rows = self._select(sa.select(keys).where(keys.c.sequence > after).order_by(keys.c.sequence))
        return [KeyRow(**row) for row in rows]

    def last_event(self) -> int:
        """Return the sequence number of the newest event, or 0."""
        return int(self._select(sa.select(sa.func.max(schema.events.c.sequence).label("n")))[0]["n"] or 0)

    def spending(self, keys: Collection[str], since: float, after: int, until: int) -> dict[str, float]:
        """Return what answers to API keys cost in USD, by key: of events from `since` (seconds since the epoch, UTC) on
        with `after` < sequence <= `until`.
        """
        e = schema.events.c
        with self._transaction() as connection:
            first = after or traffic.events_before(connection, since)
            query = sa.select(e.api_key, sa.func.sum(e.usd)).group_by(e.api_key)
            of_these = e.api_key.in_(sorted(keys))
            query = query.where(of_these, e.at + 0.0 >= since, e.sequence > first, e.sequence <= until)
            return {row[0]: float(row[1]) for row in connection.execute(query)}

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
        """Give a function from SQL to rows, all in one transaction."""
        with self._transaction() as connection:
            yield lambda sql: [tuple(row) for row in connection.execute(sa.text(sql))]

    # below: how rows get in and out

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (DBAPIError, OSError, sa.exc.TimeoutError) as error:  # the last: no free connection
            raise explain(error, self.name) from error

    def _select(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._transaction() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _insert(self, table: sa.Table, values: dict[str, Any]) -> None:
        with self._transaction() as connection:
            connection.execute(sa.insert(table).values(values))

    def _insert_numbered(self, table: sa.Table, values: dict[str, Any], *, ignore_existing: bool) -> None:
        """Insert a row with the next sequence number; two processes that pick the same number try again."""
        for _ in range(20):
            try:
                with self._engine.begin() as connection:
                    if ignore_existing and self._exists(connection, table, values):
                        return
                    self._append(connection, table, values)
                return
            except IntegrityError:
                continue
            except (DBAPIError, OSError) as error:
                raise explain(error, self.name) from error
        raise StoreError(f"could not number a row of {table.name}", where=self.name, fix="try again")

    def _chain(self, connection: sa.Connection, row: VerdictRow) -> None:
        """Insert a verdict at the end of the chain unless it is there."""
        table, values = schema.verdicts, msgspec.structs.asdict(row)
        self._hold_chain(connection)  # else two writers could both take the same row for the last
        if self._exists(connection, table, values):
            return
        last = connection.execute(
            sa.select(table.c.sequence, table.c.hash).order_by(table.c.sequence.desc()).limit(1)
        ).first()
        values["sequence"], previous = (last.sequence + 1, last.hash) if last else (1, chain.START)
        values |= {"previous": previous, "hash": chain.chained(previous, values)}
        connection.execute(sa.insert(table).values(values))

    @staticmethod
    def _append(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> None:
        """Insert a row with the next sequence number."""
        last = connection.execute(sa.select(sa.func.max(table.c.sequence))).scalar()
        connection.execute(sa.insert(table).values(values | {"sequence": (last or 0) + 1}))

    @staticmethod
    def _hold_chain(connection: sa.Connection) -> None:
        """Make other writers of verdicts wait until this transaction ends."""
        if connection.dialect.name == "sqlite":  # its driver would begin only at the insert, after what was read
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": CHAIN})

    @staticmethod
    def _exists(connection: sa.Connection, table: sa.Table, values: dict[str, Any]) -> bool:
        key = next(iter(table.primary_key.columns))
        return connection.execute(sa.select(key).where(key == values[key.name])).first() is not None


def open_ledger(url: str) -> Ledger:
    """Return the ledger at a SQLAlchemy URL (`sqlite:///…`, `postgresql+psycopg://…`), created or upgraded if need be.

    Raises StoreError where it cannot be opened.
    """
    ledger = attach_ledger(url)
    try:
        migrate(ledger._engine)
    except (DBAPIError, OSError, sqlite3.Error) as error:
        raise explain(error, ledger.name) from error
    return ledger


def attach_ledger(url: str) -> Ledger:
    """Return the ledger at a URL without asking it anything: it may be away, and is taken to be of this version.

    For processes that go on while the database does not. Raises StoreError where the URL is none.
    """
    return Ledger(*connect(url))


def _run(row: dict[str, Any]) -> RunRow:
    return RunRow(**_without(row, "sequence") | {"inputs": json.loads(row["inputs"])})


def _without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}
