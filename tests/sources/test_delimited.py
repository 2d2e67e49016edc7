import csv
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_scene import read, sample

from lifeloop.core.brief import Data
from lifeloop.core.errors import BriefError, DataError
from lifeloop.sources.delimited import CSV, TSV
from lifeloop.sources.rows import DAMAGED

DATA = Data(source="rows.csv")


@pytest.fixture
def write(tmp_path: Path):
    def written(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def test_a_row_carries_what_the_brief_names_and_where_it_came_from(write):
    path = write("key,text,label,author,fold,channel\n17,Hello,greeting,ann,test,mail\n")
    data = Data(source="rows.csv", id="key", group="author", split="fold", slices=("channel",))

    table = read(CSV, path, data)

    assert table.to_dicts() == [
        {
            "id": "17",
            "input": "Hello",
            "reference": "greeting",
            "group": "ann",
            "split": "test",
            "slices": '{"channel":"mail"}',
            "source": "rows.csv:2",
            "flaw": "",
            "rejected": "",
            "time": "",
        }
    ]


def test_without_an_id_column_the_place_is_the_id_and_places_are_lines(write):
    table = read(CSV, write('text,label\n"two\nlines",a\n\nnext,b\n'), DATA)

    assert table["source"].to_list() == ["rows.csv:2", "rows.csv:5"]
    assert table["id"].to_list() == table["source"].to_list()
    assert table["input"][0] == "two\nlines"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_of_a_csv_is_seen_in_its_header(write, delimiter):
    table = read(CSV, write(f"text{delimiter}label\nhello{delimiter}a\n"), DATA)
    assert (table["input"][0], table["reference"][0]) == ("hello", "a")


def test_a_byte_order_mark_is_no_part_of_the_first_column(write):
    assert read(CSV, write(b"\xef\xbb\xbftext,label\nhello,a\n"), DATA)["input"].to_list() == ["hello"]


def test_ragged_rows_are_kept_with_their_flaw(write):
    table = read(CSV, write("text,label\none\ntwo,b\nthree,c,d\n"), DATA)

    assert table["flaw"].to_list()[1] == ""
    assert "1, not 2" in table["flaw"][0]
    assert "3, not 2" in table["flaw"][2]
    assert table["reference"][2] == "c d"


def test_a_quote_that_never_closes_costs_its_own_row_only(write):
    rows = "".join(f"text {number},a\n" for number in range(50))
    table = read(CSV, write(f'text,label\nfirst,a\n"never closed,b\n{rows}'), DATA)

    assert table.height == 52
    assert table.filter(table["flaw"] != "")["source"].to_list() == ["rows.csv:3"]
    assert table["flaw"][1] == "a quote that never closes"
    assert table["input"][1] == '"never closed,b'


def test_a_quote_that_a_later_row_seems_to_close_costs_its_own_row_only(write):
    rows = "".join(f'"text {number}","a"\n' for number in range(50))
    table = read(CSV, write(f'text,label\n"never closed,b\n{rows}'), DATA)

    assert table.height == 51
    assert table.filter(table["flaw"] != "")["source"].to_list() == ["rows.csv:2"]


def test_the_inside_of_a_text_with_broken_quotes_is_not_taken_for_rows(write):
    table = read(CSV, write('text,label\n"he is\n5" tall,a\nfine,b\n'), DATA)

    assert table.filter(table["flaw"] == "")["input"].to_list() == ["fine"]


def test_in_a_tsv_a_quote_is_just_a_quote(write):
    table = read(TSV, write('text\tlabel\n"To be" he said\ta\nnot to be\tb\n', "rows.tsv"), DATA)

    assert table["flaw"].to_list() == ["", ""]
    assert table["input"][0] == '"To be" he said'


def test_many_broken_quotes_do_not_take_long(write):
    path = write("text,label\n" + '"open,a\n' * 20_000)
    start = time.perf_counter()
    table = read(CSV, path, DATA)

    assert table.height == 20_000
    assert (table["flaw"] != "").all()
    assert time.perf_counter() - start < 5


def test_bytes_of_another_encoding_cost_their_rows_only(write):
    good = b"".join(b"text %d,a\n" % number for number in range(20))
    table = read(CSV, write(b"text,label\n" + good + "café,b\n".encode("cp1252")), DATA)

    assert table["flaw"].to_list() == [""] * 20 + [DAMAGED]
    assert table["input"][20] == "caf�"


def test_a_file_in_another_encoding_is_refused_with_a_guess(write):
    path = write(("text,label\n" + "Das Gerät fällt ständig aus, schöne Grüße,Störung\n" * 20).encode("cp1252"))
    with pytest.raises(DataError, match=r'set data\.encoding = "cp1252"') as caught:
        read(CSV, path, Data(source="rows.csv", reference="text"))
    assert "rows.csv" in caught.value.where


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_file_in_wide_characters_is_refused_with_a_guess_that_works(write, encoding):
    path = write(("text,label\n" + "a text of some words,a\n" * 20).encode(encoding))
    with pytest.raises(DataError, match=r"set data\.encoding") as caught:
        read(CSV, path, DATA)

    guess = caught.value.fix.split('"')[1]
    assert read(CSV, path, Data(source="rows.csv", encoding=guess)).height == 20


def test_nul_bytes_cost_their_row_only(write):
    table = read(CSV, write("text,label\nhello\0,a\nfine," + "b" * 50 + "\n"), DATA)
    assert table["flaw"].to_list() == ["a NUL byte", ""]


def test_a_row_of_five_megabytes_is_read(write):
    long = "word " * 1_000_000
    table = read(CSV, write(f"text,label\n{long},a\nshort,b\n"), DATA)
    assert table["input"].str.len_chars().to_list() == [5_000_000, 5]
    assert table["flaw"].to_list() == ["", ""]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        ("text,label\n", "no rows"),
        ("utterance,label\nhello,a\n", "no column 'text'"),
        ("texts,label\nhello,a\n", "did you mean 'texts'"),
        ("text,label,text\na,b,c\n", "two columns 'text'"),
        ('"text,label\nhello,a\n', "quote is not closed"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(write, content, says):
    with pytest.raises(DataError, match=says) as caught:
        read(CSV, write(content), DATA)
    assert "rows.csv" in caught.value.where
    assert caught.value.fix


def test_a_missing_column_lists_those_there_are(write):
    with pytest.raises(DataError, match="utterance, intent"):
        read(CSV, write("utterance,intent\nhello,a\n"), DATA)


def test_an_encoding_that_does_not_exist_is_an_error_of_the_brief(write):
    with pytest.raises(BriefError, match=r"data\.encoding"):
        read(CSV, write("text,label\nhello,a\n"), Data(source="rows.csv", encoding="utf-9"))


def test_a_sample_shows_every_column_of_the_first_rows(write):
    path = write("subject,body\nhello,a\nragged\nworld,b\nmore,c\n")
    assert sample(CSV, path, 2) == [{"subject": "hello", "body": "a"}, {"subject": "world", "body": "b"}]


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_whatever_was_written_as_csv_is_read_back(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerows([("text", "label"), *rows])
        table = read(CSV, path, DATA)

    assert list(zip(table["input"], table["reference"], strict=True)) == rows
    assert table["flaw"].to_list() == [""] * len(rows)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text('a",\n', max_size=8), min_size=1, max_size=12))
def test_no_line_is_ever_lost_whatever_its_quotes(lines):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_text("text,label\nfirst,b\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
        table = read(CSV, path, DATA)

    letters = "".join(f"{row['input']}{row['reference']}" for row in table.to_dicts())
    assert letters.count("a") == "".join(lines).count("a")
