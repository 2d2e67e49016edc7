"""A linear chain over tags as arrays: the likeliest tags of a sequence, and how likely they and each entity are.

Takes the scores of each word's tags and of each tag after each other (Lafferty et al., 2001), gives tags and
probabilities by Viterbi's and the forward-backward algorithm. Knows nothing of encoders; training has the same sums
with gradients in `tagger_network`.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.models.tagger_bio import Found, may_follow

Scores = NDArray[np.float64]

NEVER = -1e4
"""The score of what the tags' own rules forbid: finite, so that sums stay sums."""


class Chain(Struct, frozen=True):
    """What a sequence of tags scores beside its words."""

    start: Scores
    """(n_tags,): a tag at the start."""
    after: Scores
    """(n_tags, n_tags): row before, column after."""
    stop: Scores
    """(n_tags,): a tag at the end."""


def rules(tags: Sequence[str]) -> Chain:
    """Return the chain that scores nothing but forbids what `may_follow` does."""
    after = np.array([[0.0 if may_follow(before, tag) else NEVER for tag in tags] for before in tags])
    start = np.array([0.0 if may_follow("", tag) else NEVER for tag in tags])
    return Chain(start, after.reshape(len(tags), len(tags)), np.zeros(len(tags)))


def independent(n_tags: int) -> Chain:
    """Return the chain of tags that do not mind one another."""
    return Chain(np.zeros(n_tags), np.zeros((n_tags, n_tags)), np.zeros(n_tags))


def best_tags(texts: Sequence[Scores], chain: Chain) -> list[list[int]]:
    """Return the places of the likeliest tags of each text (n_words, n_tags), by Viterbi over all texts at once."""
    found: list[list[int]] = [[] for _ in texts]
    for group, scores, n_on in _abreast(texts):
        reached = chain.start + scores[0]
        came_from = np.zeros(scores.shape, dtype=np.int32)
        for word in range(1, len(scores)):
            n = n_on[word]
            ways = reached[:n, :, None] + chain.after
            came_from[word, :n] = ways.argmax(axis=1)
            reached[:n] = ways.max(axis=1) + scores[word, :n]
        for row, text in enumerate(group):
            path = [int((reached[row] + chain.stop).argmax())]
            for word in range(len(texts[text]) - 1, 0, -1):
                path.append(int(came_from[word, row, path[-1]]))
            found[text] = path[::-1]
    return found


def totals(texts: Sequence[Scores], chain: Chain) -> Scores:
    """Return the logarithm of the sum over all tags of each text: (n_texts,); 0 for one without words."""
    found = np.zeros(len(texts))
    for group, scores, n_on in _abreast(texts):
        reached = chain.start + scores[0]
        for word in range(1, len(scores)):
            n = n_on[word]
            reached[:n] = np.logaddexp.reduce(reached[:n, :, None] + chain.after, axis=1) + scores[word, :n]
        found[group] = np.logaddexp.reduce(reached + chain.stop, axis=1)
    return found


def _abreast(texts: Sequence[Scores]) -> Iterator[tuple[list[int], Scores, list[int]]]:
    """Yield groups of texts, none twice as long as another: which, longest first; their scores; how many go on.

    Scores are (longest, n_texts, n_tags); of each word's place, the first so many texts have one.
    """
    waiting = sorted((place for place, own in enumerate(texts) if len(own)), key=lambda place: -len(texts[place]))
    while waiting:
        longest = len(texts[waiting[0]])
        group = [place for place in waiting if 2 * len(texts[place]) >= longest]
        waiting = waiting[len(group) :]
        scores = np.zeros((longest, len(group), texts[group[0]].shape[1]))
        for row, place in enumerate(group):
            scores[: len(texts[place]), row] = texts[place]
        lengths = np.array([len(texts[place]) for place in group])
        n_on = (lengths > np.arange(longest)[:, None]).sum(axis=1)
        yield group, scores, n_on.tolist()


class Sums(Struct, frozen=True):
    """Sums over all tags before and after each word, as logarithms."""

    before: Scores
    """(n_words, n_tags): of all ways to a tag of a word, the word included."""
    behind: Scores
    """(n_words, n_tags): of all ways on from it, the word excluded."""
    total: float


def sums(scores: Scores, chain: Chain) -> Sums:
    """Return what the forward and the backward pass over one sequence give; `scores` is (n_words, n_tags)."""
    before, behind = np.empty(scores.shape), np.empty(scores.shape)
    before[0] = chain.start + scores[0]
    for place in range(1, len(scores)):
        before[place] = np.logaddexp.reduce(before[place - 1][:, None] + chain.after, axis=0) + scores[place]
    behind[-1] = chain.stop
    for place in range(len(scores) - 2, -1, -1):
        behind[place] = np.logaddexp.reduce(chain.after + scores[place + 1] + behind[place + 1], axis=1)
    return Sums(before, behind, float(np.logaddexp.reduce(before[-1] + chain.stop)))


def path_score(scores: Scores, chain: Chain, path: Sequence[int]) -> float:
    """Return the score of one way of tagging; its probability is exp(score - total)."""
    steps = chain.after[path[:-1], path[1:]].sum()
    return float(chain.start[path[0]] + scores[np.arange(len(path)), path].sum() + steps + chain.stop[path[-1]])


def probability(found: Found, tags: Sequence[str], scores: Scores, chain: Chain, known: Sums) -> float:
    """Return the probability of exactly this entity: these words, all of them, no more, and its type."""
    begin, inside = tags.index(f"B-{found.type}"), tags.index(f"I-{found.type}")
    places = [begin] + [inside] * (found.end - found.first - 1)
    steps = sum(
        chain.after[one, other] + scores[word, other]
        for word, (one, other) in enumerate(itertools.pairwise(places), start=found.first + 1)
    )
    way = known.before[found.first, begin] + steps
    if found.end == len(scores):
        way += chain.stop[places[-1]]
    else:
        onward = chain.after[places[-1]] + scores[found.end] + known.behind[found.end]
        way += float(np.logaddexp.reduce(np.delete(onward, inside)))
    return float(np.clip(np.exp(way - known.total), 0.0, 1.0))
