import os
import threading
from collections import Counter

import pytest
from event_scene import event, fill, full_disk, segments_in, wait_for
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop.core.errors import StoreError
from lifeloop.core.events import Event, Feedback
from lifeloop.store import tails
from lifeloop.store.segments import SegmentLog
from lifeloop.store.served_lines import decode, encode, start_of


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "events"


def lines(folder):
    return [line for path in segments_in(folder) for line in path.read_bytes().splitlines()]


def test_a_line_is_in_its_file_when_append_returns(folder):
    log = SegmentLog(folder, "worker-1")
    log.append(b"one\n")
    (path,) = segments_in(folder)
    assert path.read_bytes() == b"one\n" and path.name.startswith(f"worker-1-{os.getpid()}-")
    log.close()


def test_nobody_but_the_owner_may_read_what_people_wrote(folder):
    log = SegmentLog(folder)
    log.append(b"one\n")
    assert segments_in(folder)[0].stat().st_mode & 0o077 == 0
    log.close()


def test_segments_turn_by_size(folder):
    log = SegmentLog(folder, segment_bytes=100)
    for number in range(50):
        log.append(b"line %04d\n" % number)
    log.close()
    assert len(segments_in(folder)) == 5
    assert sorted(lines(folder)) == [b"line %04d" % number for number in range(50)]


def test_segments_turn_by_time_but_not_while_they_are_empty(folder):
    log = SegmentLog(folder, segment_seconds=0.05, sync_seconds=0.001)
    log.append(b"one\n")
    (path,) = segments_in(folder)
    wait_for(lambda: tails.remove_if_finished(path, 4) == b"")  # unlocked: the writer is done with it
    assert segments_in(folder) == []
    log.append(b"two\n")
    assert lines(folder) == [b"two"]
    log.close()


def test_a_jump_of_the_clock_turns_nothing(folder, monkeypatch):
    log = SegmentLog(folder, sync_seconds=0.001)
    log.append(b"one\n")
    monkeypatch.setattr("time.time", lambda: 4e9)
    for _ in range(5):
        log.append(b"two\n")
    assert len(segments_in(folder)) == 1
    log.close()


def test_writes_of_the_same_moment_are_seen_to_the_disk_together(folder, monkeypatch):
    synced = []
    real = os.fdatasync
    monkeypatch.setattr("os.fdatasync", lambda descriptor: (synced.append(descriptor), real(descriptor)))
    log = SegmentLog(folder, sync_seconds=0.05)
    for _ in range(1000):
        log.append(b"one\n")
    wait_for(lambda: synced)
    log.close()
    assert len(synced) <= 4


def test_two_writers_of_one_name_do_not_share_a_file(folder):
    first, second = SegmentLog(folder, "w"), SegmentLog(folder, "w")
    first.append(b"one\n")
    second.append(b"two\n")
    assert len(segments_in(folder)) == 2
    first.close()
    second.close()


def test_a_name_that_is_a_path_stays_in_the_folder(folder):
    log = SegmentLog(folder, "../../etc/w")
    log.append(b"one\n")
    log.close()
    assert len(segments_in(folder)) == 1


def test_many_threads_may_append(folder):
    log = SegmentLog(folder, segment_bytes=2000)

    def add(thread):
        for number in range(500):
            log.append(b"%d-%d\n" % (thread, number))

    threads = [threading.Thread(target=add, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert Counter(lines(folder)) == Counter(b"%d-%d" % (thread, n) for thread in range(4) for n in range(500))


def test_what_comes_after_the_close_is_written_too(folder):
    log = SegmentLog(folder)
    log.append(b"one\n")
    log.close()
    log.close()
    log.append(b"late\n")
    assert sorted(lines(folder)) == [b"late", b"one"]
    assert all(tails.remove_if_finished(path, 5) == b"" for path in segments_in(folder))


def test_a_full_disk_takes_a_line_or_leaves_it_but_never_half(tmp_path):
    with full_disk(tmp_path / "small") as small:
        log = SegmentLog(small / "events")
        taken = []
        for number in range(1000):
            line = b"%06d" % number + b"x" * 693 + b"\n"
            try:
                log.append(line)
                taken.append(line.rstrip())
            except OSError:
                pass
        assert 0 < len(taken) < 1000
        assert lines(small / "events") == taken
        log.append(b"")  # nothing of the failures is left behind: the log still works
        log.close()


def test_a_log_that_begins_on_a_full_disk_works_once_there_is_room(tmp_path):
    with full_disk(tmp_path / "small") as small:
        filler = fill(small)
        log = SegmentLog(small / "events")
        with pytest.raises(OSError, match="No space"):
            log.append(b"one\n")
        filler.unlink()
        log.append(b"two\n")
        assert lines(small / "events") == [b"two"]
        log.close()


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        SegmentLog(tmp_path / "file" / "events")


def test_a_folder_that_somebody_removed_is_made_anew(folder):
    log = SegmentLog(folder, sync_seconds=0.001)
    log.append(b"one\n")
    for path in segments_in(folder):
        path.unlink()
    folder.rmdir()

    def comes_back():
        log.append(b"two\n")
        return segments_in(folder)

    wait_for(comes_back)
    log.close()
    assert b"two" in lines(folder)


def test_a_line_cut_off_by_a_crash_is_not_read(folder):
    folder.mkdir()
    path = folder / "w.segment.jsonl"
    path.write_bytes(b"one\ntwo\nthr")
    assert tails.read(path, 0, 10) == ([b"one", b"two"], 8)
    assert tails.read(path, 8, 10) == ([], 8)
    assert tails.remove_if_finished(path, 4) is None and path.exists()
    assert tails.remove_if_finished(path, 8) == b"thr" and not path.exists()


def test_lines_longer_than_what_is_read_at_once_are_read_whole(folder):
    folder.mkdir()
    path = folder / "w.segment.jsonl"
    long = b"x" * (3 * tails.READ_BYTES + 17)
    path.write_bytes(b"one\n" + long + b"\ntwo\n")
    found, offset = [], 0
    while part := tails.read(path, offset, 10)[0]:
        found += part
        offset = tails.read(path, offset, 10)[1]
    assert found == [b"one", long, b"two"]


def test_progress_that_cannot_be_read_counts_as_none(folder):
    folder.mkdir()
    tails.remember(folder, {"a": 5})
    assert tails.shipped(folder) == {"a": 5}
    (folder / tails.SHIPPED).write_bytes(b"\x00\x00")
    assert tails.shipped(folder) == {}


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(alphabet=st.characters(exclude_categories=())),
    label=st.none() | st.text(),
    tokens=st.integers(),
    seconds=st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_item_is_one_line_and_comes_back_as_every_database_takes_it(text, label, tokens, seconds):
    items = [
        event(1, input=text, tokens_in=tokens, seconds=seconds),
        Feedback(id="f", event="1", at=0.5, label=label, comment=text),
    ]
    written = [encode(item) for item in items]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in written)
    (back, said), damaged = decode([line[:-1] for line in written])
    clean = text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    assert (back[1].input, back[1].tokens_in, back[1].seconds) == (clean, tokens, seconds)
    assert said[1].comment == clean and not damaged
    assert said[1].label == (label if label is None else label.replace("\x00", "\ufffd"))


@settings(max_examples=100, deadline=None)
@given(id=st.text(), other=st.text(), text=st.text(alphabet=st.characters(exclude_categories=())))
def test_the_start_of_a_line_names_its_event_and_no_other(id, other, text):
    line = encode(event(id, input=text + start_of(other).decode()))
    assert line.count(start_of(id)) == 1
    assert (start_of(other) in line) == (id == other)


def test_lines_that_hold_no_item_are_told_apart():
    good = encode(Event("1", 1.0, "r", "c", "n", "i", "o", None, 1.0, 1, 1, 0.0))[:-1]
    bad = [b"", b"{}", b"null", b'{"event":{"id":1}}', b"\xff", good[:-3], encode(event(2, seconds=float("nan")))[:-1]]
    items, damaged = decode([good, *bad])
    assert [item.id for _, item in items] == ["1"] and damaged == bad
