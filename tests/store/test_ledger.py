import contextlib
import hashlib
import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from lifeloop.core.errors import StoreError
from lifeloop.core.events import Event, Feedback
from lifeloop.store import database, schema
from lifeloop.store.chain import chained
from lifeloop.store.ledger import CycleRow, Ledger, RunRow, VerdictRow, open_ledger

ID = "a" * 64
CYCLE = CycleRow(number=1, inputs=ID, brief="b" * 64, feedback_until=0, at=1.5)
RUN = RunRow(
    key="k1",
    cycle=1,
    stage="explore",
    subject="tfidf",
    inputs={"dataset": ID, "a": "b"},
    output="o" * 64,
    seconds=0.25,
    at=2.5,
    version="1/1",
)
VERDICT = VerdictRow(id="v1", cycle=1, decision="promote", challenger="c1", champion="c0", reason="béttér → 漢", at=3.0)


def event(number: int, **changes) -> Event:
    values = {
        "id": f"e{number}",
        "at": float(number),
        "release": "r",
        "candidate": "c",
        "name": "tfidf",
        "input": "where is my parcel? 📦",
        "output": "delivery",
        "confidence": 0.5,
        "seconds": 0.01,
        "tokens_in": 3,
        "tokens_out": 1,
        "usd": 1e-6,
    }
    return Event(**values | changes)


def said(number: int, about: int) -> Feedback:
    return Feedback(id=f"f{number}", event=f"e{about}", at=float(number), rater="ann", label="tracking")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with contextlib.closing(open_ledger(ledger_url)) as opened:
        yield opened


# every method, on SQLite and on PostgreSQL


def test_a_new_ledger_is_empty(ledger):
    assert ledger.cycles() == ledger.runs() == ledger.verdicts() == ledger.releases() == []
    assert ledger.latest_events(10) == ledger.feedback() == []
    assert ledger.current_release() is ledger.find_run("k1") is ledger.event("e1") is None
    assert ledger.count_events() == ledger.last_feedback() == 0


def test_cycles_come_back_oldest_first(ledger):
    second = msgspec.structs.replace(CYCLE, number=2)
    ledger.add_cycle(second)
    ledger.add_cycle(CYCLE)
    assert ledger.cycles() == [CYCLE, second]


def test_a_cycle_is_started_once(ledger):
    ledger.add_cycle(CYCLE)
    with pytest.raises(StoreError):
        ledger.add_cycle(msgspec.structs.replace(CYCLE, at=9.0))
    assert ledger.cycles() == [CYCLE]


def test_runs_come_back_in_the_order_in_which_they_ended(ledger):
    runs = [msgspec.structs.replace(RUN, key=key) for key in ("k9", "k1", "k5")]
    for run in runs:
        ledger.add_run(run)
    assert ledger.runs() == runs
    assert ledger.find_run("k1") == runs[1]
    assert ledger.find_run("k2") is None


def test_the_first_run_of_a_key_stands(ledger):
    ledger.add_run(RUN)
    ledger.add_run(msgspec.structs.replace(RUN, output="other"))
    assert ledger.runs() == [RUN]


def test_a_verdict_is_recorded_once(ledger):
    ledger.add_verdict(VERDICT)
    ledger.add_verdict(VERDICT)
    other = msgspec.structs.replace(VERDICT, id="v0")
    ledger.add_verdict(other)
    assert ledger.verdicts() == [VERDICT, other]


def test_verdicts_form_a_chain_of_hashes(ledger):
    for name in ("v1", "v2", "v1", "v3"):
        ledger.add_verdict(msgspec.structs.replace(VERDICT, id=name, override_by="Ann" if name == "v3" else ""))

    chain = ledger.chain()

    assert [link.row.id for link in chain] == ["v1", "v2", "v3"]
    assert [link.sequence for link in chain] == [1, 2, 3]
    assert [link.previous for link in chain] == ["", chain[0].hash, chain[1].hash]
    assert all(link.hash == link.expected for link in chain)
    assert [link.row for link in chain] == ledger.verdicts()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("decision", "reject"),
        ("reason", "x"),
        ("at", 9.0),
        ("champion", "c9"),
        ("cycle", 2),
        ("override_by", "Bob"),
        ("previous", "f" * 64),
    ],
)
def test_a_changed_column_no_longer_fits_its_hash(ledger, column, value):
    ledger.add_verdict(VERDICT)
    with ledger._engine.begin() as connection:
        connection.execute(sa.update(schema.verdicts).values({column: value}))
    (link,) = ledger.chain()
    assert link.hash != link.expected


def test_a_verdict_is_chained_by_the_one_formula_for_all_time():
    """Ledgers in use rest on it: if this fails, the formula was changed, and must not be."""
    row = {"sequence": 1, **msgspec.structs.asdict(VERDICT)}
    text = '["p",1,"v1",1,"promote","c1","c0","béttér → 漢",3.0,""]'
    assert chained("p", row) == hashlib.sha256(text.encode()).hexdigest()


def test_the_newest_release_is_in_production_even_if_it_was_there_before(ledger):
    for name, at in (("first", 1.0), ("second", 2.0), ("first", 3.0)):
        ledger.add_release(id=name, verdict="v", candidate="c", name=name, at=at)
    assert [(row.sequence, row.id) for row in ledger.releases()] == [(1, "first"), (2, "second"), (3, "first")]
    assert ledger.current_release() == ledger.releases()[-1]


def test_events_and_feedback_come_back_as_they_were(ledger):
    events = [event(1), event(2, confidence=None, error="timed out", output=""), event(3)]
    feedback = [said(1, about=2), Feedback(id="f2", event="e1", at=2.0, rating=-0.5, comment="no\nnot that")]
    ledger.add_served(events, feedback)

    assert ledger.event("e2") == events[1]
    assert ledger.latest_events(2) == [events[2], events[1]]
    assert ledger.count_events() == 3
    assert [(row.feedback, row.event) for row in ledger.feedback()] == [
        (feedback[0], events[1]),
        (feedback[1], events[0]),
    ]


def test_events_are_found_by_as_many_ids_as_are_asked_for(ledger):
    ledger.add_served([event(1), event(2)], [])
    wanted = [event(1).id, *(f"nobody{n}" for n in range(1200)), event(2).id]
    assert ledger.events(wanted) == {event(1).id: event(1), event(2).id: event(2)}
    assert ledger.events([]) == {}


def test_what_is_there_already_is_left_as_it_is(ledger):
    ledger.add_served([event(1)], [said(1, about=1)])
    ledger.add_served([event(1, output="other"), event(2)], [said(1, about=2), said(2, about=2)])
    assert ledger.count_events() == 2
    assert ledger.event("e1") == event(1)
    assert [row.feedback for row in ledger.feedback()] == [said(1, about=1), said(2, about=2)]


def test_feedback_is_read_in_stretches_that_neither_miss_nor_repeat(ledger):
    ledger.add_served([event(1)], [said(number, about=1) for number in range(1, 8)])
    middle = ledger.feedback()[2].sequence
    first, rest = ledger.feedback(until=middle), ledger.feedback(after=middle)
    assert [row.feedback.id for row in first + rest] == [f"f{number}" for number in range(1, 8)]
    assert ledger.last_feedback() == rest[-1].sequence
    assert ledger.feedback(after=ledger.last_feedback()) == []


def test_feedback_on_an_event_that_never_came_waits_for_it(ledger):
    ledger.add_served([], [said(1, about=1)])
    assert ledger.feedback() == []
    ledger.add_served([event(1)], [])
    assert [row.feedback.id for row in ledger.feedback()] == ["f1"]


def test_a_batch_is_written_whole_or_not_at_all(ledger):
    broken = msgspec.structs.replace(event(2), seconds=None)
    with pytest.raises(StoreError):
        ledger.add_served([event(1), broken], [])
    assert ledger.count_events() == 0


def test_what_was_written_is_there_when_opened_again(ledger, ledger_url):
    ledger.add_run(RUN)
    ledger.add_served([event(1)], [])
    with contextlib.closing(open_ledger(ledger_url)) as again:
        assert again.runs() == [RUN]
        assert again.event("e1") == event(1)


# several at once


def number_rows(url: str, who: str) -> None:
    with contextlib.closing(open_ledger(url)) as ledger:
        for number in range(20):
            ledger.add_verdict(msgspec.structs.replace(VERDICT, id=f"{who}{number}"))
            ledger.add_run(msgspec.structs.replace(RUN, key=f"shared {number}", subject=who))


def test_two_processes_that_open_and_number_at_once_miss_no_row(ledger_url):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=number_rows, args=(ledger_url, who)) for who in ("ann", "bob")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]

    with contextlib.closing(open_ledger(ledger_url)) as ledger:
        ids = [row.id for row in ledger.verdicts()]
        assert sorted(ids) == sorted(f"{who}{number}" for who in ("ann", "bob") for number in range(20))
        for who in ("ann", "bob"):
            assert [name for name in ids if name.startswith(who)] == [f"{who}{number}" for number in range(20)]
        chain = ledger.chain()
        assert [link.previous for link in chain] == ["", *(link.hash for link in chain[:-1])]
        assert all(link.hash == link.expected for link in chain)
        assert len(ledger.runs()) == 20


def test_threads_share_a_ledger(ledger):
    def work(start: int) -> None:
        for number in range(start, start + 10):
            ledger.add_served([event(number)], [])
            ledger.add_release(id=str(number), verdict="v", candidate="c", name="n", at=0.0)

    threads = [threading.Thread(target=work, args=(10 * place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.count_events() == 30
    assert [row.sequence for row in ledger.releases()] == list(range(1, 31))


# what can go wrong


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.5)


def test_a_ledger_that_another_process_holds_says_so(impatient, tmp_path):
    path = tmp_path / "ledger.db"
    with contextlib.closing(open_ledger(f"sqlite:///{path}")) as ledger, held(path):
        for write in (
            lambda: ledger.add_run(RUN),
            lambda: ledger.add_cycle(CYCLE),
            lambda: ledger.add_verdict(VERDICT),
            lambda: ledger.add_served([event(1)], []),
        ):
            with pytest.raises(StoreError, match="locked by another process") as caught:
                write()
            assert str(path) in caught.value.where
            assert "fuser" in caught.value.fix


def test_a_new_ledger_that_another_process_holds_says_so(impatient, tmp_path):
    path = tmp_path / "ledger.db"
    with held(path), pytest.raises(StoreError, match="locked by another process"):
        open_ledger(f"sqlite:///{path}")


def test_readers_do_not_wait_for_a_writer(tmp_path):
    path = tmp_path / "ledger.db"
    with contextlib.closing(open_ledger(f"sqlite:///{path}")) as ledger:
        ledger.add_run(RUN)
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        assert ledger.runs() == [RUN]
        writer.close()


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"text,label\nhello,greeting\n" * 100)
    with pytest.raises(StoreError, match="not a ledger, or it is damaged") as caught:
        open_ledger(f"sqlite:///{path}")
    assert caught.value.where == str(path)
    assert path.read_bytes().startswith(b"text,label")


def test_a_damaged_ledger_says_so(tmp_path):
    path = tmp_path / "ledger.db"
    with contextlib.closing(open_ledger(f"sqlite:///{path}")) as ledger:
        for number in range(200):
            ledger.add_run(msgspec.structs.replace(RUN, key=f"k{number}"))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(StoreError, match="damaged"), contextlib.closing(open_ledger(f"sqlite:///{path}")) as ledger:
        ledger.runs()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("no url at all", "URL"),
        ("mysql://somewhere/x", "not installed"),
        ("nosuchengine://x", "URL"),
        ("postgresql://nobody@127.0.0.1:9/x?connect_timeout=1", "is up"),
        ("sqlite:////proc/nowhere/ledger.db", "permissions"),
    ],
)
def test_a_ledger_out_of_reach_says_what_to_check(url, says):
    with pytest.raises(StoreError) as caught:
        open_ledger(url)
    assert says in f"{caught.value.what} {caught.value.fix}"


def test_a_password_is_not_shown():
    with pytest.raises(StoreError) as caught:
        open_ledger("postgresql://ann:secret@127.0.0.1:9/x")
    assert "secret" not in str(caught.value)


def test_a_full_disk_is_called_one(tmp_path):
    path = tmp_path / "ledger.db"
    with contextlib.closing(open_ledger(f"sqlite:///{path}")) as ledger:
        with ledger._engine.connect() as connection:  # SQLite's own way to be out of room
            connection.exec_driver_sql("PRAGMA max_page_count = 25")
        with pytest.raises(StoreError, match="disk is full"):
            ledger.add_served([event(number, input="x" * 4000) for number in range(100)], [])
        assert ledger.count_events() == 0
