"""Classify: one label out of a fixed set, with an optional label that means "none of the others"."""

from collections.abc import Sequence

import numpy as np

from lifeloop.core.candidates import Contract
from lifeloop.core.content import normalise
from lifeloop.tasks.task import Floats, Metric, Scope, Scored


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
    """Return (n, 3 * n_labels): true positives, predicted and actual, one column a label."""
    labels = sorted({item.reference for item in scored} | set(scope.labels))
    place = {label: index for index, label in enumerate(labels)}
    columns = np.zeros((len(scored), 3, len(labels)))
    for row, item in enumerate(scored):
        columns[row, 2, place[item.reference]] = 1
        if item.prediction in place:
            columns[row, 1, place[item.prediction]] = 1
            columns[row, 0, place[item.prediction]] = item.prediction == item.reference
    return columns.reshape(len(scored), 3 * len(labels))


def _macro_f1(means: Floats) -> Floats:
    hit, predicted, actual = np.moveaxis(means.reshape(*means.shape[:-1], 3, -1), -2, 0)
    total = predicted + actual
    f1 = np.divide(2 * hit, total, out=np.zeros_like(total), where=total > 0)
    seen = actual > 0
    return f1.sum(-1, where=seen) / np.maximum(seen.sum(-1), 1)


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
