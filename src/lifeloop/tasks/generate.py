"""Generate: a text that answers a text, compared with a reference answer."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from lifeloop.core.candidates import Contract
from lifeloop.core.content import normalise
from lifeloop.tasks.classify import first
from lifeloop.tasks.task import Floats, Metric, Scope, Scored

Columns = Callable[[Sequence[Scored], Scope], Floats]


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


@lru_cache(maxsize=4096)  # three metrics read the words of each answer, a thousand answers at a time
def _words(text: str) -> tuple[str, ...]:
    """Return the runs of letters and digits, in any script; of a text in ASCII those that rouge-score compares."""
    return tuple(word for word in normalise(text).replace("_", " ").split() if any(map(str.isalnum, word)))


def _rouge_n(n: int) -> Columns:
    """Return the columns (n_examples, 1) of ROUGE-N: F1 of the shared runs of n words (Lin, 2004).

    It does not apply, and the row is NaN, where the reference has fewer words.
    """

    def columns(scored: Sequence[Scored], scope: Scope) -> Floats:
        del scope
        pairs = [(_words(item.prediction or ""), _words(item.reference)) for item in scored]
        return np.array([[_shared_runs(said, wanted, n)] for said, wanted in pairs], dtype=float).reshape(-1, 1)

    return columns


def _shared_runs(said: Sequence[str], wanted: Sequence[str], n: int) -> float:
    if len(wanted) < n:
        return math.nan
    a, b = (Counter(zip(*(words[skip:] for skip in range(n)), strict=False)) for words in (said, wanted))
    return 2 * (a & b).total() / (a.total() + b.total())


def _rouge_l(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 1): F1 of the longest common subsequence of words (Lin, 2004); NaN for a reference without words."""
    del scope
    pairs = [(_words(item.prediction or ""), _words(item.reference)) for item in scored]
    rows = [
        [2 * _common_subsequence(said, wanted) / (len(said) + len(wanted)) if wanted else math.nan]
        for said, wanted in pairs
    ]
    return np.array(rows, dtype=float).reshape(-1, 1)


def _common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, a row of the table in one integer (Hyyrö, 2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << place
    whole = (1 << len(a)) - 1
    row = whole  # a bit is 0 where the table grows by one
    for word in b:
        matched = row & places.get(word, 0)
        row = (row + matched | row - matched) & whole
    return len(a) - row.bit_count()


def _valid(scored: Sequence[Scored], scope: Scope) -> Floats:
    del scope
    return np.array([[float(item.prediction is not None)] for item in scored]).reshape(-1, 1)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("token_f1", "max", _token_f1, first, "overlap of words with the reference"),
        Metric("rouge_1", "max", _rouge_n(1), first, "overlap of words, as rouge-score counts it (F1, no stemming)"),
        Metric("rouge_2", "max", _rouge_n(2), first, "overlap of pairs of words with references of two words or more"),
        Metric("rouge_l", "max", _rouge_l, first, "longest common subsequence of words (F1, no stemming)"),
        Metric("chrf", "max", _chrf, first, "overlap of character n-grams with the reference"),
        Metric(
            "exact", "max", _exact, first, "share of answers equal to the reference, apart from case and punctuation"
        ),
        Metric("valid", "max", _valid, first, "share of answers that are not empty"),
    )
}
Generate.metrics = METRICS

TASK = Generate()
