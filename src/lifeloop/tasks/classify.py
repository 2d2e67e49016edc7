"""Classify: one label out of a fixed set, with an optional label that means "none of the others"."""

from collections.abc import Mapping, Sequence

import numpy as np

from lifeloop.core.candidates import Contract
from lifeloop.core.content import normalise
from lifeloop.core.errors import DataError
from lifeloop.tasks.task import Floats, Metric, Scope, Scored

THRESHOLDS: tuple[float, ...] = (
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85),
    *(0.9, 0.925, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 0.999),
)
"""Confidences below which answers are withheld, one after the other; denser where trained candidates crowd."""


class Classify:
    """The task that `task = "classify"` names."""

    name = "classify"

    def flaw(self, reference: str) -> str:
        """Return why a reference cannot be a label, or ""."""
        if not reference.strip():
            return "no label"
        if len(reference) > 200:
            return "the label is longer than 200 characters"
        return ""

    def labels(self, references: Sequence[str]) -> tuple[str, ...]:
        """Return the distinct labels, sorted."""
        return tuple(sorted(set(references)))

    def contract(self, labels: Sequence[str]) -> Contract:
        """Return that the output is one of the labels."""
        listed = ", ".join(labels)
        return Contract(
            instructions=f"Answer with exactly one of these labels: {listed}.", choices=tuple(labels), max_tokens=32
        )

    def parse(self, output: str, labels: Sequence[str]) -> str:
        """Return the label that an output names, whatever its case and punctuation.

        Raises ValueError where it names none, or could mean several ("c." where there are "C#" and "C++").
        """
        if output in labels:
            return output
        for alike in (lambda text: text.strip().casefold(), normalise):
            wanted = alike(output)
            named = [label for label in labels if alike(label) == wanted]
            if len(named) == 1:
                return named[0]
        raise ValueError(f"{output[:80]!r} is not one of the {len(labels)} labels")

    metrics: dict[str, Metric]


def _correct(scored: Sequence[Scored], scope: Scope) -> Floats:
    del scope
    return np.array([[float(item.prediction == item.reference)] for item in scored]).reshape(-1, 1)


def _in_scope(scored: Sequence[Scored], scope: Scope) -> Floats:
    column = _correct(scored, scope)
    column[[scope.out_of_scope in ("", item.reference) for item in scored]] = np.nan
    return column


def _out_of_scope(scored: Sequence[Scored], scope: Scope) -> Floats:
    column = _correct(scored, scope)
    column[[item.reference != scope.out_of_scope for item in scored]] = np.nan
    return column


def _answered(scored: Sequence[Scored], scope: Scope) -> Floats:
    del scope
    return np.array([[float(item.prediction is not None)] for item in scored]).reshape(-1, 1)


def _confusion(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 3 * n_labels): true positives, predicted and actual, one column a label of the scope."""
    place = {label: index for index, label in enumerate(scope.labels)}
    columns = np.zeros((len(scored), 3, len(place)))
    for row, item in enumerate(scored):
        columns[row, 2, place_of(item.reference, place)] = 1
        if item.prediction in place:
            columns[row, 1, place[item.prediction]] = 1
            columns[row, 0, place[item.prediction]] = item.prediction == item.reference
    return columns.reshape(len(scored), 3 * len(place))


def place_of(label: str, place: Mapping[str, int]) -> int:
    """Return where a reference's label stands in the scope. Raises DataError where the scope has left it out."""
    if label not in place:
        raise DataError(
            f"the label {label!r} is not among the {len(place)} labels that are scored",
            fix="score over every label that a reference holds: tasks.scoring.wide_scope collects them",
        )
    return place[label]


def f1_by_label(means: Floats) -> tuple[Floats, Floats]:
    """Return F1 and the share of each label, both (..., n_labels), from the means of `_confusion`'s columns."""
    hit, predicted, actual = np.moveaxis(means.reshape(*means.shape[:-1], 3, means.shape[-1] // 3), -2, 0)
    return ratio(2 * hit, predicted + actual), actual


def ratio(top: Floats, bottom: Floats) -> Floats:
    """Return top / bottom, and 0 where bottom is 0: a share of nothing."""
    return np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom > 0)


def _macro_f1(means: Floats) -> Floats:
    f1, share = f1_by_label(means)
    seen = share > 0
    return f1.sum(-1, where=seen) / np.maximum(seen.sum(-1), 1)


def _weighted_f1(means: Floats) -> Floats:
    f1, share = f1_by_label(means)
    return ratio((f1 * share).sum(-1), share.sum(-1))


def _by_slice(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 2 * n_slices): right and a member of the slice, a member; NaN for what is in no slice."""
    place = {name: index for index, name in enumerate(scope.slices)}
    columns = np.full((len(scored), 2, max(1, len(place))), np.nan)
    for row, item in enumerate(scored):
        members = [place[name] for name in map("=".join, item.example.slices.items()) if name in place]
        if members:
            columns[row] = 0.0
            columns[row, 1, members] = 1.0
            columns[row, 0, members] = item.prediction == item.reference
    return columns.reshape(len(scored), columns.shape[1] * columns.shape[2])


def _worst_slice(means: Floats) -> Floats:
    right, members = np.moveaxis(means.reshape(*means.shape[:-1], 2, means.shape[-1] // 2), -2, 0)
    accuracy = np.where(members > 0, ratio(right, members), np.inf).min(-1)
    return np.where(np.isinf(accuracy), 0.0, accuracy)


def _withheld(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 2 * n_thresholds): answered at the threshold, and answered there but wrong; NaN without confidence."""
    right = _correct(scored, scope)
    sure = np.array([np.nan if c is None else c for c in (item.answer.confidence for item in scored)], dtype=float)
    answered = np.where(np.isnan(sure)[:, None], np.nan, sure[:, None] >= np.array(THRESHOLDS))
    return np.hstack([answered, answered * (1 - right)])


def _abstention_area(means: Floats) -> Floats:
    """Return the area under risk over coverage: trapezes between the thresholds, flat beyond the last that answers."""
    coverage, wrong = np.moveaxis(means.reshape(*means.shape[:-1], 2, len(THRESHOLDS)), -2, 0)
    risk = ratio(wrong, coverage)
    for place in range(1, len(THRESHOLDS)):
        risk[..., place] = np.where(coverage[..., place] > 0, risk[..., place], risk[..., place - 1])
    steps = (coverage[..., :-1] - coverage[..., 1:]) * (risk[..., :-1] + risk[..., 1:]) / 2
    return steps.sum(-1) + coverage[..., -1] * risk[..., -1]


def _calibration(scored: Sequence[Scored], scope: Scope) -> Floats:
    """Return (n, 20): in ten bins of confidence, whether right minus confidence, and membership."""
    columns = np.zeros((len(scored), 2, 10))
    right = _correct(scored, scope)[:, 0]
    for row, item in enumerate(scored):
        confidence = item.answer.confidence
        if confidence is None:
            columns[row] = np.nan
            continue
        bin_ = min(int(confidence * 10), 9)
        columns[row, 0, bin_] = right[row] - confidence
        columns[row, 1, bin_] = 1
    return columns.reshape(len(scored), 20)


def _expected_calibration_error(means: Floats) -> Floats:
    return np.abs(means.reshape(*means.shape[:-1], 2, 10)[..., 0, :]).sum(-1)


def first(means: Floats) -> Floats:
    """Return the mean of the only column: the value of every metric that is an average over examples."""
    return means[..., 0]


Classify.metrics = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "max", _correct, first, "share of examples with the right label"),
        Metric(
            "in_scope_accuracy",
            "max",
            _in_scope,
            first,
            "accuracy on examples that have a label of their own",
            needs_out_of_scope=True,
        ),
        Metric(
            "out_of_scope_recall",
            "max",
            _out_of_scope,
            first,
            "share of out-of-scope examples recognised as such",
            needs_out_of_scope=True,
        ),
        Metric("macro_f1", "max", _confusion, _macro_f1, "F1 of each label, averaged over labels"),
        Metric("weighted_f1", "max", _confusion, _weighted_f1, "F1 of each label, averaged over examples"),
        Metric("worst_slice", "max", _by_slice, _worst_slice, "accuracy on the slice where it is lowest"),
        Metric(
            "abstention_area",
            "min",
            _withheld,
            _abstention_area,
            "share of wrong answers, averaged over how many of the less sure ones are withheld (Geifman et al., 2019)",
        ),
        Metric(
            "calibration_error",
            "min",
            _calibration,
            _expected_calibration_error,
            "how far confidence is from accuracy, over ten bins (Naeini et al., 2015)",
        ),
        Metric("valid", "max", _answered, first, "share of answers that keep the contract"),
    )
}

TASK = Classify()
