import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading_scene import chunks, read, sample

from lifeloop.core.brief import Data
from lifeloop.core.candidates import Message
from lifeloop.core.errors import DataError
from lifeloop.sources import chat_logs, json_values
from lifeloop.sources.chat_logs import ALPACA, JSON, MESSAGES, PREFERENCE, SHAREGPT, detect
from lifeloop.sources.lines import MAX_LINE
from lifeloop.tasks.chat import conversation

DATA = Data(source="log")
HARMLESS = Path(__file__).parents[3] / "shared" / "data" / "hh-harmless" / "test.jsonl.gz"

Q, A = {"role": "user", "content": "How long?"}, {"role": "assistant", "content": "Two days."}
MORE_Q, MORE_A = {"role": "user", "content": "And abroad?"}, {"role": "assistant", "content": "A week."}
SYSTEM = {"role": "system", "content": "Be brief."}


def log(folder: Path, *records: Any, name: str = "log.jsonl") -> Path:
    text = json.dumps(list(records)) if name.endswith(".json") else "".join(json.dumps(r) + "\n" for r in records)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def one(source: Any, folder: Path, record: dict[str, Any], task: str = "generate") -> dict[str, str]:
    (row,) = read(source, log(folder, record), DATA, task).to_dicts()
    return row


# what goes in and what should come out


def test_a_single_question_is_its_text_and_for_chat_the_json_of_the_messages(tmp_path):
    row = one(MESSAGES, tmp_path, {"messages": [Q, A]})
    assert (row["input"], row["reference"], row["flaw"]) == ("How long?", "Two days.", "")

    row = one(MESSAGES, tmp_path, {"messages": [Q, A]}, "chat")
    assert row["input"] == '[{"content":"How long?","role":"user"}]'
    assert row["reference"] == "Two days."


def test_a_longer_conversation_is_asked_for_its_last_answer(tmp_path):
    record = {"messages": [SYSTEM, Q, A, MORE_Q, MORE_A, {"role": "user", "content": "Thanks!"}]}
    row = one(MESSAGES, tmp_path, record, "chat")
    turns = [Message(**each) for each in (SYSTEM, Q, A, MORE_Q)]
    assert conversation(row["input"]) == tuple(turns)
    assert row["reference"] == "A week."

    row = one(MESSAGES, tmp_path, record)
    assert row["input"] == "System: Be brief.\n\nUser: How long?\n\nAssistant: Two days.\n\nUser: And abroad?"


def test_tool_calls_are_kept(tmp_path):
    call = {"id": "1", "type": "function", "function": {"name": "days", "arguments": "{}"}}
    asks = {"role": "assistant", "content": None, "tool_calls": [call]}
    told = {"role": "tool", "tool_call_id": "1", "content": "2"}
    row = one(MESSAGES, tmp_path, {"messages": [Q, asks, told, A]}, "chat")
    turns = json.loads(row["input"])
    assert turns[1]["tool_calls"] == [call]
    assert turns[2]["tool_call_id"] == "1"
    assert len(conversation(row["input"])) == 3
    assert row["reference"] == "Two days."

    row = one(MESSAGES, tmp_path, {"messages": [Q, asks]}, "chat")
    assert json.loads(row["reference"]) == [call]


def test_parts_of_text_are_one_text_and_other_parts_a_flaw(tmp_path):
    parts = [{"type": "text", "text": "How "}, {"type": "text", "text": "long?"}]
    assert one(MESSAGES, tmp_path, {"messages": [{**Q, "content": parts}, A]})["input"] == "How long?"
    picture = [*parts, {"type": "image_url", "image_url": {"url": "data:"}}]
    table = read(MESSAGES, log(tmp_path, {"messages": [Q, A]}, {"messages": [{**Q, "content": picture}, A]}), DATA)
    assert table["flaw"].to_list() == ["", "a content with parts that are no text"]


@pytest.mark.parametrize(("human", "gpt"), [("human", "gpt"), ("user", "assistant"), ("Human", "chatgpt")])
def test_sharegpt(tmp_path, human, gpt):
    turns = [{"from": human, "value": "How long?"}, {"from": gpt, "value": "Two days."}]
    row = one(SHAREGPT, tmp_path, {"id": "c1", "conversations": turns, "system": "Be brief."}, "chat")
    assert conversation(row["input"]) == (Message(**SYSTEM), Message(**Q))
    assert (row["reference"], row["group"]) == ("Two days.", "c1")


def test_alpaca(tmp_path):
    asked = {"instruction": "Translate.", "input": "deux jours", "output": "two days"}
    assert one(ALPACA, tmp_path, asked)["input"] == "Translate.\n\ndeux jours"
    assert one(ALPACA, tmp_path, {**asked, "input": ""})["input"] == "Translate."
    row = one(ALPACA, tmp_path, {**asked, "system": "Be brief.", "history": [["How long?", "Two days."]]}, "chat")
    assert conversation(row["input"])[:3] == (Message(**SYSTEM), Message(**Q), Message(**A))
    assert row["reference"] == "two days"


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "How long?", "chosen": "Two days.", "rejected": "No idea."},
        {"question": "How long?", "chosen": "Two days.", "rejected": "No idea."},
        {"prompt": [Q], "chosen": [A], "rejected": [{**A, "content": "No idea."}]},
        {"prompt": "How long?", "chosen": [Q, A], "rejected": [Q, {**A, "content": "No idea."}]},
        {"chosen": [Q, A], "rejected": [Q, {**A, "content": "No idea."}]},
        {
            "chosen": "\n\nHuman: How long?\n\nAssistant: Two days.",
            "rejected": "\n\nHuman: How long?\n\nAssistant: No idea.",
        },
        {"prompt": "\n\nHuman: How long?\n\nAssistant:", "chosen": " Two days.", "rejected": " No idea."},
    ],
)
def test_preference_pairs_in_every_shape_are_the_same_row(tmp_path, record):
    row = one(PREFERENCE, tmp_path, record)
    assert (row["flaw"], row["input"]) == ("", "How long?")
    assert (row["reference"].strip(), row["rejected"].strip()) == ("Two days.", "No idea.")
    assert conversation(one(PREFERENCE, tmp_path, record, "chat")["input"]) == (Message(**Q),)


def test_a_system_message_goes_before_both_answers(tmp_path):
    record = {"system": "Be brief.", "prompt": "How long?", "chosen": [Q, A], "rejected": [Q, {**A, "content": "No."}]}
    row = one(PREFERENCE, tmp_path, record, "chat")
    assert conversation(row["input"]) == (Message(**SYSTEM), Message(**Q))


# what cannot be used


@pytest.mark.parametrize(
    ("source", "record", "flaw"),
    [
        (MESSAGES, {"messages": []}, "no list of messages"),
        (MESSAGES, {"text": "a"}, "no list of messages"),
        (MESSAGES, {"messages": [Q]}, "no answer in the conversation"),
        (MESSAGES, {"messages": [A]}, "no question before the answer"),
        (MESSAGES, {"messages": [Q, {**A, "content": " "}]}, "an empty answer"),
        (MESSAGES, {"messages": [{**Q, "content": None}, A]}, "an empty question"),
        (MESSAGES, {"messages": [Q, {**A, "role": "Ann Smith"}]}, "an unknown role: turn 2"),
        (MESSAGES, {"messages": [Q, "Two days."]}, "a message that is no object: turn 2"),
        (MESSAGES, {"messages": [Q, {**A, "content": 2}]}, "a content that is no text"),
        (SHAREGPT, {"conversations": {"from": "human"}}, "no list of messages"),
        (ALPACA, {"instruction": "", "output": "b"}, "an empty question"),
        (ALPACA, {"instruction": "a", "output": ""}, "an empty answer"),
        (ALPACA, {"instruction": "a", "output": "b", "history": ["c"]}, "a history that is not pairs"),
        (PREFERENCE, {"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are the same"),
        (PREFERENCE, {"chosen": "b", "rejected": "c"}, "no prompt: chosen is a text alone"),
        (PREFERENCE, {"prompt": "a", "chosen": "b"}, "no list of messages"),
        (PREFERENCE, {"chosen": [Q, A], "rejected": [MORE_Q, A]}, "chosen and rejected part before their last turn"),
        (PREFERENCE, {"chosen": [Q, A, Q], "rejected": [Q, A, MORE_Q]}, "the last turn of chosen or rejected is no"),
    ],
)
def test_a_record_that_cannot_be_used_is_a_flaw_and_the_others_stand(tmp_path, source, record, flaw):
    good = {
        "messages": {"messages": [Q, A]},
        "sharegpt": {"conversations": [Q, A]},
        "alpaca": {"instruction": "a", "output": "b"},
        "preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
    }[source.format]
    table = read(source, log(tmp_path, record, good), DATA)
    assert table["flaw"][0].startswith(flaw)
    assert "Ann" not in table["flaw"][0]
    assert table["input"][0] == json.dumps(record), "people can see what stands there"
    assert table["flaw"][1] == ""


def test_a_line_that_is_no_json_or_cut_is_a_flaw(tmp_path):
    path = log(tmp_path, {"messages": [Q, A]})
    with path.open("a", encoding="utf-8") as file:
        file.write('{"messages": [\n[1, 2]\n"' + "x" * MAX_LINE + '"\n' + json.dumps({"messages": [Q, A]}) + "\n")
    table = read(MESSAGES, path, DATA)
    flaws = [flaw.partition(":")[0] for flaw in table["flaw"]]
    assert flaws == ["", "not valid JSON", "not a JSON object", "a line that is too long", ""]
    assert table["source"].to_list() == [f"log.jsonl:{number}" for number in range(1, 6)]


def test_a_log_of_another_format_is_refused_with_what_its_records_look_like(tmp_path):
    with pytest.raises(DataError, match="no list of messages, as in every record") as caught:
        read(MESSAGES, log(tmp_path, {"instruction": "a", "output": "b"}), DATA)
    assert '"messages"' in caught.value.fix


# files


def test_rows_of_one_conversation_belong_together_unless_the_brief_names_what_does(tmp_path):
    records = [{"conversation_id": 7, "id": "x", "who": "ann", "messages": [Q, A]}, {"id": "y", "messages": [Q, A]}]
    path = log(tmp_path, *records, {"messages": [Q, A]})
    assert read(MESSAGES, path, DATA)["group"].to_list() == ["7", "y", ""]
    named = read(MESSAGES, path, Data(source="log", group="who", id="id"))
    assert named["group"].to_list() == ["ann", "", ""]
    assert named["id"].to_list() == ["x", "y", "log.jsonl:3"]


def test_columns_of_the_record_are_the_brief_s_and_one_that_none_has_is_refused(tmp_path):
    path = log(tmp_path, {"messages": [Q, A], "team": "a"}, {"messages": [Q, A], "split": "test"})
    table = read(MESSAGES, path, Data(source="log", slices=("team",), split="split"))
    assert table["slices"].to_list() == ['{"team":"a"}', '{"team":""}']
    assert table["split"].to_list() == ["", "test"]
    with pytest.raises(DataError, match="no column 'teem'") as caught:
        read(MESSAGES, path, Data(source="log", slices=("teem",)))
    assert "did you mean 'team'" in caught.value.fix


@pytest.mark.parametrize(
    ("record", "format"),
    [
        ({"messages": [Q, A]}, "messages"),
        ({"id": 1, "conversations": [Q, A]}, "sharegpt"),
        ({"instruction": "How long?", "input": "", "output": "Two days."}, "alpaca"),
        ({"prompt": "How long?", "chosen": "Two days.", "rejected": "No idea."}, "preference"),
        ({"text": "How long?", "label": "Two days."}, ""),
    ],
)
def test_a_json_file_says_its_format_by_its_first_record(tmp_path, record, format):
    assert detect(record) == format
    for name in ("log.json", "lines.json"):
        path = log(tmp_path, record, name="log.json")
        if name == "lines.json":
            path.write_text(json.dumps(record) + "\n", encoding="utf-8")
        row = read(JSON, path, DATA).to_dicts()[0]
        assert (row["input"], row["reference"], row["source"]) == ("How long?", "Two days.", "log.json:1")
    assert {"text": "How long?", "label": "Two days."}.items() <= sample(JSON, path, 1)[0].items()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(values, max_size=6), st.integers(1, 40), st.sampled_from([None, 0, 1]), st.booleans())
def test_an_array_is_read_as_it_was_written_however_its_bytes_arrive(elements, size, indent, escaped):
    text = json.dumps(elements, indent=indent, ensure_ascii=escaped)
    texts = iter([text[start : start + size] for start in range(0, len(text), size)])
    found = list(json_values._elements(texts, "log.json"))
    assert [each.value for each in found if not each.flaw] == elements
    assert [each.number for each in found] == list(range(1, len(elements) + 1))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"messages": []}, {"messages": [', "ends in the middle of element 2"),
        ('[{"a": 1}', "ends after element 1"),
        ("[", "ends in the middle of element 1"),
        ('[{"a": 1} {"a": 2}]', "no comma after element 1"),
        ('[{"a": 1},]', "comma after the last element"),
        ('[{"a": 1}] {"a": 2}', "something follows the array of 1"),
        ('[{"a": 1}, {a: 2, "b": "more than a few characters to come"}]', "element 2: Expecting property name"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "1" * 5000 + "]", "element 1"),
    ],
)
def test_an_array_that_is_not_whole_is_refused_with_the_place(tmp_path, text, says):
    (tmp_path / "log.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=says) as caught:
        read(MESSAGES, tmp_path / "log.json", DATA)
    assert caught.value.where == "log.json"


def test_an_element_that_never_ends_is_not_held_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(json_values, "MAX_LINE", 100_000)
    (tmp_path / "log.json").write_text('["' + "x" * 5_000_000, encoding="utf-8")
    with pytest.raises(DataError, match="longer than 100,000 characters"):
        read(MESSAGES, tmp_path / "log.json", DATA)


def test_an_empty_array_or_file_is_refused(tmp_path):
    for text, says in (("[]", "no records"), ("  ", "the file is empty")):
        (tmp_path / "log.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=says):
            read(JSON, tmp_path / "log.json", DATA)


def test_a_damaged_element_is_a_flaw_and_a_file_in_another_encoding_is_refused(tmp_path):
    path = log(tmp_path, *({"messages": [Q, A]} for _ in range(9)), name="log.json")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"Two", b"T\xffo", 1))
    table = read(MESSAGES, path, DATA)
    assert table["flaw"].to_list()[1:] == [""] * 8
    assert "not valid in the declared encoding" in table["flaw"][0]
    path.write_bytes(whole.replace(b"Two", b"Zw\xf6lf"))
    with pytest.raises(DataError, match="not utf-8") as caught:
        read(MESSAGES, path, DATA)
    assert "cp1252" in caught.value.fix
    path.write_bytes(b"\xef\xbb\xbf" + whole)
    assert read(MESSAGES, path, DATA).height == 9


def test_a_log_is_held_a_chunk_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("lifeloop.sources.source.CHUNK_ROWS", 2)
    for name in ("log.json", "log.jsonl"):
        path = log(tmp_path, *({"messages": [{**Q, "content": f"{n}"}, A]} for n in range(5)), name=name)
        found = chunks(MESSAGES, path, DATA)
        assert [chunk.table.height for chunk in found] == [2, 2, 1]
    again = chunks(MESSAGES, path, DATA, found[0].end)
    assert pl.concat([chunk.table for chunk in again])["input"].to_list() == ["2", "3", "4"]


# real pairs


def test_hh_rlhf_gives_a_row_for_nearly_every_pair(tmp_path):
    if not HARMLESS.exists():
        pytest.skip("needs the real pairs of ../shared/data/hh-harmless")
    data = msgspec.structs.replace(DATA, format="preference")
    table = read(PREFERENCE, HARMLESS, data, "chat")
    with gzip.open(HARMLESS, "rt", encoding="utf-8") as file:
        pairs = [json.loads(line) for line in file]

    flaws = dict(table.filter(pl.col("flaw") != "")["flaw"].value_counts().iter_rows())
    assert flaws == {"chosen and rejected part before their last turn": 5, "an empty answer": 4}
    wrong = 0
    for row, pair in zip(table.to_dicts(), pairs, strict=True):
        if not row["flaw"]:
            before, _, answer = pair["chosen"].rpartition("\n\nAssistant:")
            turns = conversation(row["input"])
            said = "".join(f"\n\n{'Human' if t.role == 'user' else 'Assistant'}: {t.content}" for t in turns)
            wrong += said.split() != before.split() or row["reference"] != answer.strip()
            wrong += row["rejected"] != pair["rejected"].rpartition("\n\nAssistant:")[2].strip()
    assert wrong == 0


def test_every_format_has_a_look_that_is_shown():
    assert set(chat_logs._LOOK) == {"", *chat_logs._READERS}
