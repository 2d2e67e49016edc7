import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from task_values import value_of

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.tasks.extract import TASK
from lifeloop.tasks.scoring import read
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
    return {name: value_of(metric, items, SCOPE) for name, metric in TASK.metrics.items()}


sentences = st.lists(st.tuples(tags, tags), min_size=1, max_size=5)


@settings(deadline=None)
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


@settings(deadline=None)
@given(sentences)
def test_entity_f1_is_that_of_seqeval(given_):
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    truth, said = [t for t, _ in given_], [s for _, s in given_]
    measured = values([(as_json(t), as_json(s)) for t, s in given_])
    if any(chunks(t) for t in truth):
        expected = seqeval.f1_score(truth, said, average="micro", zero_division=0)
        assert measured["entity_f1"] == pytest.approx(expected)
        by_type = {kind: [one for t in truth for one in chunks(t) if one[0] == kind] for kind in TYPES}
        report = seqeval.classification_report(truth, said, output_dict=True, zero_division=0)
        worst = min(report[kind]["f1-score"] for kind, found in by_type.items() if found)
        assert measured["worst_type_f1"] == pytest.approx(worst)


@settings(deadline=None)
@given(sentences)
def test_partial_f1_gives_half_a_point_to_overlaps_in_the_best_matching(given_):
    """Against an exhaustive assignment over the words that entities cover."""
    credit, entities = 0.0, 0
    for truth, said in given_:
        actual, predicted = chunks(truth), chunks(said)
        entities += len(actual) + len(predicted)
        worth = np.zeros((len(predicted), len(actual)))
        for row, (kind, first, last) in enumerate(predicted):
            for column, (wanted, begin, end) in enumerate(actual):
                if kind == wanted and first <= end and begin <= last:
                    worth[row, column] = 1.0 if (first, last) == (begin, end) else 0.5
        credit += worth[linear_sum_assignment(-worth)].sum()
    measured = values([(as_json(truth), as_json(said)) for truth, said in given_])
    assert measured["partial_f1"] == pytest.approx(2 * credit / entities if entities else 0.0)
    assert measured["partial_f1"] >= measured["entity_f1"]


def test_an_entity_that_covers_two_is_half_of_one():
    truth = as_json(["O", "O", "B-person", "O", "B-person", "B-person"])
    said = json.dumps([{"type": "person", "text": "Bob in New York", "start": 8, "end": 23}])
    assert values([(truth, said)])["partial_f1"] == pytest.approx(2 * 0.5 / (1 + 3))


def test_words_overlap_where_they_share_one():
    truth = as_json(["B-person", "O", "O", "O", "B-location", "I-location"])
    said = json.dumps([{"type": "location", "text": "New York City"}, {"type": "person", "text": "Anna"}])
    assert values([(truth, said)])["partial_f1"] == pytest.approx(2 * 0.5 / 4)


def test_the_worst_type_is_the_one_with_the_lowest_f1():
    truth = as_json(["B-person", "O", "B-person", "O", "B-location", "I-location"])
    said = as_json(["B-person", "O", "B-person", "O", "B-location", "O"])
    assert values([(truth, said)])["worst_type_f1"] == 0.0
    assert values([(truth, truth)])["worst_type_f1"] == 1.0
    people = as_json(["B-person", "O", "O", "O", "O", "O"])
    assert values([(people, people)])["worst_type_f1"] == 1.0  # no location was there to find


def test_twenty_thousand_entities_in_one_answer_are_matched_in_time():
    said = json.dumps([{"type": "person", "text": "x", "start": n, "end": n + 2} for n in range(20_000)])
    assert 0 < values([(as_json(["B-person", "O", "B-person", "O", "O", "O"]), said)])["partial_f1"] < 0.001


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


def test_a_reference_without_places_counts_each_of_its_entities():
    reference = json.dumps([{"type": "person", "text": name} for name in ("Ann", "Bob", "Cy")])
    silent, placed = "[]", json.dumps([{"type": "person", "text": "Ann", "start": 0, "end": 3}])
    assert values([(reference, silent)])["entity_recall"] == 0.0
    assert values([(reference, placed)])["entity_recall"] == pytest.approx(1 / 3)
    assert values([(reference, silent), (reference, reference)])["entity_recall"] == pytest.approx(1 / 2)
