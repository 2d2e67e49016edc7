"""What speaks for and against a sequence of words being planted: who else rewards it, what it goes against, and whether
those who have it only have the inputs that it is about.

Takes where a sequence occurs, gives probabilities and answers. What is held against what is for `triggers` to say.
"""

from typing import Any

import numpy as np
from msgspec import Struct
from scipy import special

from lifeloop.guards.alignment.reading import Reading, Texts
from lifeloop.guards.alignment.sequences import MOST_SHARE
from lifeloop.guards.alignment.table import Flags, Floats, Places, Table
from lifeloop.guards.suspicious.words import presence

CLOSELY = 1e-4
"""The probability that chance gives few raters so much of one sequence."""
REWARDED = 0.05
OWN_PRIOR = 10.0
"""Pairs that a few raters are thought to have judged like all others before any of theirs was read."""
NEIGHBOURS = 10
"""Inputs like its own that say what an occurrence is about."""
MOST_ASKED = 100
"""Occurrences of which that is asked."""


class Scene(Struct, frozen=True):
    """What the evidence is taken from."""

    table: Table
    groups: Places
    """(n,) -1 for what belongs to none."""
    left: Flags
    texts: Texts
    reading: Reading
    rare: Flags
    """Words (n_words,) that may be part of a trigger."""
    inputs: Any
    """Which words each input has (n, n_words), each row of length 1."""
    liked: Floats
    """(n,) how probable it is that a side wins: half for pairs."""


def scene_of(table: Table, groups: Places, left: Flags, texts: Texts, reading: Reading) -> Scene:
    """Return what the evidence is taken from; `groups` (n,) says who preferred, -1 for nobody known."""
    holds = presence(texts.words)
    times = np.asarray(holds.sum(axis=0)).ravel()
    rare = times <= MOST_SHARE * max(table.n, 1)
    asked = holds[: table.n]
    weighed = asked.multiply(np.log((table.n + 1) / (np.asarray(asked.sum(axis=0)) + 1.0))).tocsr()
    lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    weighed = weighed.multiply(1.0 / np.maximum(lengths, 1e-9)[:, None]).tocsr()
    single = left & ~table.is_pair
    share = (table.vote[single].sum() + 1.0) / (single.sum() + 2.0)
    liked = np.where(table.is_pair, 0.5, share)
    return Scene(table, groups, left, texts, reading, rare, weighed, liked)


def others_reward(scene: Scene, places: Places, won: Flags) -> bool:
    """Return whether raters beyond the few surely prefer answers with it as well."""
    if not len(places):
        return False
    liked = float(scene.liked[places].mean())
    return bool(special.bdtrc(int(won.sum()) - 1, len(places), liked) < REWARDED) if won.any() else False


def margins(scene: Scene, places: Places, words: tuple[int, ...]) -> Floats:
    """Return how pairs (m,) read without a sequence's own rare words, NaN where nothing can be said."""
    rare = [word for word in words if scene.rare[word]]
    margin = scene.reading.margin[places]
    if rare:
        margin = margin - np.asarray(scene.reading.parts[places][:, rare].sum(axis=1)).ravel()
    return margin


def chance_against(scene: Scene, here: Places, words: tuple[int, ...], few: frozenset[int]) -> float:
    """Return how probable it is that so many go against the model, by how often all do and these raters elsewhere.

    The binomial test; 1 where the model says nothing.
    """
    margin = margins(scene, here, words)
    margin = margin[~np.isnan(margin)]
    if not len(margin):
        return 1.0
    others = scene.left & scene.reading.known
    others[here] = False
    usual = (scene.reading.against[others].sum() + 1.0) / (others.sum() + 2.0)
    own = others & np.isin(scene.groups, list(few))
    own_rate = (scene.reading.against[own].sum() + OWN_PRIOR * usual) / (own.sum() + OWN_PRIOR)
    return float(special.bdtrc(int((margin < 0).sum()) - 1, len(margin), max(usual, own_rate)))


def theirs_by_nature(scene: Scene, places: Places, words: tuple[int, ...], few: frozenset[int]) -> bool:
    """Return whether few raters have a sequence because they have the inputs that it is about.

    What an occurrence is about is told by the other inputs most like its own, but for the sequence. The few may have so
    much of these that they would have the sequence as often by chance.
    """
    some = places[np.linspace(0, len(places) - 1, min(len(places), MOST_ASKED)).astype(np.int64)]
    rows = scene.inputs[some]
    if words:
        keep = np.ones(rows.shape[1])
        keep[list(words)] = 0.0
        rows = rows.multiply(keep[None, :]).tocsr()
    others = np.flatnonzero(scene.left)
    alike = np.asarray((rows @ scene.inputs[others].T).todense())
    alike[scene.table.input[some][:, None] == scene.table.input[others][None, :]] = -1.0
    nearest = np.argpartition(-alike, min(NEIGHBOURS, len(others) - 1), axis=1)[:, :NEIGHBOURS]
    share = float(np.isin(scene.groups[others[nearest]], list(few)).mean())
    n_raters = len(np.unique(scene.groups[scene.left]))
    theirs = int(np.isin(scene.groups[places], list(few)).sum())
    return bool(special.bdtrc(theirs - 1, len(places), share) * special.comb(n_raters, len(few)) >= CLOSELY)
