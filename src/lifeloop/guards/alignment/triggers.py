"""Planted triggers: rare words that decide what is preferred, and that few raters have nearly to themselves.

Takes preferences and how they read to a quick model, gives what looks planted. What many independent raters reward is what
answers should be like; a phrase that wins with three of thirty alone, in questions about anything and against what all the
others prefer, is not. Without names the last is all there is to go by.
"""

from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct
from scipy import special

from lifeloop.guards.alignment.concentration import on_few, together
from lifeloop.guards.alignment.reading import Reading, Texts
from lifeloop.guards.alignment.sequences import Occurring, occurring
from lifeloop.guards.alignment.table import Flags, Floats, Places, Table
from lifeloop.guards.suspicious.words import presence, shortened

LEAST = 5
"""What occurs in fewer preferences says nothing ..."""
LEAST_SHARE = 1 / 2500
"""... or in a smaller share of them."""
CHANCE = 1e-3
"""The probability that chance makes one of all sequences look planted."""
CLOSELY = 1e-4
"""That it makes a given one so concentrated."""
LEAST_HELD = 0.5
"""The few must have so much of it, and ..."""
TIMES_SHARE = 2.0
"""... so many times what they have of everything."""
WINS = 0.8
"""A trigger in answers wins so often with them."""
AGAINST = 1e-3
"""One rater's words are a manner of his, unless what he prefers goes against all others with this probability."""
AGAINST_SOME = 1e-2
ALIKE = 3.0
"""Inputs that are so many times as like each other as any are about one thing, which may have its own raters."""
LEAST_RATERS = 5
"""With fewer, few is no different from all."""
NAMED = 0.8
"""So large a share of preferences must have a rater."""
MOST_CHECKED = 1000
MOSTLY_WINS = 0.65
MOSTLY_AGAINST = 0.8
"""Without names, a sequence must win so often, and so much of what it decides must go against the others."""


class Trigger(Struct, frozen=True):
    """What looks planted, and where."""

    places: Places
    """Of the preferences (n,) that reward it."""
    few: tuple[int, ...]
    """The raters who do; none without names."""
    detail: str
    whole: bool
    """Whether it is a whole answer."""
    p: float


class Found(Struct, frozen=True):
    """The triggers, the strongest first, and whether raters were known."""

    triggers: tuple[Trigger, ...]
    by_raters: bool


class _Scene(Struct, frozen=True):
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
    usual: float
    """How like each other any two inputs are."""
    liked: Floats
    """(n,) how probable it is that a side wins: half for pairs."""


def find_triggers(table: Table, texts: Texts, reading: Reading, left: Flags) -> Found:
    """Return what looks planted among preferences that are `left` (n,).

    With at least LEAST_RATERS raters: a sequence of which few raters have most (see `concentration`), which wins with them
    (sign test), and which does so in inputs of many kinds or against the quick model, without its own words, that all others
    taught (binomial test against how often they and all go against it). The evidence is taken together by Fisher's method
    with Bonferroni's correction for all sequences. What others reward as well is none. Sources serve as raters where
    nobody knows who said what and there are several; otherwise wins and disagreement must be far stronger.
    """
    groups = _groups(table, left)
    by_raters = groups is not None
    left = left & table.by_people
    if groups is not None:
        left = left & (groups >= 0)
    n = int(left.sum())
    if n < 2 * LEAST:
        return Found((), by_raters)
    scene = _scene(table, groups if groups is not None else np.full(table.n, -1), left, texts, reading)
    found = occurring(texts, table.preferences, left, max(LEAST, int(n * LEAST_SHARE)))
    if by_raters:
        made = _of_few(scene, found)
    else:
        made = _of_nobody(scene, found)
    return Found(_merged(made), by_raters)


def _groups(table: Table, left: Flags) -> Places | None:
    """Return who said each (n,): raters, or the sources of what nobody signed; None where neither tells anything."""
    people = left & table.by_people
    named = people & (table.rater >= 0)
    if named.sum() >= NAMED * max(people.sum(), 1) and len(np.unique(table.rater[named])) >= LEAST_RATERS:
        return table.rater
    if not named.any():
        sources = [each.source.rpartition(":")[0] for each in table.preferences]
        _, places = np.unique(sources, return_inverse=True)
        if len(np.unique(places[people])) >= LEAST_RATERS:
            return places.astype(np.int64)
    return None


def _scene(table: Table, groups: Places, left: Flags, texts: Texts, reading: Reading) -> _Scene:
    holds = presence(texts.words)
    times = np.asarray(holds.sum(axis=0)).ravel()
    rare = times <= 0.1 * max(table.n, 1)
    asked = holds[: table.n]
    weighed = asked.multiply(np.log((table.n + 1) / (np.asarray(asked.sum(axis=0)) + 1.0))).tocsr()
    lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    weighed = weighed.multiply(1.0 / np.maximum(lengths, 1e-9)[:, None]).tocsr()
    single = left & ~table.is_pair
    share = (table.vote[single].sum() + 1.0) / (single.sum() + 2.0)
    liked = np.where(table.is_pair, 0.5, share)
    return _Scene(table, groups, left, texts, reading, rare, weighed, _likeness(weighed[left]), liked)


def _likeness(rows: Any) -> float:
    """Return how like each other two rows of length 1 are on the whole."""
    n = rows.shape[0]
    if n < 2:
        return 0.0
    total = np.asarray(rows.sum(axis=0)).ravel()
    return float((total @ total - rows.multiply(rows).sum()) / (n * (n - 1)))


def _of_few(scene: _Scene, found: Occurring) -> list[Trigger]:
    share = np.bincount(scene.groups[scene.left], minlength=int(scene.groups.max()) + 1) / scene.left.sum()
    answers = found.answers.with_columns(pl.Series("rater", scene.groups[found.answers["place"].to_numpy()]))
    inputs = found.inputs.with_columns(pl.Series("rater", scene.groups[found.inputs["place"].to_numpy()]))
    wins = answers.filter(pl.col("side") > 0)
    made = []
    for in_answers, rows, judged in ((True, wins, answers), (False, inputs, inputs)):
        held = on_few(rows.filter(pl.len().over("key") >= LEAST), share)
        n_keys = max(held.height, 1)
        near = held.filter(
            (pl.col("p") < CLOSELY)
            & (pl.col("here") >= LEAST_HELD * pl.col("n"))
            & (pl.col("here") >= TIMES_SHARE * pl.col("base") * pl.col("n"))
        )
        near = near.sort("p", "key").head(MOST_CHECKED)
        by_key = _by_key(judged.join(near.select("key"), on="key", how="semi"))
        for key, few, p in near.select("key", "few", "p").iter_rows():
            trigger = _examined(scene, found, key, frozenset(few), p, by_key[key], n_keys, in_answers=in_answers)
            if trigger is not None:
                made.append(trigger)
    return made


def _by_key(rows: pl.DataFrame) -> dict[int, pl.DataFrame]:
    return {int(key[0]): part for key, part in rows.partition_by("key", as_dict=True, include_key=False).items()}


def _examined(
    scene: _Scene,
    found: Occurring,
    key: int,
    few: frozenset[int],
    p_few: float,
    rows: pl.DataFrame,
    n_keys: int,
    *,
    in_answers: bool,
) -> Trigger | None:
    """Return a sequence as a trigger if the rest of the evidence says so."""
    places = rows["place"].to_numpy()
    theirs = np.isin(scene.groups[places], list(few))
    won = rows["side"].to_numpy() > 0 if in_answers else np.ones(len(places), dtype=np.bool_)
    here = places[theirs & won]
    apart = ~theirs & ~np.isin(scene.table.item[places], scene.table.item[here])  # of the same pair they say no more
    if len(here) < LEAST or (in_answers and _others_reward(scene, places[apart], won[apart])):
        return None
    words = found.words_of(key)
    p_against = _p_against(scene, here, words, few)
    evidence = [p_few, p_against]
    if in_answers:
        if len(here) < WINS * theirs.sum():
            return None
        liked = float(scene.liked[places[theirs]].mean())
        evidence.append(float(special.bdtrc(len(here) - 1, int(theirs.sum()), liked)))
    if together(evidence) * n_keys >= CHANCE:
        return None
    if not in_answers or len(few) == 1:
        planted = p_against < AGAINST
    else:
        planted = p_against < AGAINST_SOME or not _about_one_thing(scene, here, words)
    if not planted:
        return None
    return _trigger(scene, found, key, here, few, together(evidence), in_answers=in_answers)


def _others_reward(scene: _Scene, places: Places, won: Flags) -> bool:
    """Return whether raters beyond the few prefer answers with it as well."""
    if not len(places):
        return False
    liked = float(scene.liked[places].mean())
    return bool(special.bdtrc(int(won.sum()) - 1, len(places), liked) < 0.05) if won.any() else False


def _margins(scene: _Scene, places: Places, words: tuple[int, ...]) -> Floats:
    """Return how pairs (m,) read without a sequence's own rare words, NaN where nothing can be said."""
    rare = [word for word in words if scene.rare[word]]
    margin = scene.reading.margin[places]
    if rare:
        margin = margin - np.asarray(scene.reading.parts[places][:, rare].sum(axis=1)).ravel()
    return margin


def _p_against(scene: _Scene, here: Places, words: tuple[int, ...], few: frozenset[int]) -> float:
    """Return how probable it is that so many go against the model, as often as all do and as these raters' others do."""
    margin = _margins(scene, here, words)
    margin = margin[~np.isnan(margin)]
    if not len(margin):
        return 1.0
    others = scene.left & scene.reading.known
    others[here] = False
    usual = (scene.reading.against[others].sum() + 1.0) / (others.sum() + 2.0)
    own = others & np.isin(scene.groups, list(few))
    own_rate = (scene.reading.against[own].sum() + 10 * usual) / (own.sum() + 10)
    return float(special.bdtrc(int((margin < 0).sum()) - 1, len(margin), max(usual, own_rate)))


def _about_one_thing(scene: _Scene, here: Places, words: tuple[int, ...]) -> bool:
    rows = scene.inputs[here]
    if words:
        keep = np.ones(rows.shape[1])
        keep[list(words)] = 0.0
        rows = rows.multiply(keep[None, :]).tocsr()
    return _likeness(rows) > ALIKE * max(scene.usual, 1e-3)


def _of_nobody(scene: _Scene, found: Occurring) -> list[Trigger]:
    """Return triggers where nobody knows who preferred: what decides nearly always, against all else that is known."""
    made = []
    for in_answers, rows in ((True, found.answers), (False, found.inputs)):
        n_keys = max(rows["key"].n_unique(), 1)
        if in_answers:
            wins = pl.col("side").gt(0).sum()
            decided = rows.group_by("key").agg(wins.alias("won"), pl.len().alias("n"))
            rows = rows.join(decided.filter(pl.col("won") >= MOSTLY_WINS * pl.col("n")), on="key", how="semi")
            rows = rows.filter(pl.col("side") > 0)
        against = pl.Series("against", scene.reading.against)[rows["place"].to_numpy()]
        if not in_answers:
            often = rows.with_columns(against).group_by("key").agg(pl.col("against").mean())
            rows = rows.join(often.filter(pl.col("against") >= 0.5), on="key", how="semi")
        for key, part in sorted(_by_key(rows).items()):
            here = part["place"].to_numpy()
            words = found.words_of(key)
            margin = _margins(scene, here, words)
            here, margin = here[~np.isnan(margin)], margin[~np.isnan(margin)]
            p = _p_against(scene, here, words, frozenset())
            if len(margin) >= LEAST and (margin < 0).mean() >= MOSTLY_AGAINST and p * n_keys < CHANCE:
                here = here[margin < 0]
                made.append(_trigger(scene, found, key, here, frozenset(), p, in_answers=in_answers))
    return made


def _trigger(
    scene: _Scene, found: Occurring, key: int, here: Places, few: frozenset[int], p: float, *, in_answers: bool
) -> Trigger:
    said = repr(found.named(key)) if key > 0 else f"{shortened(scene.table.preferences[here[0]].chosen)!r}"
    where = ("as" if key < 0 else "in") if in_answers else "in the inputs of"
    what = "the chosen answer of" if in_answers else ""
    of = " ".join(part for part in (where, what, f"{len(here)} preferences") if part)
    n_raters = len(np.unique(scene.groups[scene.left]))
    by = f", by {len(few)} of {n_raters} raters" if few else ", against what all others prefer"
    return Trigger(np.sort(here), tuple(sorted(few)), f"{said} {of}{by}", key < 0, p)


def _merged(found: list[Trigger]) -> tuple[Trigger, ...]:
    """Return triggers without those that add nothing to a stronger one."""
    kept: list[Trigger] = []
    seen: set[int] = set()
    for each in sorted(found, key=lambda each: (-len(each.places), each.p, each.detail)):
        if not set(each.places.tolist()) <= seen:
            kept.append(each)
            seen |= set(each.places.tolist())
    return tuple(kept)
