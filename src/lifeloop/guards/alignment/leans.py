"""Biases in what is preferred: longer answers, those shown first, and raters or subjects that differ from the rest.

Takes preferences and how they read to a quick model, gives each bias with its interval, and weights by which the first
two no longer decide. Length is only corrected where it decides alone: what answers say may make the better one longer.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import special

from lifeloop.core.preferences import Lean
from lifeloop.guards.alignment.reading import Reading, Texts
from lifeloop.guards.alignment.table import Flags, Floats, Table
from lifeloop.stats.multiplicity import holm
from lifeloop.stats.proportions import clopper_pearson

CONFIDENCE = 0.95
SURE = 0.999
"""With which a bias must be shown to be corrected."""
STANDARD_ERRORS = 3.0
LEAST = 50
"""Pairs from which a bias is corrected ..."""
LEAST_SLICE = 20
"""... and from which a slice is compared with the rest."""
LEVEL = 0.01
"""At which a slice differs, with Holm's correction for all that are compared."""
MOST_SLICES = 20
LEAST_WEIGHT = 0.2


class Leaning(Struct, frozen=True):
    """Biases, and the weights (n,) in (0, 1] that correct them."""

    leans: tuple[Lean, ...]
    weights: Floats


def find_leans(table: Table, texts: Texts, reading: Reading, trusted: Flags, *, correct_length: bool) -> Leaning:
    """Return the biases of trusted pairs (n,), and the weights that correct them."""
    pairs = trusted & table.is_pair
    longer = _longer(texts)
    first = np.array([_SHOWN[each.shown_first] for each in table.preferences], dtype=np.float64)
    weights = np.ones(table.n)
    length, by_length = _length(longer, reading, pairs, correct=correct_length)
    position, by_position = _position(first, pairs)
    leans = [lean for lean in (length, position) if lean is not None]
    weights = np.clip(weights * by_length * by_position, LEAST_WEIGHT, 1.0)
    return Leaning((*leans, *_slices(table, longer, reading, pairs)), weights)


_SHOWN = {"": 0.0, "chosen": 1.0, "rejected": -1.0}


def _longer(texts: Texts) -> Floats:
    """Return by how many nats (n,) the chosen answer has more words than the rejected one."""
    size = np.log1p(texts.lengths)
    return np.asarray(size[texts.n : 2 * texts.n] - size[2 * texts.n :], dtype=np.float64)


def _share(name: str, side: Floats, pairs: Flags) -> tuple[Lean | None, int, int]:
    """Return the share of pairs whose chosen answer is on the side above 0, and the counts; ties are left out."""
    n, ahead = int((pairs & (side != 0)).sum()), int((pairs & (side > 0)).sum())
    if not n:
        return None, 0, 0
    low, high = clopper_pearson(ahead, n, CONFIDENCE)
    return Lean(name, ahead / n, low, high, n), ahead, n


def _noted(lean: Lean, note: str) -> Lean:
    return Lean(lean.name, lean.value, lean.low, lean.high, lean.n, note)


def _shown(ahead: int, n: int) -> bool:
    """Return whether a side is surely chosen more often, or less, than half of the time."""
    low, high = clopper_pearson(ahead, n, SURE)
    return n >= LEAST and not low <= 0.5 <= high


def _position(first: Floats, pairs: Flags) -> tuple[Lean | None, Floats]:
    """Return how often what was shown first is chosen; which of two is shown first should mean nothing."""
    lean, ahead, n = _share("position", first, pairs)
    even = np.ones(len(first))
    if lean is None or not _shown(ahead, n):
        return lean and _noted(lean, "no bias is shown"), even
    side = 1.0 if ahead > n / 2 else -1.0
    weight = min(ahead, n - ahead) / max(ahead, n - ahead)
    which = "first" if side > 0 else "second"
    note = f"pairs whose {which} answer was chosen weigh {max(weight, LEAST_WEIGHT):.2f}"
    return _noted(lean, note), np.where(first == side, max(weight, LEAST_WEIGHT), even)


def _length(longer: Floats, reading: Reading, pairs: Flags, *, correct: bool) -> tuple[Lean | None, Floats]:
    """Return how often the longer answer is chosen, and weights where its length alone has to do with it.

    Alone: in a logistic regression of the order on how the pair reads without its length and on the difference of
    lengths, both through the origin, the second weight's interval leaves out 0. Pairs that go with it are weighed by
    half the inverse of the probability that length gives them, so that among pairs that read alike length no longer
    decides.
    """
    lean, ahead, n = _share("length", longer, pairs)
    even = np.ones(len(longer))
    if lean is None:
        return None, even
    if not _shown(ahead, n):
        return _noted(lean, "no bias is shown"), even
    content = np.where(reading.known, reading.margin, 0.0)
    (by_content, weight), error = _beside(content[pairs], longer[pairs])
    if abs(weight) < STANDARD_ERRORS * error or weight * (lean.value - 0.5) <= 0:
        return _noted(lean, "what answers say explains it; left as it is"), even
    if not correct:
        return _noted(lean, "length alone is rewarded; left as it is"), even
    goes_with = pairs & (weight * longer > 0)
    without = special.expit(by_content * content)
    ratio = without / special.expit(by_content * content + weight * longer)
    weights = np.where(goes_with, np.maximum(ratio, LEAST_WEIGHT), even)
    side = "longer" if weight > 0 else "shorter"
    changed = weights[goes_with]
    return _noted(lean, f"{side} answers that were chosen weigh {changed.mean():.2f} on average"), weights


def _beside(content: Floats, longer: Floats) -> tuple[tuple[float, float], float]:
    """Return the weights of content and length in what is chosen, and the latter's standard error (Newton's method)."""
    x = np.stack([content, longer], axis=1)
    beta = np.zeros(2)
    hessian = np.eye(2)
    for _ in range(50):
        p = special.expit(x @ beta)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (1 - p) - 1e-3 * beta)
        beta = np.clip(beta + step, -20.0, 20.0)
        if np.abs(step).max() < 1e-9:
            break
    return (float(beta[0]), float(beta[1])), float(np.sqrt(np.linalg.inv(hessian)[1, 1]))


def _slices(table: Table, longer: Floats, reading: Reading, pairs: Flags) -> list[Lean]:
    """Return raters and subjects that choose the longer answer, or agree with the quick model, unlike the rest."""
    columns = {
        "rater": [each.rater for each in table.preferences],
        "subject": [each.subject for each in table.preferences],
    }
    measures = {
        "length": (pairs & (longer != 0), longer > 0, "chooses the longer answer"),
        "agreement": (pairs & reading.known, reading.margin > 0, "prefers what the others do"),
    }
    found: list[tuple[float, Lean]] = []
    for column, values in columns.items():
        for measure, (asked, yes, says) in measures.items():
            found += _compared(column, np.array(values), measure, asked, yes, says)
    if not found:
        return []
    adjusted = holm([p for p, _ in found])
    differing = [(p, lean) for p, (_, lean) in zip(adjusted, found, strict=True) if p < LEVEL]
    return [lean for _, lean in sorted(differing, key=lambda each: (each[0], each[1].name))[:MOST_SLICES]]


def _compared(
    column: str, values: NDArray[np.str_], measure: str, asked: Flags, yes: Flags, says: str
) -> Sequence[tuple[float, Lean]]:
    """Return the p-value and share of each value: a test of two proportions, it and all the rest."""
    found = []
    n_all, yes_all = int(asked.sum()), int((asked & yes).sum())
    for value in np.unique(values[asked & (values != "")]).tolist():
        here = asked & (values == value)
        n, ahead = int(here.sum()), int((here & yes).sum())
        rest, ahead_rest = n_all - n, yes_all - ahead
        if min(n, rest) < LEAST_SLICE:
            continue
        pooled = (yes_all + 1.0) / (n_all + 2.0)
        distance = ahead / n - ahead_rest / rest
        p = 2.0 * float(special.ndtr(-abs(distance) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / rest))))
        low, high = clopper_pearson(ahead, n, CONFIDENCE)
        note = f"{says} in {ahead / n:.0%} of pairs, the rest in {ahead_rest / rest:.0%}"
        found.append((p, Lean(f"slice:{column} {value} {measure}", ahead / n, low, high, n, note)))
    return found
