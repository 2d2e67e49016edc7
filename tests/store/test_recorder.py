import os
import signal
import threading
import time
from collections import Counter

import pytest
from event_scene import another_process, event, feedback, fill, full_disk, ids, locked, segments_in, wait_for

from lifeloop.core.errors import StoreError
from lifeloop.store import database, overflow
from lifeloop.store.ledger import open_ledger
from lifeloop.store.recorder import Recorder, events_folder
from lifeloop.store.shipping import Shipper

RECORDS = """
import signal, sys, threading
from pathlib import Path
from event_scene import event
from lifeloop.store.ledger import open_ledger
from lifeloop.store.recorder import Recorder
recorder = Recorder(open_ledger(sys.argv[1]))
stopped = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopped.set())
number = 0
while not stopped.is_set():
    recorder.add_event(event(number))
    print(number, flush=True)
    number += 1
recorder.close()
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.3)
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    return open_ledger(f"sqlite:///{path}")


@pytest.fixture
def folder(ledger):
    return events_folder(ledger)


def test_what_is_added_is_in_the_ledger_after_a_flush(ledger):
    recorder = Recorder(ledger)
    for number in range(1200):
        recorder.add_event(event(number))
    recorder.add_feedback(feedback("f", 7))
    assert recorder.flush(10)
    assert ids(ledger) == [str(number) for number in range(1200)]
    assert [row.event.id for row in ledger.feedback()] == ["7"]
    recorder.close()


def test_what_is_added_is_written_without_a_flush(ledger):
    recorder = Recorder(ledger)
    recorder.add_event(event(1))
    wait_for(lambda: ids(ledger) and not recorder.pending("1"))
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


def test_an_event_of_another_worker_of_the_folder_is_pending_too(ledger, folder):
    first, second = (Recorder(ledger, folder, writer=f"worker-{place}", ship=False) for place in range(2))
    first.add_event(event("a"))
    assert second.pending("a") and not second.pending("b")
    shipper = Shipper(ledger, folder)
    shipper.start()
    assert second.flush(10)
    wait_for(lambda: not second.pending("a"))
    assert ids(ledger) == ["a"]
    first.close()
    second.close()
    shipper.close()


def test_an_event_is_known_to_be_pending_in_little_time(ledger, folder):
    recorder = Recorder(ledger, folder, ship=False)
    for number in range(5000):  # what a second of a busy gateway leaves
        recorder.add_event(event(number, input="x" * 800))
    started = time.perf_counter()
    for _ in range(10):
        assert recorder.pending("4999") and not recorder.pending("no")
    assert (time.perf_counter() - started) / 20 < 0.05
    recorder.close()


def test_a_locked_database_delays_nobody_and_loses_nothing(path, ledger, caplog):
    recorder = Recorder(ledger)
    with locked(path):
        started = time.perf_counter()
        for number in range(5000):
            recorder.add_event(event(number))
        assert time.perf_counter() - started < 2.0
        wait_for(lambda: "locked" in caplog.text)  # longer than the database waits
    assert recorder.flush(20)
    assert ids(ledger) == [str(number) for number in range(5000)]
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


def test_close_writes_what_is_left_and_may_be_called_twice(ledger, folder):
    recorder = Recorder(ledger)
    for number in range(2000):
        recorder.add_event(event(number))
    recorder.close()
    recorder.close()
    assert len(ids(ledger)) == 2000
    assert not segments_in(folder)


def test_close_with_the_database_away_keeps_all_and_the_next_start_brings_it_back(path, ledger, folder):
    recorder = Recorder(ledger)
    with locked(path):
        for number in range(1100):
            recorder.add_event(event(number))
        recorder.add_feedback(feedback("f", 3, label="x"))
        recorder.close()
        assert recorder.pending("3") and len(segments_in(folder)) == 1
    second = Recorder(ledger)
    second.add_event(event("new"))
    assert second.flush(10)
    second.close()
    assert set(ids(ledger)) == {str(number) for number in range(1100)} | {"new"}
    assert ledger.feedback()[0].feedback.label == "x"
    assert not segments_in(folder)


def test_what_is_added_after_close_comes_with_the_next_start(ledger):
    recorder = Recorder(ledger)
    recorder.close()
    recorder.add_event(event("late"))
    Recorder(ledger).close()
    assert ids(ledger) == ["late"]


def test_texts_are_made_such_that_every_database_takes_them(ledger):
    recorder = Recorder(ledger)
    recorder.add_event(event(1, input="a\x00b", output="half \ud800 pair", error="é"))
    recorder.close()
    found = ledger.event("1")
    assert (found.input, found.output, found.error) == ("a\ufffdb", "half ? pair", "é")


def test_a_ledger_on_a_server_needs_a_place_for_the_log(ledger, tmp_path):
    ledger.name = "postgresql://db/x"
    with pytest.raises(StoreError, match="event log"):
        Recorder(ledger)
    Recorder(ledger, tmp_path / "events").close()


def test_sigterm_drains_the_log(path, ledger, folder):
    with another_process(RECORDS, f"sqlite:///{path}") as process:
        acknowledged = [process.stdout.readline().strip() for _ in range(1000)]
        os.kill(process.pid, signal.SIGTERM)
        acknowledged += [line.strip() for line in process.stdout]
        assert process.wait(30) == 0
    assert Counter(ids(ledger)) == Counter(acknowledged)
    assert not segments_in(folder)


def test_kill_9_loses_no_event_that_was_acknowledged(path, ledger, folder):
    with another_process(RECORDS, f"sqlite:///{path}") as process:
        acknowledged = [process.stdout.readline().strip() for _ in range(1000)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    Recorder(ledger).close()
    found = ids(ledger)
    assert len(found) == len(set(found)) and set(acknowledged) <= set(found)
    assert not segments_in(folder)


def test_on_a_full_disk_events_go_straight_to_the_ledger(ledger, tmp_path, caplog):
    with full_disk(tmp_path / "small") as small:
        recorder = Recorder(ledger, small / "events")
        fill(small)
        for number in range(700):
            recorder.add_event(event(number, input="x" * 500))
        wait_for(lambda: ledger.count_events() == 700)
        assert recorder.accepting and "straight to the ledger" in caplog.text
        recorder.close()
    assert Counter(ids(ledger)) == Counter(str(number) for number in range(700))


def test_with_the_disk_full_and_the_ledger_away_nothing_is_taken_until_one_is_back(path, ledger, tmp_path):
    with full_disk(tmp_path / "small", kilobytes=4096) as small:
        recorder = Recorder(ledger, small / "events", ship=False)
        filler = fill(small)
        taken = []

        def add_until_refused():
            while recorder.accepting:
                try:
                    recorder.add_event(event(len(taken), input="x" * 500))
                    taken.append(str(len(taken)))
                except StoreError:
                    return
                time.sleep(0.001)

        with locked(path):
            add_until_refused()
            assert not recorder.accepting
            with pytest.raises(StoreError, match="cannot be written"):
                recorder.add_event(event("refused", input="x" * 500))
            assert recorder.pending(taken[-1])
        wait_for(lambda: recorder.accepting)  # by itself, with the ledger
        recorder.add_event(event("with the ledger", input="x" * 500))
        with locked(path):
            add_until_refused()
            filler.unlink()
            wait_for(lambda: recorder.accepting)  # by itself, with the disk
            recorder.add_event(event("with the disk", input="x" * 500))
        shipper = Shipper(ledger, small / "events")
        shipper.start()
        assert recorder.flush(10)
        recorder.close()
        shipper.close()
    assert Counter(ids(ledger)) == Counter([*taken, "with the ledger", "with the disk"])


def test_the_queue_of_a_full_disk_is_bounded(path, ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(overflow, "CAPACITY", 10)
    with full_disk(tmp_path / "small") as small:
        recorder = Recorder(ledger, small / "events", ship=False)
        fill(small)
        with locked(path):
            taken = 0
            with pytest.raises(StoreError):
                for _ in range(1000):
                    recorder.add_event(event(taken, input="x" * 5000))
                    taken += 1
            assert taken <= 20
        recorder.close()
    assert ledger.count_events() == taken


def test_close_says_what_is_lost_where_nothing_takes_it(path, ledger, tmp_path):
    with full_disk(tmp_path / "small") as small:
        recorder = Recorder(ledger, small / "events", ship=False)
        fill(small)
        with locked(path):
            recorder.add_event(event(1, input="x" * 5000))
            with pytest.raises(StoreError, match="1 events and feedback are lost"):
                recorder.close(timeout=0.5)


def test_memory_does_not_grow_with_the_events(ledger, folder):
    import tracemalloc

    recorder = Recorder(ledger, folder)

    def add(n, start):
        for number in range(start, start + n):
            recorder.add_event(event(number, input="x" * 200))
        assert recorder.flush(30)

    add(4000, 0)
    tracemalloc.start()
    try:
        add(7000, 4000)
        wait_for(lambda: tracemalloc.get_traced_memory()[0] < 200_000)  # the shipper lets go of the last batch too
    finally:
        tracemalloc.stop()
    recorder.close()
