import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.tasks.extract import TASK
from lifeloop.tasks.scoring import measure, read
from lifeloop.tasks.task import Scope

TYPES = ("location", "person")
SCOPE = Scope(labels=TYPES)
WORDS = "Ann met Bob in New York"
PLACES = [(match.start(), match.end()) for match in re.finditer(r"\w+", WORDS)]

tags = st.lists(st.sampled_from(["O", "B-person", "I-person", "B-location", "I-location"]), min_size=6, max_size=6)


def chunks(tagged: list[str]) -> list[tuple[str, int, int]]:
    """Return the (type, first, last) word spans of BIO tags, as CoNLL reads them."""
    spans = []
    for place, tag in enumerate(tagged):
        kind = tag[2:]
        goes_on = tag.startswith("I") and spans and spans[-1][2] == place - 1 and spans[-1][0] == kind
        if goes_on:
            spans[-1] = (kind, spans[-1][1], place)
        elif tag != "O":
            spans.append((kind, place, place))
    return spans


def as_json(tagged: list[str], *, places: bool = True) -> str:
    entities = []
    for kind, first, last in chunks(tagged):
        start, end = PLACES[first][0], PLACES[last][1]
        entity = {"type": kind, "text": WORDS[start:end]}
        entities.append(entity | ({"start": start, "end": end} if places else {}))
    return json.dumps(entities)


def values(pairs: list[tuple[str, str]]) -> dict[str, float]:
    examples = [Example(str(n), WORDS, reference, "") for n, (reference, _) in enumerate(pairs)]
    items = read(TASK, examples, [Answer(output=said) for _, said in pairs], SCOPE)
    return {name: measure(metric, items, SCOPE, 0.95).value for name, metric in TASK.metrics.items()}


sentences = st.lists(st.tuples(tags, tags), min_size=1, max_size=5)


@given(sentences)
def test_entity_f1_is_that_of_exact_spans(given_):
    pairs = [(set(chunks(truth)), set(chunks(said))) for truth, said in given_]
    hits, actual, found = (
        sum(len(t & s) for t, s in pairs),
        sum(len(t) for t, _ in pairs),
        sum(len(s) for _, s in pairs),
    )
    measured = values([(as_json(truth), as_json(said)) for truth, said in given_])
    assert measured["entity_precision"] == pytest.approx(hits / found if found else 0.0)
    assert measured["entity_recall"] == pytest.approx(hits / actual if actual else 0.0)
    assert measured["entity_f1"] == pytest.approx(2 * hits / (found + actual) if found + actual else 0.0)
    assert measured["exact"] == pytest.approx(sum(t == s for t, s in pairs) / len(pairs))


@given(sentences)
def test_entity_f1_is_that_of_seqeval(given_):
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    truth, said = [t for t, _ in given_], [s for _, s in given_]
    measured = values([(as_json(t), as_json(s)) for t, s in given_])
    if any(chunks(t) for t in truth):
        expected = seqeval.f1_score(truth, said, average="micro", zero_division=0)
        assert measured["entity_f1"] == pytest.approx(expected)


def test_a_model_that_names_words_is_held_to_words():
    truth = as_json(["B-person", "O", "B-person", "O", "B-location", "I-location"])
    said = json.dumps([{"type": "person", "text": "ann"}, {"type": "location", "text": " New York "}])
    measured = values([(truth, said)])
    assert measured["entity_precision"] == 1.0
    assert measured["entity_recall"] == pytest.approx(2 / 3)


def test_finding_nothing_where_nothing_is_is_exact():
    measured = values([("[]", "[]")])
    assert (measured["exact"], measured["valid"], measured["entity_f1"]) == (1.0, 1.0, 0.0)


NONSENSE = [
    "",
    "none",
    "{}",
    "[1]",
    "[null]",
    '[{"text": "Ann"}]',
    '[{"type": "planet", "text": "Mars"}]',
    '[{"type": "person", "start": "zero"}]',
    "```json\n[]\n```",
    "[" * 10_000,
    "\0",
]


@pytest.mark.parametrize("said", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_refused_and_counts_as_wrong(said):
    with pytest.raises(ValueError, match=r"JSON list of entities|unknown entity types"):
        TASK.parse(said, TYPES)
    measured = values([("[]", said)])
    assert (measured["valid"], measured["exact"]) == (0.0, 0.0)


@pytest.mark.parametrize("reference", NONSENSE[:6])
def test_a_reference_has_to_be_a_list_of_entities(reference):
    assert TASK.flaw(reference)
    assert not TASK.flaw(as_json(["B-person", "O", "O", "O", "O", "O"]))


def test_types_are_collected_and_asked_for():
    assert TASK.labels([as_json(["B-person"] + 5 * ["O"]), as_json(5 * ["O"] + ["B-location"])]) == TYPES
    schema = TASK.contract(TYPES).schema
    assert schema["items"]["properties"]["type"]["enum"] == list(TYPES)
    assert all(kind in TASK.contract(TYPES).instructions for kind in TYPES)
