import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.candidates import Answer, Message
from lifeloop.core.data import Example
from lifeloop.tasks import chat
from lifeloop.tasks.generate import TASK
from lifeloop.tasks.scoring import measure, read
from lifeloop.tasks.task import Scope

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
filled = texts.filter(str.strip)


def value(metric: str, said: str, wanted: str) -> float:
    items = read(TASK, [Example("1", "", wanted, "")], [Answer(output=said)], Scope())
    return measure(TASK.metrics[metric], items, Scope(), 0.95).value


@given(texts, filled)
def test_every_metric_lies_between_nothing_and_all(said, wanted):
    for metric in TASK.metrics:
        assert 0.0 <= value(metric, said, wanted) <= 1.0 + 1e-9


@given(filled)
def test_a_text_agrees_with_itself(text):
    for metric in ("chrf", "exact", "valid"):
        assert value(metric, text, text.strip()) == pytest.approx(1.0)


CHRF = [  # sentence_chrf of sacrebleu 2.6 (character order 6, no words, beta 2), over 100
    ("the cat sat on the mat", "the cat is on the mat", 0.645779),
    ("Your parcel arrives on Monday.", "The parcel will arrive on Monday", 0.537159),
    ("yes", "no", 0.0),
    ("completely different words here", "nothing in common at all", 0.109563),
    ("grün", "grau", 0.208333),
]


@pytest.mark.parametrize(("said", "wanted", "expected"), CHRF)
def test_chrf_has_the_published_values(said, wanted, expected):
    assert value("chrf", said, wanted) == pytest.approx(expected, abs=1e-6)


sentences = st.text("abcd efg\n", min_size=1, max_size=30).filter(str.strip)


@given(sentences, sentences)
def test_chrf_is_that_of_sacrebleu(said, wanted):
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    expected = sacrebleu.sentence_chrf(said.strip(), [wanted.strip()]).score / 100
    assert value("chrf", said, wanted.strip()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("said", "wanted", "f1", "exact"),
    [
        ("on Monday", "On Monday!", 1.0, 1.0),
        ("it comes on Monday", "on monday", 2 * 2 / 6, 0.0),
        ("monday monday", "monday", 2 * 1 / 3, 0.0),
        ("never", "on monday", 0.0, 0.0),
    ],
)
def test_words_are_compared_as_a_bag(said, wanted, f1, exact):
    assert value("token_f1", said, wanted) == pytest.approx(f1)
    assert value("exact", said, wanted) == exact


@pytest.mark.parametrize("said", ["", " \n\t"])
def test_an_empty_answer_breaks_the_contract(said):
    with pytest.raises(ValueError, match="empty"):
        TASK.parse(said, ())
    assert [value(metric, said, "x") for metric in ("valid", "exact", "token_f1", "chrf")] == [0.0] * 4


def test_a_failed_answer_is_wrong_whatever_it_says():
    items = read(TASK, [Example("1", "", "yes", "")], [Answer(output="yes", error="timed out")], Scope())
    assert items[0].prediction is None
    assert measure(TASK.metrics["exact"], items, Scope(), 0.95).value == 0.0


# chat: the same metrics, another input


def test_a_conversation_is_read_turn_by_turn():
    turns = '[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]'
    assert chat.conversation(turns) == (Message("user", "hi"), Message("assistant", "hello"))


@given(texts)
def test_any_other_text_is_one_turn_of_the_user(text):
    if not text.lstrip().startswith("[]"):
        assert chat.conversation(text) == (Message("user", text),)


@pytest.mark.parametrize("text", ["[1, 2", "[draft] hello", '[{"role": 3}]', "[" * 5000])
def test_a_text_that_begins_with_a_bracket_is_a_text(text):
    assert chat.conversation(text) == (Message("user", text),)


def test_chat_is_scored_as_generate_is():
    assert chat.TASK.metrics == TASK.metrics
    assert chat.TASK.parse(" hi ", ()) == "hi"
    assert chat.TASK.flaw(" ")
    assert chat.TASK.labels(["a"]) == ()
