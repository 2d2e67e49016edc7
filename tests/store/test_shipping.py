import contextlib
import fcntl
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack

import pytest
from event_scene import another_process, event, feedback, ids, locked, segments_in, wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_server import new_schema, own_server

from lifeloop.core.errors import StoreError
from lifeloop.store import database, shipping, tails
from lifeloop.store.ledger import open_ledger
from lifeloop.store.segments import SegmentLog
from lifeloop.store.served_lines import encode
from lifeloop.store.shipping import Shipment, Shipper

WRITES = """
import sys
from pathlib import Path
from event_scene import event
from lifeloop.store.segments import SegmentLog
from lifeloop.store.served_lines import encode
log = SegmentLog(Path(sys.argv[1]), segment_bytes=50_000)
for number in range(int(sys.argv[2])):
    log.append(encode(event(f"{sys.argv[3]}-{number}")))
    print(number, flush=True)
sys.stdin.read()
"""

SHIPS = """
import sys, threading
from pathlib import Path
from lifeloop.store.ledger import open_ledger
from lifeloop.store import shipping
from lifeloop.store.shipping import Shipper
shipping.BATCH = 50
ledger = open_ledger(sys.argv[1])
Shipper(ledger, Path(sys.argv[2])).start()
print("ships", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "events"


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.3)
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path):
    return open_ledger(f"sqlite:///{path}")


@contextlib.contextmanager
def shipping_from(ledger, folder):
    shipper = Shipper(ledger, folder)
    shipper.start()
    try:
        yield shipper
    finally:
        shipper.close()


def write(folder, items, **options):
    log = SegmentLog(folder, **options)
    for item in items:
        log.append(encode(item))
    log.close()


def test_everything_is_in_the_ledger_in_order_and_the_segments_are_gone(ledger, folder):
    write(folder, [*map(event, range(3000)), feedback("f", 7)])
    shipper = Shipper(ledger, folder)
    shipper.start()
    assert shipper.close()
    assert ids(ledger) == [str(number) for number in range(3000)]
    assert [row.event.id for row in ledger.feedback()] == ["7"]
    assert segments_in(folder) == [] and tails.shipped(folder) == {}


def test_what_waited_for_long_is_not_read_again_for_each_batch(ledger, folder, monkeypatch):
    write(folder, map(event, range(2000)), segment_bytes=20_000)
    size = sum(tails.segments(folder).values())
    assert len(segments_in(folder)) >= 10
    monkeypatch.setattr(shipping, "BATCH", 100)
    monkeypatch.setattr(tails, "READ_BYTES", 20_000)
    n_read, pread = 0, os.pread

    def counting(descriptor, length, offset):
        nonlocal n_read
        data = pread(descriptor, length, offset)
        n_read += len(data)
        return data

    monkeypatch.setattr(tails.os, "pread", counting)
    shipment = Shipment(ledger, folder)
    while shipment.step():
        assert shipment.behind or tails.is_shipped(folder, tails.segments(folder))
    assert ledger.count_events() == 2000 and segments_in(folder) == []
    assert n_read < 3 * size


def test_what_living_writers_append_arrives_while_they_go_on(ledger, folder):
    logs = [SegmentLog(folder, f"worker-{place}") for place in range(3)]
    with shipping_from(ledger, folder):
        for number in range(3):
            for place, log in enumerate(logs):
                log.append(encode(event(f"{place}-{number}")))
            wait_for(lambda so_far=3 * (number + 1): ledger.count_events() == so_far)
        assert len(segments_in(folder)) == 3
        for log in logs:
            log.close()
        wait_for(lambda: not segments_in(folder))


def test_a_line_that_is_still_being_written_waits_for_its_end(ledger, folder):
    folder.mkdir()
    path = folder / f"w{tails.SUFFIX}"
    line = encode(event(1))
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        shipment = Shipment(ledger, folder)
        file.write(line[:40])
        assert shipment.step() == 0 and path.exists()
        file.write(line[40:])
        assert shipment.step() == 1
    assert ids(ledger) == ["1"]


def test_a_start_goes_on_where_the_last_shipper_stopped(ledger, folder, monkeypatch):
    log = SegmentLog(folder)
    for number in range(100):
        log.append(encode(event(number)))
    assert Shipment(ledger, folder).step() == 100
    log.append(encode(event("new")))
    assert Shipment(ledger, folder).step() == 1
    log.close()


def test_progress_that_is_lost_costs_work_but_counts_nothing_twice(ledger, folder):
    log = SegmentLog(folder)
    for number in range(100):
        log.append(encode(event(number)))
    assert Shipment(ledger, folder).step() == 100
    (folder / tails.SHIPPED).unlink()
    assert Shipment(ledger, folder).step() == 100
    assert len(ids(ledger)) == 100
    log.close()


def test_a_segment_cut_off_by_a_crash_gives_its_whole_lines_and_goes(ledger, folder, caplog):
    folder.mkdir()
    (folder / f"dead{tails.SUFFIX}").write_bytes(encode(event(1)) + encode(event(2))[:30])
    shipment = Shipment(ledger, folder)
    while shipment.step():
        pass
    assert ids(ledger) == ["1"] and not segments_in(folder) and "middle of a line" in caplog.text


def test_what_the_ledger_refuses_is_put_aside_and_stops_nobody(ledger, folder, caplog):
    write(folder, [event(1), event(2, tokens_in=2**70), event(3, seconds=float("nan")), event(4)])
    assert Shipment(ledger, folder).step() == 4
    assert ids(ledger) == ["1", "4"]
    refused = (folder / shipping.REFUSED).read_text().splitlines()
    assert len(refused) == 2 and '"id":"2"' in refused[1] and '"id":"3"' in refused[0]
    assert "refuses 2 (OverflowError)" in caplog.text and "cannot be read" in caplog.text


def test_what_postgresql_refuses_is_put_aside_and_stops_nobody(postgres, folder):
    ledger = open_ledger(new_schema(postgres))
    items = [event(number) for number in range(300)]
    items[7] = event(7, release="r" * 65)
    items[200] = event(200, tokens_in=2**40)
    items[299] = event(299, input="NUL \x00")
    write(folder, items)
    assert Shipment(ledger, folder).step() == 300
    assert ids(ledger) == [str(number) for number in range(300) if number not in (7, 200)]
    assert ledger.event("299").input == "NUL \ufffd"
    assert len((folder / shipping.REFUSED).read_text().splitlines()) == 2


def test_what_cannot_be_put_aside_keeps_its_segment(ledger, folder):
    write(folder, [event(1), event(2, tokens_in=2**70)])
    (folder / shipping.REFUSED).mkdir()  # no file can be written there
    shipment = Shipment(ledger, folder)
    assert shipment.step() == 2 and shipment.step() == 0
    assert ids(ledger) == ["1"] and len(segments_in(folder)) == 1 and tails.shipped(folder) == {}
    (folder / shipping.REFUSED).rmdir()
    shipment.step()
    assert not segments_in(folder) and "2" in (folder / shipping.REFUSED).read_text()


def test_while_the_ledger_is_locked_nothing_moves_and_nothing_is_lost(path, ledger, folder, caplog):
    write(folder, map(event, range(500)))
    lock = ExitStack()
    lock.enter_context(locked(path))  # before the shipper starts, which is quick
    with lock, shipping_from(ledger, folder):
        wait_for(lambda: "locked" in caplog.text)
        assert len(segments_in(folder)) == 1
        lock.close()
        wait_for(lambda: not segments_in(folder))
    assert ids(ledger) == [str(number) for number in range(500)]


def test_a_close_while_the_ledger_is_away_returns_soon_and_leaves_the_rest(path, ledger, folder):
    write(folder, map(event, range(5)))
    shipper = Shipper(ledger, folder)
    with locked(path):
        shipper.start()
        assert not shipper.close(timeout=5)
    assert len(segments_in(folder)) == 1
    with shipping_from(ledger, folder):
        pass
    assert len(ids(ledger)) == 5


def test_a_close_waits_for_what_is_there_but_not_for_writers_that_go_on(ledger, folder):
    log = SegmentLog(folder)
    stop = threading.Event()

    def go_on():
        number = 0
        while not stop.is_set():
            log.append(encode(event(number)))
            number += 1

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        wait_for(lambda: segments_in(folder))
        shipper = Shipper(ledger, folder)
        shipper.start()
        started = time.monotonic()
        assert shipper.close(timeout=30) and time.monotonic() - started < 15
    finally:
        stop.set()
        writer.join()
        log.close()


def test_of_two_shippers_one_works_and_the_other_takes_over(ledger, folder, monkeypatch):
    monkeypatch.setattr(shipping, "TURN_SECONDS", 0.02)
    first, second = Shipper(ledger, folder), Shipper(ledger, folder)
    first.start()
    write(folder, map(event, range(100)))
    wait_for(lambda: ledger.count_events() == 100)
    second.start()
    write(folder, map(event, range(100, 200)))
    wait_for(lambda: ledger.count_events() == 200)
    first.close()
    write(folder, map(event, range(200, 300)))
    wait_for(lambda: ledger.count_events() == 300)
    second.close()
    assert ids(ledger) == [str(number) for number in range(300)]


def test_files_of_others_in_the_folder_are_left_alone(ledger, folder):
    write(folder, [event(1)])
    (folder / "traffic.json").write_text("{}")
    with shipping_from(ledger, folder):
        pass
    assert (folder / "traffic.json").read_text() == "{}" and ids(ledger) == ["1"]


def test_the_spill_files_of_earlier_versions_are_taken_up(path, ledger, folder):
    line = '{"event":{"id":"%s","at":1.0,"release":"r","candidate":"c","name":"n","input":"i","output":"o",'
    line += '"confidence":null,"seconds":0.1,"tokens_in":1,"tokens_out":1,"usd":0.0,"error":""}}\n'
    path.with_name("ledger.db.spill.jsonl").write_text(line % 1)
    path.with_name("ledger.db.spill.jsonl.ab12cd34.replay").write_text(line % 2)
    (folder.parent / "spill.jsonl").write_text(line % 3)
    path.with_name("ledger.db.spill.jsonl.refused").write_text(line % 4)
    with shipping_from(ledger, folder):
        pass
    assert sorted(ids(ledger)) == ["1", "2", "3"]
    assert [found.name for found in path.parent.glob("*spill*")] == ["ledger.db.spill.jsonl.refused"]


def test_kill_9_of_a_writer_at_full_speed_loses_nothing_that_it_was_told_is_kept(ledger, folder):
    acknowledged = []
    with shipping_from(ledger, folder):
        for round in range(2):
            with another_process(WRITES, folder, 1_000_000, round) as process:
                acknowledged += [f"{round}-{int(process.stdout.readline())}" for _ in range(random.randint(500, 2000))]
                os.kill(process.pid, signal.SIGKILL)
                acknowledged += [f"{round}-{int(line)}" for line in process.stdout if line.endswith("\n")]
    found = ids(ledger)
    assert len(found) == len(set(found)) and set(acknowledged) <= set(found)
    assert len(found) - len(acknowledged) <= 3  # written, and killed before it could be said
    assert not segments_in(folder)


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_kill_9_of_the_shipper_in_the_middle_of_a_batch_counts_nothing_twice(where, request, path, folder, monkeypatch):
    url = f"sqlite:///{path}" if where == "sqlite" else new_schema(request.getfixturevalue("postgres"))
    ledger = open_ledger(url)
    write(folder, map(event, range(4000)), segment_bytes=20_000)
    for _ in range(2):
        before = ledger.count_events()
        with another_process(SHIPS, url, folder) as process:
            process.stdout.readline()
            wait_for(lambda before=before: ledger.count_events() >= min(before + 200, 4000))
            os.kill(process.pid, signal.SIGKILL)
    with shipping_from(ledger, folder):
        pass
    assert Counter(ids(ledger)) == Counter(str(number) for number in range(4000))
    assert not segments_in(folder)


def test_a_database_stopped_for_a_while_gets_everything_once_it_is_back(folder, caplog):
    with own_server() as server:
        ledger = open_ledger(server.url)
        log = SegmentLog(folder)
        with shipping_from(ledger, folder):
            for number in range(3000):
                if number == 1000:
                    wait_for(ledger.count_events)
                    server.stop()
                if number == 2000:
                    wait_for(lambda: "does not take them" in caplog.text)
                    server.start()
                log.append(encode(event(number)))
            log.close()
            wait_for(lambda: not segments_in(folder))
        assert Counter(ids(ledger)) == Counter(str(number) for number in range(3000))
        ledger.close()


def test_shippers_that_write_the_same_ids_crosswise_do_not_block_each_other(postgres):
    url = new_schema(postgres)
    open_ledger(url).close()
    failures = []

    def insert(seed):
        ledger = open_ledger(url)
        order = random.Random(seed)
        for _ in range(15):
            batch = [event(number) for number in order.sample(range(2000), 300)]
            said = [feedback(number, number) for number in order.sample(range(2000), 100)]
            try:
                ledger.add_served(batch, said)
            except StoreError as error:
                failures.append(error)
        ledger.close()

    threads = [threading.Thread(target=insert, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    found = ids(open_ledger(url))
    assert len(found) == len(set(found)) > 1500


def test_a_row_is_never_seen_before_one_with_a_lower_number(postgres):
    """Else whoever reads on after the last number seen (rollouts, spending, the next cycle) would miss it for ever."""
    url = new_schema(postgres)
    reader = open_ledger(url)
    stop, seen = threading.Event(), set()

    def insert(writer):
        ledger = open_ledger(url)
        for number in range(60):
            ledger.add_served([event(f"{writer}-{number}-{place}") for place in range(20)], [])
        ledger.close()

    def follow():
        last = 0
        while True:
            done = stop.is_set()
            with reader.reading() as read:
                rows = read(f"SELECT sequence, id FROM events WHERE sequence > {last} ORDER BY sequence")
            seen.update(row[1] for row in rows)
            last = rows[-1][0] if rows else last
            if done and not rows:
                return

    follower = threading.Thread(target=follow)
    follower.start()
    writers = [threading.Thread(target=insert, args=(place,)) for place in range(3)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    follower.join()
    assert len(seen) == 3 * 60 * 20 == reader.count_events()


ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 30)),
    st.tuples(st.just("turn"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("crash"), st.integers(0, 2), st.integers(0, 60)),
    st.tuples(st.just("ship"), st.integers(1, 40), st.just(0)),
    st.tuples(st.just("shipper dies"), st.booleans(), st.booleans()),
)


class Writer:
    """A segment log without its thread, so that it can be killed here."""

    def __init__(self, folder):
        self.folder, self.log = folder, None

    def append(self, line):
        if self.log is None:
            self.log = SegmentLog(self.folder, segment_bytes=1500, sync_seconds=0)
        self.log.append(line)

    def crash(self, torn):
        """Leave half a line and let go of the lock, as the system does with a process that is killed."""
        if self.log is not None:
            os.write(self.log._descriptor, torn)
            self.log.close()
            self.log = None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(actions=st.lists(ACTIONS, max_size=30))
def test_any_course_of_things_ends_with_exactly_the_events(tmp_path_factory, actions):
    folder = tmp_path_factory.mktemp("course") / "events"
    ledger, writers, expected = Counting(), [Writer(folder) for _ in range(3)], []
    shipment = Shipment(ledger, folder)
    for what, one, other in actions:
        match what:
            case "append":
                for _ in range(other):
                    expected.append(str(len(expected)))
                    writers[one].append(encode(event(expected[-1])))
            case "turn":
                if writers[one].log is not None:
                    writers[one].crash(b"")
            case "crash":
                writers[one].crash(encode(event("torn"))[:other])
            case "ship":
                shipping.BATCH, batch = one, shipping.BATCH
                shipment.step()
                shipping.BATCH = batch
            case "shipper dies":
                ledger.fails_after_commit = one
                with contextlib.suppress(StoreError):
                    shipment.step()
                ledger.fails_after_commit = False
                if other:
                    (folder / tails.SHIPPED).unlink(missing_ok=True)
                shipment = Shipment(ledger, folder)
    for writer in writers:
        writer.crash(b"")
    while shipment.step():
        pass
    assert sorted(ledger.ids) == sorted(expected)
    assert not segments_in(folder)


class Counting:
    """A ledger in memory, which may break off after it has taken everything."""

    name = "postgresql://nowhere"

    def __init__(self):
        self.ids, self.fails_after_commit = set(), False

    def add_served(self, events, feedback):
        self.ids |= {event.id for event in events}
        if self.fails_after_commit:
            raise StoreError("the connection broke")
