import sqlite3
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.errors import StoreError
from lifeloop.core.events import Event, Feedback
from lifeloop.store import ledger as ledgers
from lifeloop.store.ledger import open_ledger
from lifeloop.store.recorder import Recorder
from lifeloop.store.spill import SpillFile


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(ledgers, "BUSY_SECONDS", 0.3)
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    return open_ledger(f"sqlite:///{path}")


def event(id, **changes):
    values = {
        "id": str(id),
        "at": 1.0,
        "release": "r",
        "candidate": "c",
        "name": "n",
        "input": "in",
        "output": "out",
        "confidence": None,
        "seconds": 0.1,
        "tokens_in": 1,
        "tokens_out": 1,
        "usd": 0.0,
    }
    return Event(**values | changes)


def ids(ledger):
    return [found.id for found in ledger.latest_events(1_000_000)[::-1]]


def no_place(folder):
    """Give a path that cannot be written, not even by root: its folder is a file."""
    (folder / "file").write_text("")
    return folder / "file" / "spill.jsonl"


@contextmanager
def locked(path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


def test_what_is_added_is_in_the_ledger_after_a_flush(ledger):
    recorder = Recorder(ledger)
    for number in range(1200):
        recorder.add_event(event(number))
    recorder.add_feedback(Feedback(id="f", event="7", at=2.0, rating=1.0))
    assert recorder.flush(10)
    assert ids(ledger) == [str(number) for number in range(1200)]
    assert [row.event.id for row in ledger.feedback()] == ["7"]
    recorder.close()


def test_what_is_added_is_written_without_a_flush(ledger):
    recorder = Recorder(ledger)
    recorder.add_event(event(1))
    end = time.monotonic() + 5
    while not ids(ledger):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert not recorder.pending("1")
    recorder.close()


def test_events_are_pending_until_they_are_written(path, ledger):
    recorder = Recorder(ledger)
    with locked(path):
        recorder.add_event(event(1))
        assert recorder.pending("1") and not recorder.pending("2")
        assert not recorder.flush(0.2)
    assert recorder.flush(10)
    assert not recorder.pending("1")
    recorder.close()


def test_a_locked_database_delays_nobody_and_loses_nothing(path, ledger, caplog):
    recorder = Recorder(ledger)
    with locked(path):
        started = time.perf_counter()
        for number in range(5000):
            recorder.add_event(event(number))
        assert time.perf_counter() - started < 1.0
        time.sleep(1.0)  # longer than the database waits
    assert recorder.flush(20)
    assert ids(ledger) == [str(number) for number in range(5000)]
    assert "locked" in caplog.text
    recorder.close()


def test_many_threads_may_add(ledger):
    recorder = Recorder(ledger)

    def add(thread):
        for number in range(300):
            recorder.add_event(event(f"{thread}-{number}"))

    threads = [threading.Thread(target=add, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    assert Counter(ids(ledger)) == Counter(f"{thread}-{number}" for thread in range(6) for number in range(300))


def test_close_writes_what_is_left_and_may_be_called_twice(ledger, tmp_path):
    recorder = Recorder(ledger)
    for number in range(2000):
        recorder.add_event(event(number))
    recorder.close()
    recorder.close()
    assert len(ids(ledger)) == 2000
    assert not list(tmp_path.glob("*spill*"))


def test_close_with_the_database_away_spills_and_the_next_start_brings_it_back(path, ledger, tmp_path):
    recorder = Recorder(ledger)
    with locked(path):
        for number in range(1100):
            recorder.add_event(event(number))
        recorder.add_feedback(Feedback(id="f", event="3", at=2.0, label="x"))
        recorder.close()
        assert recorder.pending("3")
    assert len((tmp_path / "ledger.db.spill.jsonl").read_text().splitlines()) == 1101
    second = Recorder(ledger)
    second.add_event(event("new"))
    assert second.flush(10)
    second.close()
    assert set(ids(ledger)) == {str(number) for number in range(1100)} | {"new"}
    assert ledger.feedback()[0].feedback.label == "x"
    assert not list(tmp_path.glob("*spill*"))


def test_a_full_queue_spills_the_oldest_and_takes_them_up_again(path, ledger, tmp_path):
    recorder = Recorder(ledger, capacity=1000)
    with locked(path):
        for number in range(3000):
            recorder.add_event(event(number))
        spilled = (tmp_path / "ledger.db.spill.jsonl").read_text().splitlines()
        assert 1000 <= len(spilled) <= 2000 and not any('"id":"2999"' in line for line in spilled)
        assert all(recorder.pending(str(number)) for number in range(3000))
    recorder.flush(20)
    recorder.add_event(event("last"))  # after a write the thread looks at the spill file
    end = time.monotonic() + 10
    while len(ids(ledger)) < 3001:
        assert time.monotonic() < end
        time.sleep(0.05)
    recorder.close()
    assert Counter(ids(ledger)) == Counter([*(str(number) for number in range(3000)), "last"])
    assert not recorder.pending("5") and not list(tmp_path.glob("*spill*"))


def test_when_the_spill_file_cannot_be_written_items_stay_in_memory(path, ledger, tmp_path, caplog):
    blocked = no_place(tmp_path)
    recorder = Recorder(ledger, blocked, capacity=500)
    with locked(path):
        for number in range(2000):
            recorder.add_event(event(number))
    assert "stay in memory" in caplog.text
    recorder.close()
    assert len(ids(ledger)) == 2000


def test_close_says_what_is_lost_where_nothing_takes_it(path, ledger, tmp_path):
    blocked = no_place(tmp_path)
    recorder = Recorder(ledger, blocked)
    with locked(path):
        recorder.add_event(event(1))
        with pytest.raises(StoreError, match="1 events and feedback are lost"):
            recorder.close()


def test_what_is_added_after_close_goes_to_the_spill_file(ledger):
    recorder = Recorder(ledger)
    recorder.close()
    recorder.add_event(event("late"))
    second = Recorder(ledger)
    second.close()
    assert ids(ledger) == ["late"]


def test_a_value_that_no_database_takes_does_not_stop_the_others(ledger, tmp_path, caplog):
    recorder = Recorder(ledger)
    recorder.add_event(event(1))
    recorder.add_event(event(2, tokens_in=2**70))
    recorder.add_event(event(3, seconds=float("nan")))
    recorder.add_event(event(4))
    assert recorder.flush(10)
    recorder.close()
    assert ids(ledger) == ["1", "4"]
    refused = (tmp_path / "ledger.db.spill.jsonl.refused").read_text().splitlines()
    assert len(refused) == 2 and "refuses 2" in caplog.text and "refuses 3" in caplog.text


def test_texts_are_made_such_that_every_database_takes_them(ledger):
    recorder = Recorder(ledger)
    recorder.add_event(event(1, input="a\x00b", output="half \ud800 pair", error="é"))
    recorder.close()
    found = ledger.event("1")
    assert (found.input, found.output, found.error) == ("a\ufffdb", "half ? pair", "é")


def test_a_ledger_on_a_server_needs_a_place_for_the_spill_file(ledger, tmp_path):
    ledger.name = "postgresql://db/x"
    with pytest.raises(StoreError, match="spill"):
        Recorder(ledger)
    Recorder(ledger, tmp_path / "spill.jsonl").close()


def test_a_damaged_line_is_kept_apart_and_the_others_come_back(ledger, tmp_path, caplog):
    spill = tmp_path / "ledger.db.spill.jsonl"
    SpillFile(spill).append([event(1), event(2)])
    with spill.open("ab") as file:
        file.write(b'{"event": {"id": "3", "at"\n')
    Recorder(ledger).close()
    assert ids(ledger) == ["1", "2"]
    assert b'"id": "3"' in (tmp_path / "ledger.db.spill.jsonl.damaged").read_bytes()
    assert "cannot be read" in caplog.text


def test_a_replay_that_was_cut_short_is_taken_up_without_doubles(ledger, tmp_path):
    spill = SpillFile(tmp_path / "ledger.db.spill.jsonl")
    spill.append([event(number) for number in range(10)])
    assert len(spill.parts()) == 1  # set aside by a process that then died, half of it written
    ledger.add_served([event(number) for number in range(5)], [])
    spill.append([event("later")])
    Recorder(ledger).close()
    assert sorted(ids(ledger)) == sorted([*map(str, range(10)), "later"])
    assert not list(tmp_path.glob("*spill*"))


def test_two_processes_may_spill_and_take_up_at_the_same_time(tmp_path):
    spills = [SpillFile(tmp_path / "spill.jsonl") for _ in range(3)]
    found, stop = [], threading.Event()

    def write(spill, name):
        for number in range(200):
            spill.append([event(f"{name}-{number}")])

    def take(spill):
        while not stop.is_set():
            for part in spill.parts():
                found.extend(item.id for item in spill.read(part))
                spill.discard(part)

    writers = [threading.Thread(target=write, args=(spills[name], name)) for name in (0, 1)]
    taker = threading.Thread(target=take, args=(spills[2],))
    for thread in (*writers, taker):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    taker.join()
    for part in spills[2].parts():
        found.extend(item.id for item in spills[2].read(part))
    assert Counter(found) == Counter(f"{name}-{number}" for name in (0, 1) for number in range(200))


@settings(max_examples=40, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=())), label=st.none() | st.text())
def test_any_text_survives_the_spill_file(tmp_path_factory, text, label):
    from lifeloop.store.recorder import _writable

    spill = SpillFile(tmp_path_factory.mktemp("spill") / "spill.jsonl")
    items = [_writable(event(1, input=text)), _writable(Feedback(id="f", event="1", at=0.5, label=label))]
    spill.append(items)
    (part,) = spill.parts()
    assert spill.read(part) == items
