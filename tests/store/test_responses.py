import multiprocessing
import sqlite3
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.errors import StoreError
from lifeloop.store.responses import Responses, Spent


@pytest.fixture
def path(tmp_path):
    return tmp_path / "work" / "responses.sqlite"


def test_what_was_put_is_there_in_the_next_process_too(path):
    with Responses(path) as responses:
        assert responses.get([b"a"]) == {}
        responses.put([(b"a", b"1"), (b"b", b"2")])
        responses.put([(b"b", b"3")])
        responses.put([])
    with Responses(path) as responses:
        assert responses.get([b"a", b"b", b"c"]) == {b"a": b"1", b"b": b"3"}
        assert responses.get([]) == {}


def test_more_keys_than_one_query_takes(path):
    rows = [(number.to_bytes(4, "big"), str(number).encode()) for number in range(5000)]
    with Responses(path) as responses:
        responses.put(rows)
        assert responses.get([key for key, _ in rows]) == dict(rows)


@given(rows=st.lists(st.tuples(st.binary(min_size=1, max_size=4), st.binary(max_size=8)), max_size=20))
def test_the_last_word_stands(tmp_path_factory, rows):
    with Responses(tmp_path_factory.mktemp("responses") / "r.sqlite") as responses:
        for row in rows:
            responses.put([row])
        assert responses.get([key for key, _ in rows]) == dict(rows)


def test_what_a_cycle_paid_adds_up(path):
    with Responses(path) as responses:
        assert responses.spent(1) == Spent(0.0, 0)
        responses.put([(b"a", b"1")], cycle=1, usd=0.25, tokens=10)
        responses.put([], cycle=1, usd=0.5, tokens=5)  # an answer that cannot be used is paid all the same
        responses.put([(b"b", b"2")], cycle=2, tokens=7)
        responses.put([(b"c", b"3")], cycle=1)
        assert (responses.spent(1), responses.spent(2)) == (Spent(0.75, 15), Spent(0.0, 7))


def put_many(path, first):
    with Responses(path) as responses:
        for number in range(first, first + 100):
            responses.put([(number.to_bytes(4, "big"), b"x")], cycle=1, usd=0.5, tokens=1)


def test_several_processes_and_threads_lose_nothing(path):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=put_many, args=(path, first)) for first in (0, 100)]
    workers += [threading.Thread(target=put_many, args=(path, first)) for first in (200, 300)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with Responses(path) as responses:
        assert len(responses.get([number.to_bytes(4, "big") for number in range(400)])) == 400
        assert responses.spent(1) == Spent(200.0, 400)


def test_one_cache_serves_several_threads(path):
    with Responses(path) as responses:
        threads = [
            threading.Thread(target=lambda n=n: [responses.put([(bytes([n, m]), b"x")]) for m in range(50)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(responses.get([bytes([n, m]) for n in range(4) for m in range(50)])) == 200


def put_and_die(path):
    import os
    import signal

    responses = Responses(path)
    responses.put([(b"a", b"1")], cycle=1, usd=1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_put_survives_a_kill(path):
    child = multiprocessing.get_context("spawn").Process(target=put_and_die, args=(path,))
    child.start()
    child.join()
    with Responses(path) as responses:
        assert responses.get([b"a"]) == {b"a": b"1"}
        assert responses.spent(1) == Spent(1.0, 0)


def test_a_put_that_fails_keeps_nothing_of_it(path):
    with Responses(path) as responses:
        with pytest.raises(StoreError):
            responses.put([(b"a", b"1"), (b"b", None)], cycle=1, usd=1.0)
        assert responses.get([b"a"]) == {}
        assert responses.spent(1) == Spent(0.0, 0)
        responses.put([(b"a", b"2")])


# errors


def test_a_file_that_is_no_cache_says_what_to_do(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(StoreError, match="is damaged") as caught:
        Responses(path)
    assert "delete it" in caught.value.fix
    assert caught.value.where == str(path)


def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be read or written"):
        Responses(tmp_path / "file" / "responses.sqlite")


def test_a_cache_that_somebody_else_holds_says_so(path, monkeypatch):
    monkeypatch.setattr("lifeloop.store.responses.PATIENCE", 0.05)
    with Responses(path) as responses:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another process"):
            responses.put([(b"a", b"1")])
        other.execute("ROLLBACK")
        responses.put([(b"a", b"1")])


def test_closing_twice_does_no_harm(path):
    responses = Responses(path)
    responses.close()
    responses.close()
    with pytest.raises(StoreError):
        responses.get([b"a"])
