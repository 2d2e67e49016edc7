"""What validation decides of a tagger: how readily it sees entities, how sure it is, and how good.

Takes the scores of the words of validation texts, gives a bias, a temperature and the F1 that the task itself counts.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.models.tagger import Decisions, tempered
from lifeloop.models.tagger_bio import decode
from lifeloop.models.tagger_crf import Chain, Scores, best_tags, path_score, totals
from lifeloop.models.tagger_reading import Reading
from lifeloop.tasks.extract import TASK, Entity
from lifeloop.tasks.task import Scope, Scored

BIASES = (0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.0, 2.5, 3.0)
"""What is tried; of equal ones the first."""


def entity_f1(predicted: Sequence[tuple[Entity, ...]], examples: Sequence[Example]) -> float:
    """Return the task's own entity_f1 of predictions."""
    metric = TASK.metrics["entity_f1"]
    scored = [Scored(example, found, Answer("")) for example, found in zip(examples, predicted, strict=True)]
    return float(metric.combine(metric.columns(scored, Scope()).mean(axis=0)))


def entities(
    texts: Sequence[str], readings: Sequence[Reading], tags: Sequence[str], paths: Sequence[Sequence[int]]
) -> list[tuple[Entity, ...]]:
    """Return the entities that paths through the tags of the words stand for."""
    found = []
    for text, reading, path in zip(texts, readings, paths, strict=True):
        places = [
            (one.type, reading.words[one.first][0], reading.words[one.end - 1][1])
            for one in decode([tags[place] for place in path])
        ]
        found.append(tuple(Entity(kind, text[start:end], start, end) for kind, start, end in places))
    return found


def best_bias(
    examples: Sequence[Example],
    readings: Sequence[Reading],
    tags: Sequence[str],
    scores: Sequence[Scores],
    chain: Chain,
) -> tuple[float, float]:
    """Return the bias against "no entity" that gives the best F1, and that F1.

    Names that training never saw are missed more often than invented: what is learnt as probable is then too timid.
    """
    texts, tried = [example.input for example in examples], []
    for bias in BIASES:
        moved, linked = tempered(scores, chain, Decisions((), "spaces", bias))
        tried.append((entity_f1(entities(texts, readings, tags, best_tags(moved, linked)), examples), bias))
    best = max(tried, key=lambda pair: pair[0])
    return best[1], best[0]


def temperature(scores: Sequence[Scores], truth: Sequence[Sequence[int]], chain: Chain, decisions: Decisions) -> float:
    """Return the temperature at which the right tags of held-out texts are likeliest, each text as one label.

    `truth` are the places of the right tags. As Guo et al. (2017), over whole sequences. 1.0 without texts.
    """
    from scipy.optimize import minimize_scalar

    pairs = [(own, path) for own, path in zip(scores, truth, strict=True) if len(path)]
    if not pairs:
        return 1.0

    def loss(log_heat: float) -> float:
        warm = msgspec.structs.replace(decisions, temperature=float(np.exp(log_heat)))
        moved, linked = tempered([own for own, _ in pairs], chain, warm)
        right = [path_score(own, linked, path) for own, (_, path) in zip(moved, pairs, strict=True)]
        return float((totals(moved, linked) - right).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-1.5, 2.5), method="bounded", options={"xatol": 0.02}).x))
