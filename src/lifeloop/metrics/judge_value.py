"""From what a judge said to the value of its metric: length control, and correction by what people said.

Both are functions of column means, so that intervals and comparisons need to know nothing of them. Knows no judge.
"""

import numpy as np
from msgspec import Struct

from lifeloop.tasks.classify import ratio
from lifeloop.tasks.task import Floats

JUDGED = ("1", "s", "d", "ss", "sd", "dd")
"""Sums over the answers that were judged: s is the judge's score, d how much longer the answer is than wanted."""
RATED = ("1", "s", "d", "h", "ss", "sd", "dd", "sh", "dh", "hh", "gap", "judge yes", "human yes", "both yes")
"""Sums over those that people rated too: h is their score, gap the absolute difference, yes a score of 0.5 or more."""


def moments(scores: Floats, answered: np.ndarray, lengths: Floats, humans: Floats) -> Floats:
    """Return the columns (n, 20); a row of NaN where there is no verdict.

    `scores` (n,) is in [0, 1]; `answered` says which answers did not fail (the others are worth 0, and nobody judged
    them); `lengths` is d; `humans` is h, NaN where nobody rated the answer.
    """
    s, d, rated = scores, lengths, answered & ~np.isnan(humans)
    h = np.where(rated, humans, 0.0)
    judged = np.stack([np.ones(len(s)), s, d, s * s, s * d, d * d], axis=1) * answered[:, None]
    yes, human_yes = s >= 0.5, h >= 0.5
    parts = [np.ones(len(s)), s, d, h, s * s, s * d, d * d, s * h, d * h, h * h, np.abs(s - h), yes, human_yes]
    people = np.stack([*parts, yes & human_yes], axis=1) * rated[:, None]
    return np.where(np.isnan(s)[:, None], np.nan, np.hstack([judged, people]))


class Corrections(Struct, frozen=True):
    """What is done to the judge's mean."""

    length: bool
    people: bool
    binary: bool
    """Whether people say yes or no only."""

    @property
    def any(self) -> bool:
        """Whether anything is."""
        return self.length or self.people

    def remark(self, name: str, means: Floats, n_rated: int, n_unreadable: int) -> str:
        """Return how well judge and people agree, what was corrected, and what is missing."""
        said = []
        if self.people:
            said.append(_agreement(means, n_rated, self.binary) if n_rated else "no answer here was rated by people")
        if n_unreadable:
            said.append(f"{n_unreadable} answers are left out, on which the judge gave no readable verdict")
        return f"{name}: {'; '.join(said)}." if said else ""


def combined(means: Floats, corrections: Corrections) -> Floats:
    """Return the value from column means (..., 20): the share of answers that did not fail, times their mean score.

    Length control is the score that a regression on d expects at d = 0. People's ratings correct it by
    prediction-powered inference, with the trust in the judge tuned to the least variance (PPI++: Angelopoulos, Duchi
    and Zrnic, 2023).
    """
    answered, judged = _per_item(means[..., : len(JUDGED)])
    s, d, ss, sd, dd = np.moveaxis(judged, -1, 0)
    slope = ratio(sd - s * d, _positive(dd - d * d)) if corrections.length else np.zeros_like(s)
    value = s - slope * d
    if corrections.people:
        variance = ss - s * s - 2 * slope * (sd - s * d) + slope**2 * (dd - d * d)
        value = _by_people(means[..., len(JUDGED) :], answered, value, variance, slope)
    return answered * np.clip(value, 0.0, 1.0)


def _by_people(means: Floats, answered: Floats, value: Floats, variance: Floats, slope: Floats) -> Floats:
    """Return the mean that people would give: theirs of the rated answers, moved by how those differ to the judge.

    `value` is the judge's mean over all answers and `variance` its variance; the rated ones are a random part of them.
    """
    share, rated = _per_item(means)
    s, d, h, _, _, _, sh, dh, *_ = np.moveaxis(rated, -1, 0)
    share = ratio(share, answered)
    others = 1.0 - share
    judged = s - slope * d
    together = (sh - s * h) - slope * (dh - d * h)
    trust = np.clip(others * ratio(together, _positive(variance)), 0.0, 1.0)
    rest = np.where(others > 0, ratio(value - share * judged, others), judged)
    return np.where(share > 0, h + trust * (rest - judged), value)


def _per_item(means: Floats) -> tuple[Floats, Floats]:
    """Return the first column, a share, and the means of the other columns over the items of that share."""
    return means[..., 0], ratio(means[..., 1:], means[..., :1])


def _positive(variance: Floats) -> Floats:
    """Return variances with those that are but rounding as 0."""
    return np.where(variance > 1e-12, variance, 0.0)


def _agreement(means: Floats, n_rated: int, binary: bool) -> str:
    _, rated = _per_item(means[len(JUDGED) :])
    s, _, h, ss, _, _, sh, _, hh, gap, judge_yes, human_yes, both = rated.tolist()
    spread = max(0.0, ss - s * s) * max(0.0, hh - h * h)
    parts = [f"on {n_rated} answers that people rated, the judge differs from them by {gap:.2f} on average"]
    parts.append(f"correlation {(sh - s * h) / spread**0.5:.2f}" if spread > 1e-12 else "correlation not defined")
    if binary:
        agree = 1 - judge_yes - human_yes + 2 * both
        chance = judge_yes * human_yes + (1 - judge_yes) * (1 - human_yes)
        parts.append(f"Cohen's kappa {(agree - chance) / (1 - chance):.2f}" if chance < 1 else "kappa not defined")
    return f"{', '.join(parts)}; their ratings correct the value (prediction-powered inference)"
