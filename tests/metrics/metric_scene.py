"""Examples with answers, a judge that reads what it is asked, and metrics made as a trial makes them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lifeloop import plugins
from lifeloop.core.candidates import Answer
from lifeloop.core.data import Example
from lifeloop.metrics.declared import metrics_of
from lifeloop.metrics.metric_kind import Surroundings
from lifeloop.tasks.task import Metric, Scope, Scored


def scored(task: str, rows: Sequence[tuple[str, str, str | None]], labels: tuple[str, ...] = ()) -> list[Scored]:
    """Return (input, reference, output) as scored examples e0, e1, …; an output of None is a failed answer."""
    found = []
    for number, (text, reference, output) in enumerate(rows):
        answer = Answer(output=output or "", error="late" if output is None else "")
        prediction = None if output is None else plugins.get("tasks", task).parse(output, labels)
        found.append(Scored(Example(f"e{number}", text, reference, f"g{number}"), prediction, answer))
    return found


def declared(section: dict[str, Any], folder: Path, task: str = "generate", **around: Any) -> Metric:
    """Return the metric that a section declares, under the name "own"."""
    surroundings = Surroundings(task, around.pop("labels", ()), folder, folder / "responses.sqlite", **around)
    return metrics_of(task, {"own": section}, surroundings)["own"]


def value_of(metric: Metric, items: Sequence[Scored], scope: Scope | None = None) -> float | None:
    """Return the metric's value, or None where it applies to no example."""
    means = means_of(metric, items, scope)
    return None if means is None else float(metric.combine(means))


def means_of(metric: Metric, items: Sequence[Scored], scope: Scope | None = None) -> np.ndarray | None:
    columns = metric.columns(items, scope or Scope())
    kept = columns[~np.isnan(columns).any(axis=1)]
    return kept.mean(axis=0) if len(kept) else None


def parts(asked: dict[str, Any]) -> dict[str, str]:
    """Return what stands between the marks of a judge's question."""
    question = next(turn["content"] for turn in asked["messages"] if turn["role"] == "user")
    pattern = r"\[(?P<name>[\w ]+) (?P<word>\w{10})\]\n(?P<text>.*?)\n\[end of (?P=name) (?P=word)\]"
    return {match["name"]: match["text"] for match in re.finditer(pattern, question, re.DOTALL)}


def overlap(one: str, other: str) -> float:
    a, b = set(one.casefold().split()), set(other.casefold().split())
    return len(a & b) / max(1, len(a | b))


def honest(asked: dict[str, Any]) -> str:
    """Judge by the words that an answer shares with the reference, or that two answers share with the input."""
    found = parts(asked)
    if "answer to judge" in found:
        return str(1 + round(4 * overlap(found["answer to judge"], found["reference answer"])))
    a, b = (overlap(found[f"answer {side}"], found["input"]) for side in "AB")
    return "tie" if a == b else "A" if a > b else "B"
