import gzip
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refining_scene import a_vault, collected

from lifeloop.core.brief import Data
from lifeloop.core.data import Raw
from lifeloop.core.errors import DataError
from lifeloop.guards.guard import text_key
from lifeloop.sources import source
from lifeloop.sources.source import Reading
from lifeloop.stages.collect import Collected, SourceParts, collect, fingerprint, inputs_of, reviews_of
from lifeloop.store.tables import RAW_SCHEMA, from_parquet

NOTHING = pl.DataFrame(schema=RAW_SCHEMA)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(source, "CHUNK_ROWS", 10)


def write_rows(path: Path, first: int, n: int) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        if not file.tell():
            file.write("text,label\n")
        file.writelines(f'"text, {row}",{"ab"[row % 2]}\n' for row in range(first, first + n))


def gathered(folder: Path, data: Data, known: Sequence[SourceParts] = ()) -> Collected:
    return collect(Reading(data, folder), a_vault("collect"), NOTHING, known, lambda done, total, note: None)


def rows_of(found: Collected) -> list[str]:
    vault = a_vault("collect")
    parts = vault.get_value(found.raw, Raw).parts
    return [text for part in parts for text in from_parquet(vault.get(part.table))["input"]]


def test_learned_rows_come_after_those_of_the_source(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\nhello,a\nbye,b\n", encoding="utf-8")
    taught = {**dict.fromkeys(RAW_SCHEMA, ""), "id": "feedback:1", "input": "hey", "source": "feedback:1"}
    learned = pl.DataFrame([taught], schema=RAW_SCHEMA)

    raw = collected(Data(source="rows.csv"), tmp_path, learned=learned)

    assert raw.schema == RAW_SCHEMA
    assert raw["source"].to_list() == ["rows.csv:2", "rows.csv:3", "feedback:1"]


def test_a_source_that_is_not_there_is_refused_by_its_name(tmp_path):
    for act in (lambda data: gathered(tmp_path, data), lambda data: fingerprint(Reading(data, tmp_path))):
        with pytest.raises(DataError, match=r"missing\.csv"):
            act(Data(source="missing.csv"))


# several sources


def test_several_sources_of_several_formats_are_one_table_in_order(tmp_path):
    write_rows(tmp_path / "a.csv", 0, 2)
    (tmp_path / "b.jsonl").write_text('{"text": "three", "label": "a"}\n', encoding="utf-8")
    (tmp_path / "more").mkdir()
    with gzip.open(tmp_path / "more/c.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"text": "four", "label": "b"}\n')

    raw = collected(Data(source=("a.csv", "*.jsonl", "more/*.gz")), tmp_path)

    assert raw["input"].to_list() == ["text, 0", "text, 1", "three", "four"]
    assert raw["source"].n_unique() == 4


def test_a_pattern_that_finds_nothing_is_an_error(tmp_path):
    write_rows(tmp_path / "a.csv", 0, 2)
    with pytest.raises(DataError, match=r"\*\.jsonl"):
        gathered(tmp_path, Data(source="*.jsonl"))


# a source that grew


def test_a_file_that_grew_is_read_from_where_it_changed(tmp_path, small_chunks):
    path, data = tmp_path / "rows.csv", Data(source="rows.csv")
    write_rows(path, 0, 25)
    first = gathered(tmp_path, data)
    write_rows(path, 25, 10)

    grown = gathered(tmp_path, data, first.sources)

    assert grown.n_shared == 20
    assert grown.n_rows == 35
    assert grown.raw == gathered(tmp_path, data).raw


def test_a_file_that_did_not_change_is_not_read(tmp_path, small_chunks):
    path, data = tmp_path / "rows.csv", Data(source="rows.csv")
    write_rows(path, 0, 25)
    first = gathered(tmp_path, data)
    assert gathered(tmp_path, data, first.sources) == Collected(first.raw, 25, 0, first.sources, n_shared=25)


def test_a_file_that_changed_at_its_head_is_read_whole(tmp_path, small_chunks):
    path, data = tmp_path / "rows.csv", Data(source="rows.csv")
    write_rows(path, 0, 25)
    first = gathered(tmp_path, data)
    path.write_text(path.read_text(encoding="utf-8").replace("text, 3", "text, x"), encoding="utf-8")

    changed = gathered(tmp_path, data, first.sources)

    assert changed.n_shared == 0
    assert rows_of(changed)[3] == "text, x"


def test_a_source_that_is_added_leaves_those_that_were_there_as_they_are(tmp_path, small_chunks):
    write_rows(tmp_path / "rows.csv", 0, 25)
    first = gathered(tmp_path, Data(source="rows.csv"))
    (tmp_path / "a.jsonl").write_text('{"text": "new", "label": "a"}\n', encoding="utf-8")
    both = Data(source=("a.jsonl", "rows.csv"))

    found = gathered(tmp_path, both, first.sources)

    assert (found.n_shared, found.n_rows) == (25, 26)
    assert found.raw == gathered(tmp_path, both).raw
    assert rows_of(found)[0] == "new"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.conll", "rows.csv.gz", "rows.csv"])
def test_what_was_cut_off_within_a_row_is_read_again(tmp_path, small_chunks, name):
    rows = {
        "rows.jsonl": b'{"text": "some words", "label": "a"}\n' * 35,
        "rows.conll": b"some\tO\nwords\tO\n\n" * 35,
        "rows.csv.gz": gzip.compress(b"text,label\n" + b"some words,a\n" * 35),
        "rows.csv": b"text,label\r\n" + b'"some\r\nwords",a\r\n' * 35,
    }[name]
    (tmp_path / name).write_bytes(rows)
    data = Data(source=name)
    whole = gathered(tmp_path, data)
    for cut in range(1, 60, 7):
        (tmp_path / name).write_bytes(rows[:-cut])
        if name.endswith(".gz"):
            with pytest.raises(DataError, match=r"rows\.csv\.gz"):
                gathered(tmp_path, data)
            continue
        known = gathered(tmp_path, data)
        (tmp_path / name).write_bytes(rows)
        assert gathered(tmp_path, data, known.sources).raw == whole.raw
        assert gathered(tmp_path, data, known.sources).n_shared >= 20


edits = st.lists(
    st.tuples(st.sampled_from(["append", "cut", "change", "quote"]), st.integers(0, 60), st.integers(1, 25)),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(edits)
def test_whatever_became_of_a_file_what_was_known_of_it_changes_nothing(tmp_path_factory, edits):
    folder = tmp_path_factory.mktemp("grown")
    path, data = folder / "rows.csv", Data(source="rows.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "CHUNK_ROWS", 10)
        write_rows(path, 0, 30)
        known = gathered(folder, data)
        for what, place, n in edits:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            at = 1 + place % (len(lines) - 1)
            if what == "append":
                write_rows(path, 1000 + place, n)
                continue
            if what == "cut":
                del lines[max(at, 2) :]
            elif what == "change":
                lines[at] = f"another text {n},a\n"
            else:
                lines[at] = f'"an open quote {n},a\n'
            path.write_text("".join(lines), encoding="utf-8")
        assert gathered(folder, data, known.sources).raw == gathered(folder, data).raw


# files beside the brief's own


def test_benchmark_items_are_read_from_whichever_column_holds_text(tmp_path):
    (tmp_path / "bench.jsonl").write_text('{"text": "one", "answer": "x"}\n{"text": "two"}\n', encoding="utf-8")
    (tmp_path / "other.csv").write_text("question,answer\nthree,x\n", encoding="utf-8")
    reading = Reading(Data(source="rows.csv", input="utterance"), tmp_path)
    assert inputs_of(("bench.jsonl", "other.csv"), reading) == ["one", "two", "three"]


# fingerprints


def test_the_fingerprint_of_a_file_changes_with_its_bytes_alone(tmp_path):
    ids = []
    for content in ("text,label\nx,y\n", "text,label\nx,y\n", "text,label\nx,z\n"):
        (tmp_path / "a.csv").write_text(content, encoding="utf-8")
        ids.append(fingerprint(Reading(Data(source="a.csv"), tmp_path)))
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("change", ["edit", "rename", "add", "move to another label", "link elsewhere"])
def test_the_fingerprint_of_a_folder_changes_with_whatever_is_in_it(tmp_path, change):
    root = tmp_path / "texts"
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        (root / label / "1.txt").write_text(f"text of {label}", encoding="utf-8")
    (root / "a/link.txt").symlink_to("1.txt")
    reading = Reading(Data(source="texts"), tmp_path)
    before = fingerprint(reading)
    assert fingerprint(reading) == before

    file = root / "a/1.txt"
    if change == "edit":
        file.write_text("another text", encoding="utf-8")
    elif change == "rename":
        file.rename(root / "a/2.txt")
    elif change == "add":
        (root / "b/2.txt").touch()
    elif change == "move to another label":
        file.rename(root / "b/2.txt")
    else:
        (root / "a/link.txt").unlink()
        (root / "a/link.txt").symlink_to("../b/1.txt")
    assert fingerprint(reading) != before


# what people decided


def test_reviews_go_by_their_key_or_where_there_is_none_by_their_text(tmp_path):
    (tmp_path / "r.csv").write_text("key,text,label,keep\nabc,one,x,yes\n,Two!,y,no\n,three,z,\n", encoding="utf-8")
    found = reviews_of("r.csv", Reading(Data(source="rows.csv"), tmp_path))
    assert found.rows() == [("abc", True, "x"), (text_key("two"), False, "y")]


def test_two_answers_of_one_text_that_differ_are_an_error(tmp_path):
    (tmp_path / "r.csv").write_text("text,label,keep\none,x,yes\nOne.,y,yes\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"r\.csv:3: another answer"):
        reviews_of("r.csv", Reading(Data(source="rows.csv"), tmp_path))


def test_a_review_that_nobody_has_filled_in_says_nothing(tmp_path):
    (tmp_path / "r.csv").write_text("key,text,label,keep\n", encoding="utf-8")
    assert reviews_of("r.csv", Reading(Data(source="rows.csv"), tmp_path)).is_empty()
