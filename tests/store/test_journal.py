import multiprocessing
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from lifeloop.core.errors import StoreError
from lifeloop.store.journal import Journal


class Line(Struct, frozen=True):
    place: int
    text: str = ""


def test_what_was_appended_is_read_when_opened_again(tmp_path):
    path = tmp_path / "work" / "trial.jsonl"
    with Journal(path, Line) as journal:
        assert journal.read() == []
        journal.append([Line(1, "a\nb"), Line(2)])
        journal.append([])
        journal.append([Line(3)])
    with Journal(path, Line) as journal:
        assert journal.read() == [Line(1, "a\nb"), Line(2), Line(3)]
        journal.append([Line(4)])
        assert journal.read()[-1] == Line(4)


lines = st.lists(
    st.builds(Line, st.integers(-(2**60), 2**60), st.text(st.characters(exclude_categories=["Cs"]))), max_size=6
)


@settings(max_examples=60)
@given(lines, st.integers(0, 300), lines)
def test_a_journal_cut_anywhere_keeps_its_whole_lines_and_goes_on(tmp_path_factory, before, cut, after):
    path = tmp_path_factory.mktemp("journal") / "trial.jsonl"
    with Journal(path, Line) as journal:
        journal.append(before)
    data = path.read_bytes()[: min(cut, path.stat().st_size)]
    path.write_bytes(data)
    whole = data.count(b"\n")  # JSON has no bare line breaks

    with Journal(path, Line) as journal:
        assert journal.read() == before[:whole]
        journal.append(after)
    with Journal(path, Line) as journal:
        assert journal.read() == [*before[:whole], *after]


@pytest.mark.parametrize("torn", [b'{"place":2', b"\x00\x00\x00\n", b'{"other":1}\n', b'{"place":"x"}\n{"place":9}\n'])
def test_what_follows_a_torn_line_is_not_trusted(tmp_path, torn):
    path = tmp_path / "trial.jsonl"
    path.write_bytes(b'{"place":1}\n' + torn)
    with Journal(path, Line) as journal:
        assert journal.read() == [Line(1)]
        journal.append([Line(2)])
    with Journal(path, Line) as journal:
        assert journal.read() == [Line(1), Line(2)]


def write_and_die(path: Path) -> None:
    with Journal(path, Line) as journal:
        journal.append([Line(1), Line(2)])
        os.kill(os.getpid(), 9)


def test_work_done_survives_a_kill(tmp_path):
    worker = multiprocessing.get_context("spawn").Process(target=write_and_die, args=(tmp_path / "trial.jsonl",))
    worker.start()
    worker.join(60)
    assert worker.exitcode == -9
    with Journal(tmp_path / "trial.jsonl", Line) as journal:
        assert journal.read() == [Line(1), Line(2)]


def test_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written") as caught:
        Journal(tmp_path / "file" / "trial.jsonl", Line)
    assert "trial.jsonl" in caught.value.where


def write_on_a_full_disk(path: Path, pipe) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        with Journal(path, Line) as journal:
            journal.append([Line(1)])
            journal.append([Line(number, "x" * 100) for number in range(50)])
    except Exception as error:
        pipe.send((type(error).__name__, str(error)))


def test_a_full_disk_is_an_error_a_person_can_mend(tmp_path):
    path = tmp_path / "trial.jsonl"
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    worker = spawn.Process(target=write_on_a_full_disk, args=(path, theirs))
    worker.start()
    assert ours.poll(60)
    kind, text = ours.recv()
    worker.join()
    assert kind == StoreError.__name__
    assert "free some space" in text
    with Journal(path, Line) as journal:
        assert journal.read()[0] == Line(1)
