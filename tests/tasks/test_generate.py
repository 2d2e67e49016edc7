import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_values import value_of

from lifeloop.core.candidates import Answer, Message
from lifeloop.core.data import Example
from lifeloop.tasks import chat
from lifeloop.tasks.generate import TASK
from lifeloop.tasks.scoring import read
from lifeloop.tasks.task import Scope

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
filled = texts.filter(str.strip)


def value(metric: str, said: str, wanted: str) -> float | None:
    items = read(TASK, [Example("1", "", wanted, "")], [Answer(output=said)], Scope())
    return value_of(TASK.metrics[metric], items, Scope())


@given(texts, filled)
def test_every_metric_lies_between_nothing_and_all(said, wanted):
    for metric in TASK.metrics:
        found = value(metric, said, wanted)
        assert metric.startswith("rouge") if found is None else 0.0 <= found <= 1.0 + 1e-9


@given(filled)
def test_a_text_agrees_with_itself(text):
    for metric in ("chrf", "exact", "valid"):
        assert value(metric, text, text.strip()) == pytest.approx(1.0)
    for metric in ("rouge_1", "rouge_2", "rouge_l"):
        assert value(metric, text, text.strip()) in (None, 1.0)


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


@settings(deadline=None)  # the first call imports the oracle
@given(sentences, sentences)
def test_chrf_is_that_of_sacrebleu(said, wanted):
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    expected = sacrebleu.sentence_chrf(said.strip(), [wanted.strip()]).score / 100
    assert value("chrf", said, wanted.strip()) == pytest.approx(expected, abs=1e-6)


words = st.lists(st.sampled_from(["the", "cat", "Sat", "on", "mat.", "it's", "x_y", "2nd", "-"]), max_size=12).map(
    " ".join
)


@settings(deadline=None)
@given(words | st.text(st.characters(codec="ascii")), words | st.text(st.characters(codec="ascii")))
def test_rouge_is_that_of_rouge_score(said, wanted):
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is not installed")
    expected = scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).score(wanted, said)
    for ours, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        found = value(ours, said, wanted)
        if found is None:
            assert expected[theirs].fmeasure == 0.0
        else:
            assert found == pytest.approx(expected[theirs].fmeasure)


def test_rouge_says_nothing_of_references_that_are_too_short_for_it():
    assert value("rouge_2", "yes", "yes") is None
    assert value("rouge_1", "yes", "?!") is None
    assert value("rouge_l", "yes", "?!") is None
    assert value("rouge_2", "yes", "yes please") == 0.0


@pytest.mark.parametrize("text", ["कहाँ है मेरा पार्सल", "أين طردي الآن", "где моя посылка", "Größe und Maß"])
def test_rouge_reads_words_of_any_script(text):
    words = text.split()
    assert value("rouge_l", text, text) == 1.0
    assert value("rouge_1", " ".join(words[1:]), text) == pytest.approx(2 * (len(words) - 1) / (2 * len(words) - 1))


def test_the_longest_common_subsequence_of_long_texts_is_found_in_time():
    text = " ".join(str(n % 97) for n in range(5000))
    assert value("rouge_l", text, text) == 1.0


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
    assert [value(metric, said, "x y") for metric in TASK.metrics] == [0.0] * 7


def test_a_failed_answer_is_wrong_whatever_it_says():
    items = read(TASK, [Example("1", "", "yes", "")], [Answer(output="yes", error="timed out")], Scope())
    assert items[0].prediction is None
    assert value_of(TASK.metrics["exact"], items, Scope()) == 0.0


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
