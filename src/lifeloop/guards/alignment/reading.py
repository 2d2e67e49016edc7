"""A quick model of what is preferred, by which guards tell who or what goes against all the others.

Takes preferences, gives how far a model that has not seen a pair's input agrees with its order. It knows words and a
few measures of each answer, and only words that many raters met: what few raters push teaches it nothing.
"""

from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.content import fraction
from lifeloop.guards.alignment.table import Flags, Floats, Places, Table
from lifeloop.guards.suspicious.words import Words, presence, read_texts, words_of

N_FOLDS = 5
LEAST_PAIRS = 50
"""Of fewer pairs nothing is learnt."""
MOST_CHARS = 40_000_000
MOST_WORDS = 20_000
LEAST_TIMES = 3
"""A word must make a difference in so many pairs to be known."""
SHARE_OF_RATERS = 0.35
"""And it must have come to so large a share of the raters, each counted by how much they say."""
STRENGTHS = (0.3, 0.03)
"""Inverses of the regularisation, of which the one that reads the other folds better is taken."""
INPUT, CHOSEN, REJECTED = 0, 1, 2


class Texts(Struct, frozen=True):
    """The words of all texts. Text t is of preference t % n: the input, then the chosen, then the rejected answer."""

    words: Words
    n: int
    lengths: NDArray[np.int64]
    """Words of each text (3 n,)."""
    difference: Any
    """(n, n_words) sparse: 1 where only the chosen answer has the word, -1 where only the rejected one does."""


class Reading(Struct, frozen=True):
    """How pairs read to a model of the other folds. NaN where nothing can be said."""

    margin: Floats
    """(n,) above 0 where the chosen answer seems the better one, in nats after calibration."""
    parts: Any
    """(n, n_words) sparse: what each word adds to the margin."""
    accuracy: float
    """Share of the pairs that it agrees with, 0.5 where there is no model."""
    n_read: int

    @property
    def known(self) -> Flags:
        """Which pairs it says something of (n,)."""
        return ~np.isnan(self.margin)

    @property
    def against(self) -> Flags:
        """Which pairs it would turn round (n,)."""
        return self.known & (self.margin < 0)


def texts_of(table: Table) -> Texts:
    """Return the words of all inputs and answers; of very long ones, those at both ends."""
    given = table.preferences
    whole = pl.Series(
        "text",
        [each.input for each in given] + [each.chosen for each in given] + [each.rejected for each in given],
        dtype=pl.String,
    )
    read = read_texts(whole.gather, pl.Series(range(len(whole)), dtype=pl.Int64), MOST_CHARS)
    words = words_of(read)
    lengths = np.bincount(words.text, minlength=3 * table.n)
    return Texts(words, table.n, lengths, _difference(words, table))


def _difference(words: Words, table: Table) -> Any:
    holds = presence(words)
    if not table.n:
        return holds
    difference = (holds[table.n : 2 * table.n] - holds[2 * table.n :]).tocsr()
    difference.eliminate_zeros()
    return difference


def read_pairs(table: Table, texts: Texts, left: Flags, seed: int = 0) -> Reading:
    """Return how all pairs read to a model of those that are `left` (n,).

    Logistic regression on the difference of two answers (Bradley and Terry, 1952), by five folds of inputs, so that a
    pair is not read by a model that has seen it, and its confidence tempered (Guo et al., 2017).
    """
    n_words = texts.difference.shape[1]
    nothing = Reading(np.full(table.n, np.nan), texts.difference * 0.0, 0.5, 0)
    taught = left & table.is_pair
    if taught.sum() < LEAST_PAIRS:
        return nothing
    known = _widespread(table, texts, taught)
    features = _features(texts, known)
    folds = np.array([int(N_FOLDS * fraction(f"fold of {each.input}", seed)) for each in table.preferences])
    best = nothing, np.inf
    for strength in STRENGTHS:
        margin = np.full(table.n, np.nan)
        weights = np.zeros((N_FOLDS, n_words))
        for fold in range(N_FOLDS):
            held_out = (folds == fold) & table.is_pair
            train = (folds != fold) & taught
            if held_out.any() and train.sum() >= LEAST_PAIRS // 2:
                learnt = _learnt(features[train], strength)
                margin[held_out] = features[held_out] @ learnt
                weights[fold, known] = learnt[: len(known)]
        told = margin[taught & ~np.isnan(margin)]
        if len(told):
            heat, surprise = _heat(told)
            if surprise < best[1]:
                best = _reading(texts, margin * heat, weights * heat, folds, told), surprise
    return best[0]


def _reading(texts: Texts, margin: Floats, weights: Floats, folds: Places, told: Floats) -> Reading:
    parts = texts.difference.copy()
    row = np.repeat(np.arange(texts.n), np.diff(parts.indptr))
    parts.data = parts.data * weights[folds[row], parts.indices]
    return Reading(margin, parts, float((told > 0).mean()), len(told))


def _widespread(table: Table, texts: Texts, taught: Flags) -> Places:
    """Return the words that are frequent enough, and that came to many raters where raters are known."""
    from scipy.sparse import csr_matrix

    held = texts.difference[taught]
    times = np.bincount(held.indices, minlength=held.shape[1])
    usable = times >= LEAST_TIMES
    named = table.rater[taught] >= 0
    n_named = np.bincount(table.rater[taught][named], minlength=len(table.raters)).astype(np.float64)
    if named.sum() >= 0.5 * len(named) and (n_named > 0).sum() >= 3:
        here = np.flatnonzero(named)
        member = csr_matrix((np.ones(len(here)), (table.rater[taught][named], here)), (len(table.raters), len(named)))
        counts = member @ abs(held)
        squares = np.asarray(counts.multiply(counts).sum(axis=0)).ravel()
        totals = np.asarray(counts.sum(axis=0)).ravel()
        several = n_named.sum() ** 2 / (n_named @ n_named)
        usable &= totals**2 >= SHARE_OF_RATERS * several * np.maximum(squares, 1e-9)
    known = np.flatnonzero(usable)
    return known[np.argsort(-times[known], kind="stable")[:MOST_WORDS]]


def _features(texts: Texts, known: Places) -> Any:
    """Return features (n, n_known + 2) of the chosen answer minus the rejected one's: words, then the logarithm
    of how many there are, whether it has more numbers, and how much of it is in the input.
    """
    from scipy.sparse import csr_matrix, hstack

    n = texts.n
    numbers = _digits(texts.words)
    marks = np.bincount(texts.words.text, numbers[texts.words.word], 3 * n)
    asked = _shared_with_input(texts)
    measures = [np.sign(marks[n : 2 * n] - marks[2 * n :]), asked]
    return hstack([texts.difference[:, known], csr_matrix(np.stack(measures, axis=1))], format="csr")


def _digits(words: Words) -> Floats:
    return words.vocabulary.str.contains(r"\d").cast(pl.Float64).to_numpy()


def _shared_with_input(texts: Texts) -> Floats:
    """Return how much larger a share (n,) of the chosen answer's words than of the rejected one's is in the input."""
    n, words = texts.n, texts.words
    which, of = words.text // n, words.text % n
    size = max(words.vocabulary.len(), 1)
    asked = np.unique((of * size + words.word)[which == INPUT])
    share = []
    for part in (CHOSEN, REJECTED):
        here = which == part
        held = np.isin(of[here] * size + words.word[here], asked)
        share.append(np.bincount(of[here], held, n) / np.maximum(np.bincount(of[here], minlength=n), 1))
    return share[0] - share[1]


def _learnt(features: Any, strength: float) -> Floats:
    """Return the weights of logistic regression through the origin: each pair once, every other one turned round."""
    from scipy.sparse import diags
    from sklearn.linear_model import LogisticRegression

    turn = np.where(np.arange(features.shape[0]) % 2, 1.0, -1.0)
    model = LogisticRegression(C=strength, fit_intercept=False, solver="lbfgs", max_iter=300, tol=1e-3)
    model.fit(diags(turn) @ features, turn > 0)
    return np.asarray(model.coef_.ravel(), dtype=np.float64)


def _heat(margin: Floats) -> tuple[float, float]:
    """Return by what margins are multiplied for their orders to be likeliest, and how surprising these then are."""
    from scipy.optimize import minimize_scalar

    def surprise(log_heat: float) -> float:
        return float(np.logaddexp(0.0, -margin * np.exp(log_heat)).mean())

    found = minimize_scalar(surprise, bounds=(-6.0, 4.0), method="bounded")
    return float(np.exp(found.x)), float(found.fun)
