"""What any task has to keep, ours or a plugin's. A new task adds one line to REFERENCES."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Contract
from lifeloop.core.data import Example
from lifeloop.core.evidence import OPERATIONAL
from lifeloop.tasks.scoring import measure_all, read
from lifeloop.tasks.task import Scope, Task

REFERENCES = {
    "classify": ["billing", "delivery", "other"],
    "extract": [
        "[]",
        '[{"type":"person","text":"Ann","start":0,"end":3}]',
        '[{"type":"place","text":"Rome","start":1,"end":5}]',
    ],
    "generate": ["It comes on Monday.", "No.", "Yes, of course"],
    "chat": ["It comes on Monday.", "No.", "Yes, of course"],
}
UNUSABLE = {"classify": "", "extract": "none", "generate": " ", "chat": ""}

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.fixture(params=plugins.names("tasks"))
def task(request: pytest.FixtureRequest) -> Task:
    return plugins.get("tasks", request.param)


def test_every_task_that_is_installed_is_held_to_the_contract():
    assert set(REFERENCES) == set(plugins.names("tasks"))
    assert all(plugins.get("tasks", name).name == name for name in REFERENCES)


def test_references_without_a_flaw_read_as_predictions(task):
    labels = task.labels(REFERENCES[task.name])
    assert list(labels) == sorted(set(labels))
    for reference in REFERENCES[task.name]:
        assert task.flaw(reference) == ""
        task.parse(reference, labels)
    assert task.flaw(UNUSABLE[task.name])


def test_the_contract_says_in_words_what_it_holds_an_output_to(task):
    labels = task.labels(REFERENCES[task.name])
    contract = task.contract(labels)
    assert isinstance(contract, Contract)
    assert contract.instructions
    assert contract.max_tokens > 0
    for label in labels:
        assert label in contract.instructions
    for choice in contract.choices:
        assert task.parse(choice, labels) == choice
    msgspec.json.encode(contract)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_output_is_read_or_refused_and_every_metric_stays_in_range(data):
    for name, references in REFERENCES.items():
        task = plugins.get("tasks", name)
        labels = task.labels(references)
        outputs = st.one_of(any_text, st.sampled_from(references))
        confidences = st.none() | st.floats(0, 1)
        said = data.draw(
            st.lists(
                st.tuples(st.sampled_from(references), outputs, confidences, st.booleans()), min_size=1, max_size=8
            )
        )
        examples = [
            Example(str(n), "text", reference, "", {"channel": "mail"}) for n, (reference, *_) in enumerate(said)
        ]
        answers = [Answer(output, confidence, error="late" if fails else "") for _, output, confidence, fails in said]
        items = read(task, examples, answers, Scope(labels, "other"))
        assert all(item.prediction is None for item, answer in zip(items, answers, strict=True) if answer.error)
        for value in measure_all(task, items, Scope(labels, "other"), 0.95):
            assert -1e-9 <= value.low <= value.high <= 1 + 1e-9
            assert -1e-9 <= value.value <= 1 + 1e-9
            assert 0 < value.n <= len(examples)


def test_every_metric_is_named_as_it_is_listed_and_says_what_it_is(task):
    assert list(task.metrics)
    for name, metric in task.metrics.items():
        assert metric.name == name
        assert metric.direction in ("max", "min")
        assert metric.about
        assert name not in OPERATIONAL


def test_perfect_answers_are_perfect_and_no_answers_are_worst(task):
    references = REFERENCES[task.name] * 4
    scope = Scope(task.labels(references), "other", ("channel=mail",))
    examples = [Example(str(n), "", reference, "", {"channel": "mail"}) for n, reference in enumerate(references)]
    perfect = read(task, examples, [Answer(reference, confidence=1.0) for reference in references], scope)
    silent = read(task, examples, [Answer("", confidence=1.0, error="late") for _ in references], scope)
    best, worst = ({v.metric: v.value for v in measure_all(task, items, scope, 0.95)} for items in (perfect, silent))
    assert set(best) == set(task.metrics)
    for name, metric in task.metrics.items():
        ends = (best[name], worst[name]) if metric.direction == "max" else (worst[name], best[name])
        assert ends[0] == pytest.approx(1.0)
        assert ends[1] == pytest.approx(0.0, abs=0.35)  # an empty list of entities is right where there are none


def test_columns_have_a_row_an_example_and_combine_over_any_leading_axes(task):
    references = REFERENCES[task.name] * 2
    scope = Scope(task.labels(references), "other", ("channel=mail",))
    examples = [Example(str(n), "", reference, "", {"channel": "mail"}) for n, reference in enumerate(references)]
    items = read(task, examples, [Answer(reference, confidence=0.7) for reference in references], scope)
    for metric in task.metrics.values():
        columns = metric.columns(items, scope)
        assert columns.ndim == 2
        assert len(columns) == len(items)
        kept = columns[~np.isnan(columns).any(axis=1)]
        one = float(metric.combine(kept.mean(axis=0)))
        many = metric.combine(np.broadcast_to(kept.mean(axis=0), (2, 3, kept.shape[1])))
        assert many.shape == (2, 3)
        assert np.allclose(many, one)
        assert math.isfinite(one)
        assert metric.columns([], scope).shape[0] == 0
