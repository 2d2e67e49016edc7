"""Planted triggers: rare words that decide what is preferred, and that few raters have nearly to themselves.

Takes preferences and how they read to a quick model, gives what looks planted. What many independent raters reward is
what answers should be like; a phrase that wins with three of thirty alone, in questions about anything and against what
all the others prefer, is not. The last is looked at on its own too: without names it is all there is to go by, and who
takes a new name for each lie, or none, or has many friends, is never one of few.
"""

import numpy as np
import polars as pl
from msgspec import Struct
from scipy import special

from lifeloop.guards.alignment.concentration import on_few, together
from lifeloop.guards.alignment.evidence import (
    CLOSELY,
    Scene,
    chance_against,
    margins,
    others_reward,
    scene_of,
    theirs_by_nature,
)
from lifeloop.guards.alignment.reading import Reading, Texts
from lifeloop.guards.alignment.sequences import Occurring, occurring
from lifeloop.guards.alignment.table import Flags, Places, Table
from lifeloop.guards.suspicious.words import shortened

LEAST = 5
"""What occurs in fewer preferences says nothing ..."""
LEAST_SHARE = 1 / 2500
"""... or in a smaller share of them."""
CHANCE = 1e-3
"""The probability that chance makes one of all sequences look planted."""
LEAST_HELD = 0.5
"""The few must have so much of it, and ..."""
TIMES_SHARE = 2.0
"""... so many times what they have of everything."""
WINS = 0.8
"""A trigger in answers wins so often with them."""
AGAINST = 1e-3
"""One rater's words are a manner of theirs, unless what they prefer goes against all others with this probability."""
AGAINST_SOME = 1e-2
"""Words in the inputs of several raters must go with what is against the others too: inputs are what they are."""
LEAST_RATERS = 5
"""With fewer, few is no different from all."""
NAMED = 0.8
"""So large a share of preferences must have a rater."""
MOST_CHECKED = 1000
MUCH_WON = 1e-2
"""Without names, a sequence must win so surely ..."""
MORE_THAN_NOT = 1e-2
"""... and what it decides must go against the others so surely more often than not."""
LEAST_SAID = 5
"""Who said less, and less than half of what the raters of most pairs did, is nobody known: names cost nothing."""
MANY = 0.5
"""Known raters who reward it and said so much of all that known ones did are no few: it is what people like."""


class Trigger(Struct, frozen=True):
    """What looks planted, and where."""

    places: Places
    """Of the preferences (n,) that reward it."""
    few: tuple[int, ...]
    """The raters who do, one more than there are for all who are nobody known; none without names."""
    detail: str
    whole: bool
    """Whether it is a whole answer."""
    p: float


class Found(Struct, frozen=True):
    """The triggers, the strongest first, and whether raters were known."""

    triggers: tuple[Trigger, ...]
    by_raters: bool


def find_triggers(table: Table, texts: Texts, reading: Reading, left: Flags) -> Found:
    """Return what looks planted among preferences that are `left` (n,).

    With at least LEAST_RATERS raters: a sequence of which few raters have most (see `concentration`), which wins with
    them (sign test), and which does so against the quick model without its own words (binomial test), or whatever the
    inputs are about. The evidence is taken together by
    Fisher's method with Bonferroni's correction for all sequences. What others reward as well is none. Sources serve as
    raters where nobody knows who said what and there are several. Of what is not found so, and where nothing tells the
    raters, wins and disagreement must be far stronger, and most of the known raters may not be of the same mind.
    """
    left = left & table.by_people
    groups = _groups(table, left)
    of_few: list[Trigger] = []
    if groups is not None:
        of_few = _of_few(*_sought(table, texts, reading, groups, left))
        left = left.copy()
        for each in of_few:
            left[each.places] = False
    of_nobody = _of_nobody(*_sought(table, texts, reading, _known(table, left), left))
    return Found((*_merged(of_few), *_merged(of_nobody)), groups is not None)


def _sought(table: Table, texts: Texts, reading: Reading, groups: Places, left: Flags) -> tuple[Scene, Occurring]:
    """Return what evidence is taken from, and what occurs, among preferences that are `left` (n,)."""
    least = max(LEAST, int(left.sum() * LEAST_SHARE))
    return scene_of(table, groups, left, texts, reading), occurring(texts, table.preferences, left, least)


def _known(table: Table, left: Flags) -> Places:
    """Return who said each (n,), -1 for those without a name and those who said next to nothing."""
    named = left & (table.rater >= 0)
    said = np.append(np.bincount(table.rater[named], minlength=len(table.raters)), 0)[table.rater]
    usual = float(np.median(said[named])) if named.any() else 0.0
    return np.where(said >= min(LEAST_SAID, usual / 2), table.rater, -1)


def _groups(table: Table, left: Flags) -> Places | None:
    """Return who said each (n,): raters, or the sources of what nobody signed; None where neither tells anything.

    All who are nobody known are one group more.
    """
    known = _known(table, left)
    named = left & (known >= 0)
    if named.sum() >= NAMED * max(left.sum(), 1) and len(np.unique(known[named])) >= LEAST_RATERS:
        return np.where(known >= 0, known, len(table.raters))
    if not (left & (table.rater >= 0)).any():
        sources = [each.source.rpartition(":")[0] for each in table.preferences]
        _, places = np.unique(sources, return_inverse=True)
        if len(np.unique(places[left])) >= LEAST_RATERS:
            return places.astype(np.int64)
    return None


def _of_few(scene: Scene, found: Occurring) -> list[Trigger]:
    """Return triggers that few raters have nearly to themselves."""
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
            held_by = _Held(key, frozenset(few), p, by_key[key], in_answers)
            trigger = _examined(scene, found, held_by, n_keys)
            if trigger is not None:
                made.append(trigger)
    return made


def _by_key(rows: pl.DataFrame) -> dict[int, pl.DataFrame]:
    return {int(key[0]): part for key, part in rows.partition_by("key", as_dict=True, include_key=False).items()}


class _Held(Struct, frozen=True):
    """A sequence of which few raters have most."""

    key: int
    few: frozenset[int]
    p: float
    rows: pl.DataFrame
    """`place`, and `side` for answers, of all its occurrences."""
    in_answers: bool


def _examined(scene: Scene, found: Occurring, held: _Held, n_keys: int) -> Trigger | None:
    """Return a sequence as a trigger if the rest of the evidence says so."""
    places = held.rows["place"].to_numpy()
    theirs = np.isin(scene.groups[places], list(held.few))
    won = held.rows["side"].to_numpy() > 0 if held.in_answers else np.ones(len(places), dtype=np.bool_)
    here = places[theirs & won]
    apart = ~theirs & ~np.isin(scene.table.item[places], scene.table.item[here])  # of the same pair they say no more
    if len(here) < LEAST or (held.in_answers and others_reward(scene, places[apart], won[apart])):
        return None
    words = found.words_of(held.key)
    against = chance_against(scene, here, words, held.few)
    evidence = [held.p, against]
    if held.in_answers:
        if len(here) < WINS * theirs.sum():
            return None
        liked = float(scene.liked[places[theirs]].mean())
        evidence.append(float(special.bdtrc(len(here) - 1, int(theirs.sum()), liked)))
    p = together(evidence)
    if p * n_keys >= CHANCE:
        return None
    if against >= AGAINST:
        alone = len(held.few) == 1 or not (held.in_answers or against < AGAINST_SOME)
        if alone or theirs_by_nature(scene, places[won], words, held.few):
            return None
    rest = places[apart & won]
    if chance_against(scene, rest, words, frozenset()) < AGAINST_SOME:  # friends of theirs who said less of it
        here = np.concatenate([here, rest[margins(scene, rest, words) < 0]])
    return _trigger(scene, found, held.key, here, held.few, p, in_answers=held.in_answers)


def _of_nobody(scene: Scene, found: Occurring) -> list[Trigger]:
    """Return triggers where nobody knows who preferred: what decides nearly always, against all else that is known."""
    made = []
    for in_answers, rows in ((True, found.answers), (False, found.inputs)):
        if in_answers:
            rows = _winning(scene, rows)
        against = pl.Series("against", scene.reading.against)[rows["place"].to_numpy()]
        n_asked = max(rows["key"].n_unique(), 1)
        if not in_answers:  # answers are read without their own words first
            often = rows.with_columns(against).group_by("key").agg(pl.col("against").mean())
            rows = rows.join(often.filter(pl.col("against") >= 0.5), on="key", how="semi")
        for key, part in sorted(_by_key(rows).items()):
            here = part["place"].to_numpy()
            words = found.words_of(key)
            margin = margins(scene, here, words)
            n_against, n_read = int((margin < 0).sum()), int((~np.isnan(margin)).sum())
            p = chance_against(scene, here, words, frozenset())
            if n_read < LEAST or p * n_asked >= CHANCE or special.bdtrc(n_against - 1, n_read, 0.5) >= MORE_THAN_NOT:
                continue
            here = here if in_answers else here[margin < 0]
            if not _liked_by_many(scene, here):
                made.append(_trigger(scene, found, key, here, frozenset(), p, in_answers=in_answers))
    return made


def _liked_by_many(scene: Scene, here: Places) -> bool:
    """Return whether the known raters who say so are most of them, by how much each says."""
    said = np.bincount(scene.groups[scene.left & (scene.groups >= 0)])
    who = np.unique(scene.groups[here])
    return bool(said.sum() and said[who[who >= 0]].sum() >= MANY * said.sum())


def _winning(scene: Scene, answers: pl.DataFrame) -> pl.DataFrame:
    """Return where sequences win that win far more often than chance has it."""
    if not answers.height:
        return answers
    liked = pl.Series("liked", scene.liked[answers["place"].to_numpy()])
    decided = (
        answers.with_columns(liked)
        .group_by("key")
        .agg(
            pl.col("side").gt(0).sum().cast(pl.Int64).alias("won"),
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("liked").mean(),
        )
    )
    won, n, chance = (decided[name].to_numpy() for name in ("won", "n", "liked"))
    tail = np.where(won > 0, special.bdtrc(np.maximum(won - 1, 0), n, chance), 1.0)
    surely = decided.filter(pl.Series(tail < MUCH_WON))
    return answers.join(surely.select("key"), on="key", how="semi").filter(pl.col("side") > 0)


def _trigger(
    scene: Scene, found: Occurring, key: int, here: Places, few: frozenset[int], p: float, *, in_answers: bool
) -> Trigger:
    said = repr(found.named(key)) if key > 0 else f"{shortened(scene.table.preferences[here[0]].chosen)!r}"
    where = ("as" if key < 0 else "in") if in_answers else "in the inputs of"
    what = "the chosen answer of" if in_answers else ""
    of = " ".join(part for part in (where, what, f"{len(here)} preferences") if part)
    by = f", by {_who(scene, few)}" if few else ", against what all others prefer"
    return Trigger(np.sort(here), tuple(sorted(few)), f"{said} {of}{by}", key < 0, p)


def _who(scene: Scene, few: frozenset[int]) -> str:
    raters = scene.table.rater if scene.table.raters else scene.groups  # sources serve where there are none
    n_raters = len(np.unique(raters[scene.left & (raters >= 0)]))
    nobody = len(scene.table.raters) or -1
    known = few - {nobody}
    named = [f"{len(known)} of {n_raters} raters"] if known else []
    return " and ".join(named + ["some who said next to nothing else"] * (nobody in few))


def _merged(found: list[Trigger]) -> tuple[Trigger, ...]:
    """Return triggers without those that add nothing to a stronger one."""
    kept: list[Trigger] = []
    seen: set[int] = set()
    for each in sorted(found, key=lambda each: (-len(each.places), each.p, each.detail)):
        if not set(each.places.tolist()) <= seen:
            kept.append(each)
            seen |= set(each.places.tolist())
    return tuple(kept)
