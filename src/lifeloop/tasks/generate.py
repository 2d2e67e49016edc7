"""Generate: a text that answers a text, compared with a reference answer."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lifeloop.core.candidates import Contract
from lifeloop.core.content import normalise
from lifeloop.tasks.classify import first
from lifeloop.tasks.task import Floats, Metric, Scope, Scored


class Generate:
    """The task that `task = "generate"` names."""

    name = "generate"
    metrics: dict[str, Metric]

    def flaw(self, reference: str) -> str:
        """Return why a reference cannot be an answer, or ""."""
        return "" if reference.strip() else "no reference answer"

    def labels(self, references: Sequence[str]) -> tuple[str, ...]:
        """Return the empty tuple: answers are free."""
        del references
        return ()

    def contract(self, labels: Sequence[str]) -> Contract:
        """Return that any text will do."""
        del labels
        return Contract(instructions="Answer briefly and to the point.", max_tokens=256)

    def parse(self, output: str, labels: Sequence[str]) -> str:
        """Return the text without surrounding space. Raises ValueError where nothing is left."""
        del labels
        if not output.strip():
            raise ValueError("the answer is empty")
        return output.strip()


def _token_f1(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 1): harmonic mean of the words' precision and recall (Rajpurkar et al., 2016)."""
    del scope
    return np.array([[_overlap(item.prediction or "", item.reference)] for item in scored]).reshape(-1, 1)


def _overlap(prediction: str, reference: str) -> float:
    said, wanted = Counter(normalise(prediction).split()), Counter(normalise(reference).split())
    common = (said & wanted).total()
    return 2 * common / (said.total() + wanted.total()) if common else 0.0


def _exact(scored: Sequence[Scored], scope: Scope) -> Floats:
    del scope
    right = [float(normalise(item.prediction or "") == normalise(item.reference)) for item in scored]
    return np.array(right).reshape(-1, 1)


def _chrf(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 1): chrF of each answer, character n-grams up to 6, beta 2 (Popović, 2015), in [0, 1]."""
    del scope
    return np.array([[_character_f(item.prediction or "", item.reference)] for item in scored]).reshape(-1, 1)


def _character_f(prediction: str, reference: str, order: int = 6, beta: float = 2.0) -> float:
    said, wanted = "".join(prediction.split()), "".join(reference.split())
    precision, recall = [], []
    for n in range(1, order + 1):
        a, b = _ngrams(said, n), _ngrams(wanted, n)
        if not a or not b:
            continue
        common = (a & b).total()
        precision.append(common / a.total())
        recall.append(common / b.total())
    p, r = (math.fsum(values) / len(values) if values else 0.0 for values in (precision, recall))
    return (1 + beta**2) * p * r / (beta**2 * p + r) if p + r > 0 else 0.0


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[start : start + n] for start in range(len(text) - n + 1))


def _valid(scored: Sequence[Scored], scope: Scope) -> Floats:
    del scope
    return np.array([[float(item.prediction is not None)] for item in scored]).reshape(-1, 1)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("token_f1", "max", _token_f1, first, "overlap of words with the reference"),
        Metric("chrf", "max", _chrf, first, "overlap of character n-grams with the reference"),
        Metric(
            "exact", "max", _exact, first, "share of answers equal to the reference, apart from case and punctuation"
        ),
        Metric("valid", "max", _valid, first, "share of answers that are not empty"),
    )
}
Generate.metrics = METRICS

TASK = Generate()
