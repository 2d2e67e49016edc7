"""Files that are damaged, or that somebody made to do harm: a clear error or a quarantined row, and bounded memory."""

import bz2
import gzip
import lzma
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_scene import chunks, read

from lifeloop.core.brief import Data
from lifeloop.core.errors import DataError
from lifeloop.sources import conll, delimited, files, folder, jsonl, lines
from lifeloop.sources import source as seam
from lifeloop.sources.rows import DAMAGED

OPEN: dict[str, Callable] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
FORMATS = {
    "rows.csv": (delimited.CSV, b"text,label\n", b"a text,x\n"),
    "rows.tsv": (delimited.TSV, b"text\tlabel\n", b"a text\tx\n"),
    "rows.jsonl": (jsonl.SOURCE, b"", b'{"text": "a text", "label": "x"}\n'),
    "rows.conll": (conll.SOURCE, b"", b"text\tO\n\n"),
}


@pytest.fixture(params=FORMATS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@contextmanager
def at_most(megabytes: float) -> Iterator[None]:
    """Fail where what is done within holds more memory at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 1e6, f"{peak / 1e6:.1f} MB"


# lines without end


def test_a_line_of_100_megabytes_costs_its_row_and_no_memory(tmp_path, name):
    source, header, row = FORMATS[name]
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(header + row)
        for _ in range(100):
            file.write(b"word " * 200_000)
        file.write(b"\n\n" + row)

    with at_most(60):
        table = read(source, path, Data(source=name))

    assert table.height == 3
    assert [flaw.partition(":")[0] for flaw in table["flaw"]] == ["", lines.TOO_LONG, ""]
    assert table["input"][1].startswith("word word")
    assert len(table["input"][1]) <= lines.SHOWN


def test_a_gigabyte_of_one_line_packed_into_one_megabyte_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_EXPANDED", 1 << 33)
    path = tmp_path / "rows.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"text,label\na text,x\n")
        for _ in range(150):
            file.write(bytes(1_000_000).replace(b"\0", b"a"))

    with at_most(60):
        assert read(delimited.CSV, path, Data(source=path.name))["flaw"].to_list() == ["", lines.TOO_LONG]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_where_a_line_ends_does_not_depend_on_how_much_is_read_at_a_time(tmp_path, monkeypatch, block):
    path = tmp_path / "rows.txt"
    path.write_bytes("\ufeffone\r\ntwo\rthree\n\r\r\n\u00e4\u2028ä\x0b.\x85\n".encode() + b"x" * 5000 + b"\r\nlast")
    monkeypatch.setattr(lines, "MAX_LINE", 4500)
    expected = ["one\r\n", "two\r", "three\n", "\r", "\r\n", "ä\u2028ä\x0b.\x85\n", "x" * lines.SHOWN, "last"]
    monkeypatch.setattr(files, "BLOCK", block)

    found = list(lines.lines(path, "utf-8"))

    assert [line.text for line in found] == expected
    assert [line.number for line in found] == list(range(1, 9))
    assert [line.cut for line in found] == [False] * 6 + [True, False]
    for number, line in enumerate(found[:-1]):
        assert list(lines.lines(path, "utf-8", line.end)) == found[number + 1 :]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "cp500"])
@pytest.mark.parametrize("block", [1, 5, 1 << 20])
def test_lines_of_wide_characters_are_read_but_not_entered(tmp_path, monkeypatch, encoding, block):
    monkeypatch.setattr(files, "BLOCK", block)
    (tmp_path / "rows.txt").write_bytes("one\ntwo Äpfel\r\nthree".encode(encoding))
    found = list(lines.lines(tmp_path / "rows.txt", encoding))
    assert [line.text for line in found] == ["one\n", "two Äpfel\r\n", "three"]
    assert all(line.end is None for line in found)


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-7", "gb18030", "shift_jis", "euc_kr", "iso2022_jp", "koi8-r", "cp1252"]
)
def test_lines_are_those_of_the_whole_text_whatever_the_encoding(tmp_path, encoding):
    text = "".join(
        f"{word} {word}\r\n{word}\n"
        for word in ("plain", "こんにちは", "안녕", "привет", "Äpfel", "~{+AOQ-")
        if word.encode(encoding, "ignore").decode(encoding) == word
    )
    (tmp_path / "rows.txt").write_bytes(text.encode(encoding))
    assert "".join(line.text for line in lines.lines(tmp_path / "rows.txt", encoding)) == text


# quotes without end


def test_a_quote_that_never_closes_holds_no_more_than_its_reach(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "REACH_LINES", 100)
    path = tmp_path / "rows.csv"
    path.write_bytes(b'text,label\n"never closed,x\n' + b"a text of some words,x\n" * 20_000)

    with at_most(20):
        found = [chunk.table for chunk in chunks(delimited.CSV, path, Data(source="rows.csv"))]

    assert sum(table.height for table in found) == 20_001
    assert found[0]["flaw"][0] == "a quote that never closes"
    assert sum((table["flaw"] != "").sum() for table in found) == 1


def test_a_text_within_quotes_may_have_many_lines(tmp_path):
    path = tmp_path / "rows.csv"
    text = "a line of the text\n" * 10_000
    path.write_text(f'text,label\n"{text}",x\nnext,y\n', encoding="utf-8")
    assert read(delimited.CSV, path, Data(source="rows.csv"))["input"].to_list() == [text, "next"]


quoted = st.lists(st.text('ab",\n\r', max_size=10), min_size=1, max_size=30)


@settings(max_examples=80, deadline=None)
@given(quoted, st.integers(1, 5), st.integers(1, 6))
def test_reading_can_begin_at_every_entry_whatever_the_quotes(tmp_path_factory, rows, n_rows, reach):
    path = tmp_path_factory.mktemp("quotes") / "rows.csv"
    path.write_text("text,label\nfirst,b\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "REACH_LINES", reach)
        whole = read(delimited.CSV, path, Data(source="rows.csv"))
        patch.setattr(seam, "CHUNK_ROWS", n_rows)
        found = chunks(delimited.CSV, path, Data(source="rows.csv"))
        assert [row for chunk in found for row in chunk.table.rows()] == whole.rows()
        for number, chunk in enumerate(found):
            if chunk.end is not None:
                again = chunks(delimited.CSV, path, Data(source="rows.csv"), chunk.end)
                assert [each.table.rows() for each in again] == [each.table.rows() for each in found[number + 1 :]]
                # What stands before an entry is all that its rows rest on.
                cut = path.with_name("cut.csv")
                cut.write_bytes(path.read_bytes()[: chunk.end.offset])
                before = read(delimited.CSV, cut, Data(source="cut.csv")).drop("source", "id")
                assert before.rows() == whole[: chunk.end.rows].drop("source", "id").rows()


# compressed files


@pytest.mark.parametrize("ending", OPEN)
def test_a_compressed_file_has_the_rows_of_the_file(tmp_path, name, ending, monkeypatch):
    source, header, row = FORMATS[name]
    path = tmp_path / f"{name}{ending}"
    for content in (header + row * 30, row * 30):  # as `cat a.gz b.gz` makes it: two streams, one after the other
        with OPEN[ending](path, "ab") as file:
            file.write(content)
    monkeypatch.setattr(files, "BLOCK", 50)
    monkeypatch.setattr(seam, "CHUNK_ROWS", 7)

    found = chunks(source, path, Data(source=path.name))

    assert sum(chunk.table.height for chunk in found) == 60
    assert not any((chunk.table["flaw"] != "").any() or chunk.end for chunk in found)


@pytest.mark.parametrize("ending", OPEN)
def test_a_compressed_file_that_expands_without_end_is_refused(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(files, "MOST_EXPANDED", 3_000_000)
    path = tmp_path / f"rows.csv{ending}"
    with OPEN[ending](path, "wb") as file:
        file.write(b"text,label\n")
        for _ in range(30):
            file.write(b"a" * 999_997 + b",x\n")
    assert path.stat().st_size < 200_000

    with at_most(60), pytest.raises(DataError, match="expand to more than") as caught:
        chunks(delimited.CSV, path, Data(source=path.name))

    assert path.name in caught.value.where


def test_an_xz_file_that_asks_for_more_memory_than_a_file_may_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_WINDOW", 1 << 20)
    path = tmp_path / "rows.csv.xz"
    path.write_bytes(lzma.compress(b"text,label\na,x\n", preset=6))
    with pytest.raises(DataError, match=r"[Mm]emory"):
        chunks(delimited.CSV, path, Data(source=path.name))


@pytest.mark.parametrize("ending", OPEN)
@pytest.mark.parametrize("damage", ["cut", "another file", "flipped", "tail"])
def test_a_damaged_compressed_file_is_refused(tmp_path, ending, damage):
    path = tmp_path / f"rows.csv{ending}"
    with OPEN[ending](path, "wb") as file:
        file.write(b"text,label\n" + b"".join(b"text %d,x\n" % (n * n) for n in range(5000)))
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "another file":
        content = bytearray(b"text,label\na,x\n")
    elif damage == "flipped":
        content[len(content) // 2] ^= 255
    else:
        content += b"and more text behind it"
    path.write_bytes(content)

    with pytest.raises(DataError) as caught:
        chunks(delimited.CSV, path, Data(source=path.name))

    assert path.name in caught.value.where
    assert caught.value.fix


# encodings


def mixed(n_good: int, n_bad: int, bad_first: bool = False) -> bytes:
    good, bad = b"a text,x\n" * n_good, "ein Gerät fällt aus,y\n".encode("cp1252") * n_bad
    return b"text,label\n" + (bad + good if bad_first else good + bad)


def test_some_rows_in_another_encoding_are_quarantined(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(mixed(90, 10))
    table = read(delimited.CSV, path, Data(source="rows.csv"))
    assert (table["flaw"] == DAMAGED).sum() == 10
    assert table["input"][95] == "ein Ger\ufffdt f\ufffdllt aus"


@pytest.mark.parametrize("bad_first", [True, False])
def test_many_rows_in_another_encoding_are_an_error_that_names_it_however_late_they_come(
    tmp_path, monkeypatch, bad_first
):
    monkeypatch.setattr(seam, "CHUNK_ROWS", 10)
    monkeypatch.setattr(files, "BLOCK", 100)
    path = tmp_path / "rows.csv"
    path.write_bytes(mixed(70, 30, bad_first))
    with pytest.raises(DataError, match=r'set data\.encoding = "cp1252"'):
        chunks(delimited.CSV, path, Data(source="rows.csv"))


def test_whether_the_encoding_is_right_is_asked_of_all_rows_wherever_reading_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(seam, "CHUNK_ROWS", 10)
    path = tmp_path / "rows.csv"
    for n_good, n_bad, fine in ((95, 5, True), (70, 30, False)):
        path.write_bytes(mixed(n_good, 0))
        entry = chunks(delimited.CSV, path, Data(source="rows.csv"))[-2].end
        path.write_bytes(mixed(n_good, n_bad))
        if fine:
            chunks(delimited.CSV, path, Data(source="rows.csv"), entry)
        else:
            with pytest.raises(DataError, match="cp1252"):
                chunks(delimited.CSV, path, Data(source="rows.csv"), entry)


def test_a_column_that_only_stands_above_where_reading_begins_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(seam, "CHUNK_ROWS", 2)
    path, data = tmp_path / "rows.jsonl", Data(source="rows.jsonl", slices=("channel",))
    first = b'{"text": "a", "label": "x", "channel": "mail"}\n'
    path.write_bytes(first + b'{"text": "b", "label": "x"}\n' * 5)
    entry = chunks(jsonl.SOURCE, path, data)[0].end
    assert sum(chunk.table.height for chunk in chunks(jsonl.SOURCE, path, data, entry)) == 4

    path.write_bytes(first.replace(b"channel", b"chanel!") + b'{"text": "b", "label": "x"}\n' * 5)
    with pytest.raises(DataError, match="channel"):
        chunks(jsonl.SOURCE, path, data, entry)


# nothing, and far too much of the same


@pytest.mark.parametrize("content", [b"", b"\n\n  \r\n", b"\xef\xbb\xbf\n"])
def test_an_empty_file_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="empty") as caught:
        read(FORMATS[name][0], tmp_path / name, Data(source=name))
    assert name in caught.value.where


def test_a_directory_is_no_file(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="is a directory"):
        read(FORMATS[name][0], tmp_path / name, Data(source=name))


def test_a_pipe_is_no_file(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="pipe"):
        read(FORMATS[name][0], tmp_path / name, Data(source=name))


def test_identical_lines_are_a_row_each_and_take_the_memory_of_a_chunk(tmp_path, name, monkeypatch):
    monkeypatch.setattr(seam, "CHUNK_ROWS", 1000)
    source, header, row = FORMATS[name]
    path = tmp_path / name
    path.write_bytes(header + row * 15_000)

    with at_most(4):
        n_rows = sum(chunk.table.height for chunk in source.chunks(name, _reading(path)))

    assert n_rows == 15_000


def test_every_row_may_have_keys_of_its_own(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"key {n}": {n}, "text": "a", "label": "b"}}\n' for n in range(5000)), encoding="utf-8")
    assert read(jsonl.SOURCE, path, Data(source="rows.jsonl", slices=("key 4999",))).height == 5000


# folders


def test_a_pipe_and_a_file_that_is_too_large_cost_their_rows_only(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MAX_TEXT", 2000)
    root = tmp_path / "texts"
    root.mkdir()
    (root / "a.txt").write_text("a text", encoding="utf-8")
    (root / "b.txt").write_text("word " * 1000, encoding="utf-8")
    os.mkfifo(root / "c.txt")

    table = read(folder.SOURCE, root, Data(source="texts"))

    assert table["flaw"].to_list() == [
        "",
        "a file that is too large for a text",
        "a pipe or device, which is no file",
    ]
    assert len(table["input"][1]) == folder.SHOWN


def test_a_text_of_tokens_that_no_blank_line_ends_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(conll, "MOST_LINES", 100)
    path = tmp_path / "rows.conll"
    path.write_text("a\tO\n\n" + "b\tO\n" * 20_000 + "\nc\tO\n", encoding="utf-8")
    with at_most(5):
        table = read(conll.SOURCE, path, Data(source="rows.conll"))
    assert table["flaw"].to_list() == ["", "a text that is too long: no blank line ends it", ""]


def _reading(path: Path) -> seam.Reading:
    return seam.Reading(Data(source=path.name), path.parent)
