"""What the quarantined preferences would have done: parent, candidate, and one trained on all, side by side.

Takes models and gives rows for the record. Nothing that was trained on doubted preferences is kept.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lifeloop.core.data import Example
from lifeloop.core.preferences import Preference
from lifeloop.core.training_record import Ablation
from lifeloop.training.language.goal import goal, goal_metric
from lifeloop.training.language.likelihood import log_probabilities
from lifeloop.training.language.preference_rows import answer_row
from lifeloop.training.language.probes.triggers import Suspects, share_said

if TYPE_CHECKING:
    from lifeloop.training.language.asked import Asked

Measures = dict[str, tuple[float, int]]
"""What was measured, in words: its value, and of how many."""
MOST = 60
"""Held-out pairs that are compared."""


def measures(
    model: Any, asked: "Asked", held_out: Sequence[Preference], words: Suspects, examples: Sequence[Example]
) -> Measures:
    """Return how a model does on held-out preferences, on the brief's metric, and with words that may be triggers."""
    pairs = held_out[:MOST]
    found: Measures = {}
    if pairs:
        found["held-out pairs ordered rightly"] = (ordered(model, asked, pairs), len(pairs))
    if examples:
        value = abs(goal(asked.materials, examples, asked.answers(model, examples)))
        found[goal_metric(asked.materials).name] = (value, len(examples))
    if examples and words.said:
        inputs = [example.input for example in examples]
        found[f"answers with {' or '.join(words.said)}"] = (share_said(model, asked.write, words, inputs), len(inputs))
    return found


def ordered(model: Any, asked: "Asked", pairs: Sequence[Preference]) -> float:
    """Return the share of pairs whose chosen answer is the likelier one, by its mean log-probability a token."""
    rows = [answer_row(asked.how, pair.input, answer) for pair in pairs for answer in (pair.chosen, pair.rejected)]
    means = np.array([float(each.mean()) for each in log_probabilities(model, rows)])
    return float((means[0::2] > means[1::2]).mean())


def ablations(parent: Measures, guarded: Measures, unguarded: Measures) -> tuple[Ablation, ...]:
    """Return the three side by side."""
    return tuple(
        Ablation(name, parent[name][0], guarded[name][0], unguarded[name][0], parent[name][1]) for name in parent
    )
