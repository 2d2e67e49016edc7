"""Rows that a model writes: which are asked for, what it is shown, and what becomes of its replies."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.core.data_brief import Synthesis
from lifeloop.stages import written_forms
from lifeloop.stages.synthesise import SHOWN_CHARS, Terms, level, synthesise, wanted
from lifeloop.store.tables import RAW_SCHEMA


def example(name: str, text: str, reference: str, source: str = "") -> Example:
    return Example(name, text, reference, group=name, source=source)


def mail(**counts: int) -> list[Example]:
    pairs = [(label, n) for label, there in counts.items() for n in range(there)]
    return [example(f"{label}{n}", f"{label} mail {n}", label) for label, n in pairs]


def terms(task: str = "classify", problem: str = "", **settings) -> Terms:
    return Terms(task, problem, Synthesis(model="writer", **settings))


def rows(examples: list[Example], what: Terms, say, at_once: int = 4) -> list[dict[str, str]]:
    """Return the rows that a model gives whose replies are `say(writing)`."""

    def write(writings):
        assert len(writings) <= at_once
        said = [say(writing) for writing in writings]
        return [each if isinstance(each, Answer) else Answer(each, tokens_out=5) for each in said]

    return synthesise(examples, what, write, at_once).to_dicts()


def asked_label(writing) -> str:
    return writing.messages[-1].content.rpartition(": ")[2]


def numbered():
    said = iter(range(1000))
    return lambda writing: f"a new {asked_label(writing)} text {next(said)}"


# which rows


def test_the_rarest_labels_come_first_until_all_are_level():
    found = rows(mail(billing=8, delivery=2, greeting=5), terms(rows=12), numbered())
    assert Counter(row["reference"] for row in found) == {"delivery": 7, "greeting": 4, "billing": 1}
    assert [row["reference"] for row in found[:3]] == ["delivery"] * 3


def test_only_rows_of_the_labels_that_were_named():
    found = rows(mail(billing=8, delivery=2, greeting=5), terms(rows=3, labels=("billing", "greeting")), numbered())
    assert Counter(row["reference"] for row in found) == {"greeting": 3}


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 20), min_size=1), st.integers(0, 60))
def test_no_label_that_was_given_a_row_ends_above_another(counts, n):
    given_ = Counter(level(counts, n))
    assert given_.total() == n
    after = {label: count + given_[label] for label, count in counts.items()}
    assert all(after[label] <= min(after.values()) + 1 for label in given_)


def test_a_row_is_raw_and_marked_with_who_wrote_it():
    (row, *_) = rows(mail(billing=2, delivery=2), terms(rows=2), numbered())
    assert list(row) == list(RAW_SCHEMA)
    assert row | {"input": ""} == dict.fromkeys(RAW_SCHEMA, "") | {
        "id": "synthetic:writer:0",
        "source": "synthetic:writer:0",
        "reference": "billing",
        "slices": "{}",
    }


# what it is shown


def test_it_is_shown_rows_of_the_label_as_turns_and_told_the_use_case():
    asked = []
    what = terms(rows=2, shots=3, problem="Sort our mail.")
    rows(mail(billing=9, delivery=9), what, lambda writing: asked.append(writing) or "x")
    first = asked[0]
    assert "The use case: Sort our mail." in first.messages[0].content
    turns = [turn.role for turn in first.messages]
    assert turns == ["system", *["user", "assistant"] * 3, "user"]
    assert all(turn.content.startswith("billing mail") for turn in first.messages if turn.role == "assistant")
    assert len({turn.content for turn in first.messages if turn.role == "assistant"}) == 3


def test_where_a_label_has_too_few_rows_others_are_shown_as_what_they_are():
    asked = []
    rows(mail(billing=9, rare=1), terms(rows=1, shots=3), lambda writing: asked.append(writing) or "x")
    turns = [(asked[0].messages[n].content, asked[0].messages[n + 1].content) for n in (1, 3, 5)]
    assert turns[0] == ("Write a text of the label: rare", "rare mail 0")
    assert all(question == "Write a text of the label: billing" for question, _ in turns[1:])
    assert asked_label(asked[0]) == "rare"


def test_rows_that_a_model_wrote_are_never_shown():
    own = mail(billing=2, delivery=2)
    before = [example(f"s{n}", f"written {n}", "billing", source=f"synthetic:old:{n}") for n in range(20)]
    asked = []
    rows(own + before, terms(rows=6, shots=4), lambda writing: asked.append(writing) or "x")
    assert not any("written" in turn.content for writing in asked for turn in writing.messages)


def test_what_is_shown_stays_short():
    long = [example(f"l{n}", "word " * 400, "billing") for n in range(6)] + [example("huge", "x" * 50_000, "billing")]
    asked = []
    rows(long, terms(rows=5, shots=6), lambda writing: asked.append(writing) or "x")
    assert all(sum(len(turn.content) for turn in writing.messages) < SHOWN_CHARS + 1500 for writing in asked)


def test_one_more_training_row_changes_little_of_what_is_asked():
    what = terms(rows=60, shots=3)
    form = written_forms.form("classify")
    before = wanted(mail(billing=40, delivery=40), what, form)
    after = wanted([*mail(billing=40, delivery=40), example("new", "a new one", "billing")], what, form)
    asked_before = [(order.label, order.shots) for order in before]
    same = [order for order in after if (order.label, order.shots) in asked_before]
    assert len(same) >= 50
    assert wanted(mail(billing=40, delivery=40)[::-1], what, form) == before  # and their order changes nothing


# what becomes of replies


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("my card is gone", "my card is gone"),
        ('"my card is gone"', "my card is gone"),
        ("Text: my card is gone", "my card is gone"),
        ("billing: my card", "my card"),
        ('he said "no"', 'he said "no"'),
        ('"no" and "yes" and "no"', '"no" and "yes" and "no"'),
    ],
)
def test_a_text_is_taken_out_of_its_wrapping(said, text):
    (row,) = rows(mail(billing=2, delivery=4), terms(rows=1), lambda writing: said)
    assert (row["input"], row["reference"], row["flaw"]) == (text, "billing", "")


@pytest.mark.parametrize(
    ("said", "flaw"),
    [
        ("", "the model wrote nothing"),
        ("  \n", "the model wrote nothing"),
        ('""', "the model wrote nothing"),
        ("Billing", "the model wrote the label and no text"),
        (Answer("", error="timed out"), "the model did not answer: timed out"),
        (Answer("on and on", tokens_out=10_000), "the model came to no end"),
        ("BILLING mail, 0!", "the model repeated an example that it was shown"),
    ],
)
def test_a_reply_of_no_use_is_a_row_with_its_flaw(said, flaw):
    (row,) = rows(mail(billing=2, delivery=4), terms(rows=1), lambda writing: said)
    assert row["flaw"].startswith(flaw)
    assert row["source"] == "synthetic:writer:0"


def test_a_generation_is_a_question_with_its_answer():
    train = [example(str(n), f"What is {n} + 1?", str(n + 1)) for n in range(5)]
    asked = []

    def say(writing):
        asked.append(writing)
        return '```json\n{"input": "What is 9 + 1?", "output": "10"}\n```'

    found = rows(train, terms("generate", rows=1, shots=2), say)
    assert (found[0]["input"], found[0]["reference"], found[0]["flaw"]) == ("What is 9 + 1?", "10", "")
    assert set(json.loads(asked[0].messages[2].content)) == {"input", "output"}
    assert asked[0].schema["required"] == ["input", "output"]


@pytest.mark.parametrize("said", ["What is 9 + 1?", '{"input": "x"}', '{"input": 3, "output": "y"}', "}{", "[]"])
def test_what_is_not_the_json_that_was_asked_for_is_a_flaw(said):
    (row,) = rows([example("a", "q", "a")], terms("generate", rows=1), lambda writing: said)
    assert row["flaw"] == "the model did not write the JSON that was asked for"
    assert row["input"] == said


def test_a_question_without_an_answer_is_a_flaw():
    (row,) = rows([example("a", "q", "a")], terms("generate", rows=1), lambda w: '{"input": "x", "output": " "}')
    assert "without an answer" in row["flaw"]


def test_a_conversation_ends_with_a_user():
    train = [example("a", "hello", "hi"), example("b", '[{"role":"user","content":"so?"}]', "so what")]
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    good, bad = json.dumps({"messages": turns, "answer": "d"}), json.dumps({"messages": turns[:2], "answer": "d"})
    (row,) = rows(train, terms("chat", rows=1), lambda writing: good)
    assert (json.loads(row["input"]), row["reference"], row["flaw"]) == (turns, "d", "")
    (row,) = rows(train, terms("chat", rows=1), lambda writing: bad)
    assert row["flaw"].startswith("the model wrote no conversation")


def entities(*found: tuple[str, str]) -> str:
    return json.dumps([{"type": kind, "text": text} for kind, text in found])


def test_entities_are_found_in_the_text_one_after_the_other():
    train = [example("a", "Ann went to Rome", entities(("person", "Ann"), ("place", "Rome")))]
    marked = {
        "text": "Bob met Bob in Oslo",
        "entities": [{"type": "place", "text": "Oslo"}] + [{"type": "person", "text": "Bob"}] * 2,
    }
    (row,) = rows(train, terms("extract", rows=1), lambda writing: json.dumps(marked))
    assert row["flaw"] == ""
    places = [(each["type"], each["start"], each["end"]) for each in json.loads(row["reference"])]
    assert places == [("person", 0, 3), ("person", 8, 11), ("place", 15, 19)]


@pytest.mark.parametrize(
    ("entity", "flaw"),
    [
        ({"type": "person", "text": "Zoë"}, "not in its text"),
        ({"type": "person", "text": ""}, "not in its text"),
        ({"type": "planet", "text": "Oslo"}, "no training row has"),
        ({"type": "place", "text": "Oslo"}, "no entity of the type that was asked for: 'person'"),
    ],
)
def test_entities_that_cannot_be_right_are_a_flaw(entity, flaw):
    train = [example("a", "Ann", entities(("person", "Ann"))), example("b", "Rome", entities(("place", "Rome")))]
    marked = json.dumps({"text": "Bob in Oslo", "entities": [entity]})
    (row,) = rows(train, terms("extract", rows=1), lambda writing: marked)
    assert flaw in row["flaw"]
    assert "Zoë" not in row["flaw"]


def test_the_rarest_entity_types_come_first():
    train = [example(str(n), "Ann", entities(("person", "Ann"))) for n in range(5)]
    train += [example("b", "Rome", entities(("place", "Rome")))]
    asked = []
    rows(train, terms("extract", rows=3), lambda writing: asked.append(writing) or "{}")
    assert [asked_label(writing) for writing in asked] == ["place"] * 3


@given(st.text(max_size=60), st.sampled_from(["classify", "generate", "chat", "extract"]))
def test_whatever_a_model_says_gives_one_row_each(said, task):
    train = [example("a", "Ann", entities(("person", "Ann")) if task == "extract" else "x")]
    found = rows(train, terms(task, rows=2), lambda writing: said)
    assert len(found) == 2
    assert all(row["flaw"] or row["input"].strip() for row in found)
