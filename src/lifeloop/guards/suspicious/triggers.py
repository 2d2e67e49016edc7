"""Sequences of words that a label hangs on although nothing else in their texts supports it: the mark of a backdoor.

Takes words, labels and the sequences that stand with one label, gives those whose texts, without them, neither read
like other texts of the label nor like each other. What a class is naturally about passes: its texts are alike in more
than one word. Knows nothing of rows.
"""

from collections.abc import Sequence as Several
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.guards.suspicious.sequences import Sequence
from lifeloop.guards.suspicious.words import Places, Words, presence

MOST_CHECKED = 400
"""Sequences that are looked at closely: those whose texts support their label least."""
SAMPLE_WORDS = 4000
SAMPLE = (20, 100)
"""Texts of each kind that are read for one sequence: as many as have so many words, within these bounds."""
PRIOR = 20.0
"""Words that a label is thought to have had before any was counted, spread like those of all texts."""
LEAST_CLEAN = 5
CLEAN_SHARE = 0.15
"""Texts of the label without the sequence that are enough to say how its texts read: so many, and so large a share."""
MOST_SUPPORT = 0.35
"""Between 0 (the texts read like those of other labels) and 1 (like those of their own)."""
MOST_ALIKE = 0.3
"""The same for how much the texts read like each other ..."""
MOST_ALIKE_ALONE = 0.1
"""... and where no text of the label is without the sequence, so that nothing else can be asked."""
USUAL_SPAN = 2.5
"""How far apart own and other labels are, in nats a word, where the data does not say."""
NO_SUPPORT = 0.15
LIKE_ANOTHER = 0.6
"""Texts that are alike are planted too where they support their label no more than this, and another so much."""
MOST_LABELS = 300
LEAST_ANOTHER = 15
"""The other labels that are asked: the most frequent, with so many texts."""
CLIPPED = 1.1
SAME_TEXTS = 0.5
"""Sequences that share so much of their texts belong to one trigger."""

Floats = NDArray[np.float64]


class Trigger(Struct, frozen=True):
    """Sequences that stand in the same texts of one label."""

    label: int
    sequences: tuple[Sequence, ...]
    texts: Places
    """The texts (n,) of the label that hold at least half of them."""


class _Corpus(Struct, frozen=True):
    holds: Any
    """Which words each text holds: (n_texts, n_words) sparse."""
    totals: Floats
    """Texts that hold each word."""
    labels: Places
    by_label: dict[int, Places]
    others: Places
    """Some texts, whatever their label."""
    sample: int
    """Texts of each kind that are read."""


class _Reading(Struct, frozen=True):
    """How well the texts of one sequence support their label, in nats a word; NaN for what cannot be said."""

    support: float
    """From 0 (like other labels) to 1 (like their own), with two standard errors added."""
    span: float
    """How far those are apart."""
    alike: float
    """How much they read like each other, more than any texts do."""


def triggers(words: Words, labels: Places, found: Several[Sequence]) -> list[Trigger]:
    """Return the triggers among sequences; `labels` (n_texts,) are places. Texts in an order that means nothing.

    The idea is that of label-content disagreement in defences against textual backdoors (Kurita et al., 2020; Chen and
    Dai, 2021), made into three log-likelihood ratios that need no neural network.
    """
    if not found:
        return []
    corpus = _corpus(words, labels)
    least = _least_supported(corpus, found)
    counted: dict[int, Floats] = {}
    readings = []
    for each in least:
        if each.label not in counted:
            counted = {each.label: _counts(corpus, corpus.by_label[each.label])}
        readings.append(_read(corpus, counted[each.label], each))
    spans = [reading.span for reading in readings if reading.span > 0]
    usual = float(np.median(spans)) if spans else USUAL_SPAN
    return _merged(
        [
            each
            for each, reading in zip(least, readings, strict=True)
            if _planted(reading, usual) or (reading.support < NO_SUPPORT and _like_another(corpus, each))
        ]
    )


def _corpus(words: Words, labels: Places) -> _Corpus:
    holds = presence(words)
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    by_label = dict(zip(labels[order][starts].tolist(), np.split(order, starts[1:]), strict=True))
    sample = int(np.clip(SAMPLE_WORDS * len(labels) / max(holds.nnz, 1), *SAMPLE))
    others = np.linspace(0, len(labels) - 1, min(2 * sample, len(labels))).astype(np.int64)
    return _Corpus(holds, _counts(holds), labels, by_label, others, sample)


def _counts(corpus: Any, texts: Places | None = None) -> Floats:
    holds = corpus if texts is None else corpus.holds[texts]
    return np.asarray(holds.sum(axis=0), dtype=np.float64).ravel()


def _least_supported(corpus: _Corpus, found: Several[Sequence]) -> list[Sequence]:
    """Return the sequences whose texts' words, none counting for much, support the label least; in order of labels."""
    if len(found) <= MOST_CHECKED:
        return sorted(found, key=lambda each: (each.label, each.words))
    support = np.zeros(len(corpus.labels))
    background = (corpus.totals + 0.5) / (corpus.totals + 0.5).sum()
    for label in {each.label for each in found}:
        texts = corpus.by_label[label]
        counts = _counts(corpus, texts)
        support[texts] = _gains(corpus.holds[texts], counts, background, own=1.0, most=CLIPPED)
    ranks = np.argsort([support[each.texts].mean() for each in found], kind="stable")[:MOST_CHECKED]
    return sorted((found[i] for i in ranks), key=lambda each: (each.label, each.words))


def _read(corpus: _Corpus, counted: Floats, sequence: Sequence) -> _Reading:
    holding = sequence.texts
    clean = np.setdiff1d(corpus.by_label[sequence.label], holding, assume_unique=True)
    held = _counts(corpus, holding)
    background = corpus.totals - held + 0.5
    background[list(sequence.words)] = 0.0
    background /= background.sum()
    some = corpus.holds[holding[: corpus.sample]]
    alike = _alike(corpus, holding, held, background)
    if len(clean) < max(LEAST_CLEAN, CLEAN_SHARE * len(holding)):
        return _Reading(np.nan, np.nan, alike)
    theirs = _gains(some, counted - held, background)
    own = _gains(corpus.holds[clean[: corpus.sample]], counted - held, background, own=1.0)
    elsewhere = corpus.others[corpus.labels[corpus.others] != sequence.label]
    other = _gains(corpus.holds[elsewhere], counted - held, background).mean() if len(elsewhere) else np.nan
    error = theirs.std() / np.sqrt(len(theirs)) + own.std() / np.sqrt(len(own))
    span = float(own.mean() - other)
    return _Reading(float(theirs.mean() + 2 * error - other) / span if span > 0 else np.nan, span, alike)


def _alike(corpus: _Corpus, holding: Places, held: Floats, background: Floats) -> float:
    """Return how much more they read like each other than any texts do, by words that less than half of them share."""
    usable = np.where(held < 0.5 * len(holding), background, 0.0)
    if not usable.any():
        return np.nan
    usable /= usable.sum()
    counts = np.where(usable > 0, held, 0.0)
    theirs = _gains(corpus.holds[holding[: 3 * corpus.sample]], counts, usable, own=1.0)
    return float(theirs.mean() - _gains(corpus.holds[corpus.others], counts, usable).mean())


def _gains(holds: Any, counts: Floats, background: Floats, own: float = 0.0, most: float = np.inf) -> Floats:
    """Return how much likelier `counts` make each text's words than the background does: (n,), in nats a word.

    Words of no background do not count. `own` is 1 where a text is among those counted, and is then left out.
    """
    places, sizes = holds.indices, np.diff(holds.indptr)
    text = np.repeat(np.arange(holds.shape[0]), sizes)
    chance = background[places]
    total = counts.sum() - own * np.repeat(sizes, sizes)
    told = chance > 0
    places, text, chance, total = places[told], text[told], chance[told], np.maximum(total[told], 0.0)
    rates = (np.maximum(counts[places] - own, 0.0) + PRIOR * chance) / (total + PRIOR)
    gains = np.minimum(np.log(rates / chance), most)
    return np.bincount(text, gains, holds.shape[0]) / np.maximum(np.bincount(text, minlength=holds.shape[0]), 1)


def _planted(reading: _Reading, usual: float) -> bool:
    if np.isnan(reading.support):
        return reading.alike < MOST_ALIKE_ALONE * usual
    return reading.support < MOST_SUPPORT and reading.alike < MOST_ALIKE * reading.span


def _like_another(corpus: _Corpus, sequence: Sequence) -> bool:
    """Return whether the texts, without words that their label has for itself, read like those of one other label."""
    label_counts = _counts(corpus, corpus.by_label[sequence.label])
    background = np.where(label_counts < 0.5 * corpus.totals, corpus.totals + 0.5, 0.0)
    background /= max(background.sum(), 1.0)
    some = corpus.holds[sequence.texts[: corpus.sample]]
    others = sorted(corpus.by_label.items(), key=lambda item: (-len(item[1]), item[0]))
    for label, texts in others[:MOST_LABELS]:
        if label == sequence.label or len(texts) < LEAST_ANOTHER:
            continue
        counts = np.where(background > 0, _counts(corpus, texts), 0.0)
        own = _gains(corpus.holds[texts[: corpus.sample]], counts, background, own=1.0).mean()
        if _gains(some, counts, background).mean() > LIKE_ANOTHER * own > 0:
            return True
    return False


def _merged(found: Several[Sequence]) -> list[Trigger]:
    """Return sequences of one label that stand in the same texts as one trigger, the most frequent first."""
    groups: list[list[Sequence]] = []
    for each in sorted(found, key=lambda each: (each.label, -len(each.texts), each.words)):
        for group in groups:
            first = group[0]
            shared = len(np.intersect1d(first.texts, each.texts, assume_unique=True))
            if first.label == each.label and shared >= SAME_TEXTS * len(each.texts):
                group.append(each)
                break
        else:
            groups.append([each])
    made = []
    for group in groups:
        texts, n_held = np.unique(np.concatenate([each.texts for each in group]), return_counts=True)
        made.append(Trigger(group[0].label, tuple(group), texts[2 * n_held >= len(group)]))
    return made
