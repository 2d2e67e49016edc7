"""`lifeloop new`: from a look at the data to a project that plans unchanged."""

import csv
import gzip
import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from lifeloop.core.brief import Brief, parse_brief
from lifeloop.core.evidence import Verdict
from lifeloop.project import open_project
from small_project import Said, assert_clear, call, ledger_of, run, texts, write_csv

TASKS = ("classify", "extract", "generate", "chat")
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def new(folder: Path, task: str, data: Path | None = None, *more: str) -> tuple[Said, Brief]:
    source = ("--data", data) if data else ()
    said = call("-C", folder, "new", "made", "--task", task, *source, *more)
    assert said.code == 0, said.err
    return said, parse_brief((folder / "made" / "lifeloop.toml").read_text())


def planned(folder: Path) -> dict:
    said = call("-C", folder / "made", "plan", "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def n_rows(plan: dict) -> int:
    return sum(plan["profile"][f"n_{split}"] for split in ("train", "validation", "test", "guard"))


def conll(sentences: int) -> str:
    chance = random.Random(0)
    words = [f"{first}{second}" for first in ("ka", "lo", "mi", "nu") for second in ("ra", "ta", "sa", "va", "za")]
    other = [f"{word}{end}" for word in words for end in ("n", "s", "l", "r")]
    blocks = []
    for number in range(sentences):
        name, place = words[number % 20], words[(number * 7 + 3) % 20]
        said = [f"{word}\tO" for word in chance.choices(other, k=8)]
        lines = [*said[:4], f"{name.title()}\tB-person", "lives\tO", "in\tO", f"{place.title()}\tB-place", *said[4:]]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def write(folder: Path, form: str) -> Path:
    rows = texts(200)
    path = folder / f"data.{form}"
    if form == "csv":
        return write_csv(path, rows)
    if form == "jsonl":
        path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    elif form == "parquet":
        pl.DataFrame(rows, schema=["text", "label"], orient="row").write_parquet(path)
    else:
        path = folder / "data"
        for number, (text, label) in enumerate(rows):
            (path / label).mkdir(parents=True, exist_ok=True)
            (path / label / f"{number}.txt").write_text(text)
    return path


@pytest.mark.parametrize("task", TASKS)
def test_without_data_it_says_where_to_put_them(tmp_path, task):
    said, brief = new(tmp_path, task)

    assert (brief.project.name, brief.project.task, brief.data.source) == ("made", task, "data.csv")
    assert "put your data where data.source says" in said.out
    assert (tmp_path / "made" / ".gitignore").read_text() == ".lifeloop/\n"
    open_project(tmp_path / "made")
    assert_clear(call("-C", tmp_path / "made", "plan"), "data.csv", "no such file")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "folder"])
def test_classify_from_every_format(tmp_path, form):
    said, brief = new(tmp_path, "classify", write(tmp_path, form))

    assert "200 rows; in: 'text', out: 'label'" in said.out
    assert "4 labels" in said.out
    assert brief.primary.metric == "accuracy"
    assert 190 <= n_rows(planned(tmp_path)) <= 200  # those whose label was drawn by chance may be found out


def test_extract_from_conll(tmp_path):
    (tmp_path / "train.conll").write_text(conll(200))

    _, brief = new(tmp_path, "extract", tmp_path / "train.conll")

    assert brief.primary.metric == "entity_f1"
    assert "gazetteer" in brief.candidates
    assert planned(tmp_path)["profile"]["n_train"] > 80


def test_generate_and_chat(tmp_path):
    pairs = [(f"what is {text}?", f"it is {label} of {n}") for n, (text, label) in enumerate(texts(120))]
    write_csv(tmp_path / "faq.csv", pairs, ("question", "answer"))
    lines = [{"messages": [{"role": "user", "content": asked}], "response": given} for asked, given in pairs]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    _, brief = new(tmp_path, "generate", tmp_path / "faq.csv")

    assert (brief.data.input, brief.data.reference) == ("question", "answer")
    assert planned(tmp_path)["profile"]["n_train"] > 50
    shutil.rmtree(tmp_path / "made")

    _, brief = new(tmp_path, "chat", tmp_path / "chat.jsonl")

    assert (brief.data.input, brief.data.reference) == ("messages", "response")
    assert planned(tmp_path)["profile"]["n_train"] > 50


def test_ids_groups_splits_and_the_label_for_none_of_the_others(tmp_path):
    rows = [
        (str(n), f"user{n % 40}", "test" if n % 40 < 8 else "train", text, "oos" if n % 5 == 0 else label)
        for n, (text, label) in enumerate(texts(200))
    ]
    write_csv(tmp_path / "data.csv", rows, ("id", "user", "split", "text", "intent"))

    said, brief = new(tmp_path, "classify", tmp_path / "data.csv")

    data = brief.data
    assert (data.id, data.group, data.split, data.out_of_scope) == ("id", "user", "split", "oos")
    assert (data.input, data.reference) == ("text", "intent")
    assert brief.primary.metric == "in_scope_accuracy"
    for line in ("id: 'id'", "group: 'user'", "split: 'split'", "out of scope: 'oos'"):
        assert line in said.out
    assert planned(tmp_path)["profile"]["n_test"] == sum(row[2] == "test" for row in rows)


def test_data_in_another_encoding(tmp_path):
    path = tmp_path / "data.csv"
    rows = "".join(f"grüße {text},süß {label}\n" for text, label in texts(200))
    path.write_bytes(f"text,label\n{rows}".encode("cp1252"))

    _, brief = new(tmp_path, "classify", path, "--encoding", "cp1252")

    assert brief.data.encoding == "cp1252"
    assert planned(tmp_path)["profile"]["n_labels"] == 4
    shutil.rmtree(tmp_path / "made")

    new(tmp_path, "classify", path)

    assert_clear(call("-C", tmp_path / "made", "plan"), "data.csv", 'data.encoding = "cp1252"')


def test_the_data_stays_where_it_is_and_is_named_from_the_project(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    path = write_csv(tmp_path / "elsewhere" / "my # data.csv", texts(200))

    _, brief = new(tmp_path, "classify", path)

    assert brief.data.source == "../elsewhere/my # data.csv"
    planned(tmp_path)


def test_several_sources_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    for number in range(3):
        write_csv(tmp_path / f"logs/{number}.csv", texts(60, seed=number))
    with gzip.open(tmp_path / "older.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": text, "label": label}) + "\n" for text, label in texts(40, seed=9))

    said, brief = new(tmp_path, "classify", Path("logs/*.csv"), "--data", "older.jsonl.gz")

    assert brief.data.source == ("../logs/*.csv", "../older.jsonl.gz")
    assert "220 rows" in said.out
    assert 200 < n_rows(planned(tmp_path)) <= 220


def test_a_database_and_its_query(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("orders.db")) as database, database:
        database.execute("CREATE TABLE orders (text TEXT, label TEXT)")
        database.executemany("INSERT INTO orders VALUES (?, ?)", texts(200))
    query = 'SELECT text, label FROM "orders"'

    _, brief = new(tmp_path, "classify", None, "--data", "sqlite:///orders.db", "--query", query)

    assert (brief.data.source, brief.data.query) == ("sqlite:///../orders.db", query)
    assert planned(tmp_path)["profile"]["n_labels"] == 4


def test_a_log_of_conversations_is_known_by_its_look(tmp_path):
    turns = [
        [{"role": "user", "content": f"what is {text}?"}, {"role": "assistant", "content": f"it is {label}"}]
        for text, label in texts(120)
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps({"messages": each}) + "\n" for each in turns))

    _, brief = new(tmp_path, "chat", tmp_path / "log.jsonl")

    assert (brief.data.format, brief.data.group) == ("messages", "")
    assert planned(tmp_path)["profile"]["n_train"] > 50


def test_a_password_is_not_written_into_the_brief(tmp_path):
    url = "postgresql://ann:s3cret@localhost:1/orders"
    said = call("-C", tmp_path, "new", "made", "--task", "classify", "--data", url, "--query", "SELECT 1")

    assert_clear(said, "password", "env:DATA_URL")
    assert "s3cret" not in said.all
    assert not (tmp_path / "made").exists()


HEADERS = [
    ["a\x7fb", "label"],
    ["a  # b", "label"],
    ['say "hi"', "la\\bel"],
    ["", "x"],
    ["text", "x", "text"],
    ["only"],
]


@pytest.mark.parametrize("header", HEADERS)
def test_columns_of_any_name_make_a_brief_that_parses(tmp_path, header):
    with (tmp_path / "data.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *([f"some text {n}", "ab"[n % 2], "x"][: len(header)] for n in range(20))])

    new(tmp_path, "classify", tmp_path / "data.csv")


def test_rows_with_different_keys_and_rows_with_none(tmp_path):
    (tmp_path / "data.jsonl").write_text('{}\n{"text": "one", "label": "a"}\n{"text": "two"}\n')

    _, brief = new(tmp_path, "classify", tmp_path / "data.jsonl")

    assert (brief.data.input, brief.data.reference) == ("text", "label")


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("empty.csv", b"", ["empty.csv", "the file is empty"]),
        ("bad.csv", b"te\xe9xt,label\na,b\n", ["bad.csv", "--encoding"]),
        ("odd.docx", b"PK", ["odd.docx", ".csv"]),
        ("not.parquet", b"text,label\n", ["not.parquet"]),
    ],
)
def test_data_that_cannot_be_looked_at(tmp_path, name, content, parts):
    (tmp_path / name).write_bytes(content)

    said = call("-C", tmp_path, "new", "made", "--task", "classify", "--data", tmp_path / name)

    assert_clear(said, *parts)
    assert not (tmp_path / "made").exists()


def test_names_and_places_that_will_not_do(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for name in ("Made", "../made", "a b", "-", ""):
        assert_clear(call("-C", tmp_path, "new", "--task", "chat", "--", name))
    assert_clear(call("-C", tmp_path, "new", "made", "--task", "chat", "--data", tmp_path / "absent.csv"), "absent.csv")
    assert_clear(call("-C", tmp_path, "new", "made", "--task", "chat", "--encoding", 'x"y'), "there is no encoding")
    assert_clear(call("-C", tmp_path, "new", "file", "--task", "chat"), "file")
    new(tmp_path, "chat")
    assert_clear(call("-C", tmp_path, "new", "made", "--task", "chat"), "there is a project here already")


# public data, where they are


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "wnut17").exists(), reason="the data of WNUT17 are not here")
def test_new_and_run_on_wnut17(tmp_path):
    data = tmp_path / "wnut17.conll"
    data.write_text("\n\n".join((SHARED / "wnut17" / f"{part}.conll").read_text() for part in ("train", "dev")))

    _, brief = new(tmp_path, "extract", data)
    text = (tmp_path / "made" / "lifeloop.toml").read_text()
    head, _, rest = text.partition("[candidates.gazetteer]")
    floor = '[candidates.gazetteer]\nkind = "gazetteer"\n\n[release]\nfallback = []\n'
    (tmp_path / "made" / "lifeloop.toml").write_text(head + floor)
    result = run(tmp_path / "made").result

    assert brief.primary.metric == "entity_f1"
    assert "smollm" in rest
    assert result.verdict.challenger_name == result.verdict.champion_name == "gazetteer"
    assert result.verdict.decision in ("reject", "undecided")
    with ledger_of(tmp_path / "made") as ledger:
        stored = open_project(tmp_path / "made").open_vault().get_value(ledger.verdicts()[0].id, Verdict)
    f1 = next(each for each in stored.objectives if each.metric == "entity_f1")
    assert 0 < f1.low < f1.value < f1.high < 1


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "clinc150").exists(), reason="the data of CLINC150 are not here")
def test_new_on_clinc150(tmp_path):
    full = json.loads((SHARED / "clinc150" / "data_full.json").read_text())
    rows = [(text, label, part.removeprefix("oos_")) for part, pairs in full.items() for text, label in pairs]
    write_csv(tmp_path / "clinc.csv", rows, ("text", "intent", "split"))

    said, brief = new(tmp_path, "classify", tmp_path / "clinc.csv")

    assert "151 labels" in said.out
    assert (brief.data.out_of_scope, brief.data.split) == ("oos", "split")
    assert brief.primary.metric == "in_scope_accuracy"
    profile = planned(tmp_path)["profile"]
    assert profile["n_labels"] == 151
    assert profile["n_test"] == pytest.approx(5500, abs=60)
