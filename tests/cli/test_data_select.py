"""The commands that choose rows: to label, to train on, and how labels come back."""

import csv
import json
import time

import pytest

from lifeloop.core.events import Event, Feedback
from small_project import (
    DATA,
    TOPICS,
    assert_clear,
    call,
    edit,
    ledger_of,
    run,
    small_project,
    texts,
)


@pytest.fixture
def folder(finished, monkeypatch):
    monkeypatch.chdir(finished)
    return finished


def serve(folder, inputs, judged=(), confidence=0.4):
    with ledger_of(folder) as ledger:
        release = ledger.current_release()
        by = (release.id, release.candidate, release.name)
        events = [
            Event(f"e{k}", time.time(), *by, text, "sport", confidence, 0.01, 0, 0, 0.0)
            for k, text in enumerate(inputs)
        ]
        ledger.add_served(events, [Feedback(f"f{k}", f"e{k}", time.time(), "bob", label="sport") for k in judged])


def sheet(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fill(path, label):
    rows = sheet(path)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"label": label(row)} for row in rows)


def topic(row):
    return max(TOPICS, key=lambda each: sum(word in row["text"].split() for word in TOPICS[each]))


def new_texts(n=40):
    return [text for text, _ in texts(n, seed=99)]


def test_events_that_nobody_judged_go_on_a_sheet_and_come_back_as_feedback(folder):
    serve(folder, new_texts(30), judged=range(10))
    said = call("data", "select", "label", "-n", 6)
    assert said.code == 0, said
    assert "6 of 20 rows" in said.out
    assert "give-back to_label.csv" in said.out
    rows = sheet(folder / "to_label.csv")
    assert [row["label"] for row in rows] == [""] * 6
    assert {row["source"] for row in rows} <= {f"event:e{k}" for k in range(10, 30)}
    assert all(row["suggestion"] == "sport" and "unsure" in row["why"] for row in rows)

    fill(folder / "to_label.csv", lambda row: topic(row) if row["event"] != rows[0]["event"] else "")
    said = call("data", "select", "give-back", "to_label.csv", "--rater", "ann")
    assert said.out.startswith("5 labels are feedback of ann now; 1 rows are not filled in"), said
    call("data", "select", "give-back", "to_label.csv", "--rater", "ann")
    with ledger_of(folder) as ledger:
        given = [row for row in ledger.feedback() if row.feedback.rater == "ann"]
    assert {row.event.id: row.feedback.label for row in given} == {row["event"]: topic(row) for row in rows[1:]}
    assert len(given) == 5


def test_rows_of_a_file_come_back_as_a_source(folder):
    (folder / "new.txt.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in new_texts()))
    said = call("data", "select", "label", "-n", 8, "--from", "new.txt.jsonl", "--to", "sheet.csv")
    assert said.code == 0, said
    assert 'add "sheet.csv" to data.source' in said.out
    rows = sheet(folder / "sheet.csv")
    assert len(rows) == 8
    assert all(float(row["confidence"]) <= 1 and " and " in row["why"] for row in rows)
    fill(folder / "sheet.csv", topic)
    edit(folder, data=DATA.replace('"data.csv"', '["data.csv", "sheet.csv"]'))
    assert call("data", "build").code == 0
    found = call("data", "show", "sheet.csv:9")
    assert rows[-1]["text"] in found.out, found


def test_without_anything_in_production_a_quick_model_is_asked(tmp_path, monkeypatch):
    folder = small_project(tmp_path / "news")
    monkeypatch.chdir(folder)
    assert call("data", "build").code == 0
    (folder / "new.csv").write_text("text\n" + "\n".join(new_texts()) + "\n")
    said = call("data", "select", "label", "-n", 5, "--from", "new.csv", "--to", "sheet.jsonl", "--json")
    found = json.loads(said.out)
    assert found["model"] == "a quick model of the training rows"
    assert [row["row"]["input"] for row in found["shortlist"]["rows"]] == [
        row["text"] for row in sheet(folder / "sheet.jsonl")
    ]
    assert set(sheet(folder / "sheet.jsonl")[0]) >= {"id", "text", "label", "suggestion", "confidence", "why", "event"}


def test_before_any_data_was_read_rows_are_chosen_that_differ(tmp_path, monkeypatch):
    folder = small_project(tmp_path / "news")
    monkeypatch.chdir(folder)
    (folder / "new.csv").write_text("text\n" + "\n".join(new_texts()) + "\n")
    said = call("data", "select", "label", "-n", 5, "--from", "new.csv")
    assert "no model was asked" in said.out, said
    assert len(sheet(folder / "to_label.csv")) == 5


def test_texts_that_the_dataset_has_are_not_asked_for(folder):
    (folder / "same.csv").write_text((folder / "data.csv").read_text() + "a new one,\n")
    said = call("data", "select", "label", "-n", 400, "--from", "same.csv", "--json")
    chosen = [row["row"]["input"] for row in json.loads(said.out)["shortlist"]["rows"]]
    assert "a new one" in chosen
    assert len(chosen) < 0.5 * 320  # the splits that judge are not looked at: their texts may come


def test_what_has_a_sheet_already_is_not_written_over(folder):
    (folder / "to_label.csv").write_text("precious")
    serve(folder, new_texts(5))
    assert_clear(call("data", "select", "label"), "there is such a file", "it may hold labels already")
    assert (folder / "to_label.csv").read_text() == "precious"


def test_slips_are_told(folder):
    assert_clear(call("data", "select", "label"), "there is nothing to choose from", "--from")
    serve(folder, new_texts(5))
    assert_clear(call("data", "select", "label", "--candidate", "tfdif"), "no cycle has made", "majority, tfidf")
    assert_clear(call("data", "select", "label", "--to", "sheet.xlsx"), "end it in .csv or .jsonl")
    assert_clear(call("data", "select", "give-back", "none.csv", "--rater", "ann"), "there is no such file")
    (folder / "odd.csv").write_text("text,event\nx,e0\n")
    assert_clear(call("data", "select", "give-back", "odd.csv", "--rater", "ann"), "there is no column 'label'")


def test_labels_that_cannot_be_used_are_refused_one_by_one(folder):
    serve(folder, new_texts(4))
    rows = ["text,label,event", "a,sport,e0", "b,spport,e1", "c,sport,e99", "d,sport,", "e,,e2"]
    (folder / "mine.csv").write_text("\n".join(rows) + "\n")
    found = json.loads(call("data", "select", "give-back", "mine.csv", "--rater", "ann", "--json").out)
    assert (found["n_labels"], found["n_empty"], found["n_others"]) == (1, 1, 1)
    assert [each.partition(": ")[0] for each in found["refused"]] == ["mine.csv:2", "mine.csv:3"]


# which rows train


def test_a_selection_is_shown_and_changes_nothing(folder):
    before = sorted(path.name for path in (folder / ".lifeloop").rglob("*"))
    said = call("data", "select", "train", "--tokens", 1000, "--to", "left.csv")
    assert said.code == 0, said
    kept, _, of = said.out.partition(" training rows")[0].partition(" of ")
    left = sheet(folder / "left.csv")
    assert len(left) == int(of) - int(kept)
    assert {row["reason"] for row in left} == {"beyond the budget of tokens"}
    assert sorted(path.name for path in (folder / ".lifeloop").rglob("*")) == before
    assert_clear(call("data", "select", "train"), "nothing would be left out")
    assert_clear(call("data", "select", "train", "--tokens", 5), "do not hold one row of each label")


def test_candidates_are_made_from_the_selected_rows_and_tried_on_all_others(folder):
    edit(folder, data=DATA + "[data.selection]\ntokens = 1000\n")
    ran = run(folder)
    assert "select training rows" in ran.subjects("done")
    assert "explore make tfidf" in ran.subjects("done")
    with ledger_of(folder) as ledger:
        latest = {row.subject: row for row in ledger.runs()}
        refined = [row.output for row in ledger.runs() if row.stage == "refine"]
    assert latest["try tfidf"].inputs["dataset"] == refined[-1]
    assert latest["make tfidf"].inputs["dataset"] not in refined

    edit(folder)  # and without it, all is as it was
    again = run(folder)
    assert "explore make tfidf" in again.subjects("kept")
    assert "select training rows" not in again.subjects("kept") + again.subjects("done")
