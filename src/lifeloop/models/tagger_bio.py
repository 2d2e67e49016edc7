"""Entities as one tag a word and back: B-TYPE begins one, I-TYPE goes on with it, O is outside.

After Ramshaw and Marcus (1995), in the form that the CoNLL tasks gave it.
Takes the places of words and entities, gives tags; takes any tags, gives entities, after mending what no entities can
be written as. Knows nothing of models.
"""

from collections.abc import Sequence

from msgspec import Struct

from lifeloop.models.tagger_words import Span

OUTSIDE = "O"


class Found(Struct, frozen=True):
    """An entity by its words: the first, and the one after the last."""

    type: str
    first: int
    end: int


def tag_names(types: Sequence[str]) -> tuple[str, ...]:
    """Return O, then B- and I- of each type."""
    return (OUTSIDE, *(f"{part}-{kind}" for kind in types for part in "BI"))


def may_follow(before: str, tag: str) -> bool:
    """Return whether a tag may stand after another: an I- wants a B- or I- of its type. `before` is "" at the start."""
    return not tag.startswith("I-") or before[2:] == tag[2:]


def repaired(tags: Sequence[str]) -> list[str]:
    """Return the tags with each I- that goes on with nothing of its type made a B-.

    That mends an I- after O or at the start, and splits an entity whose type changes on the way, as the CoNLL scorer
    reads them.
    """
    mended: list[str] = []
    for tag in tags:
        before = mended[-1] if mended else ""
        mended.append(tag if may_follow(before, tag) else f"B-{tag[2:]}")
    return mended


def decode(tags: Sequence[str]) -> list[Found]:
    """Return the entities that tags stand for, repaired first."""
    found: list[Found] = []
    for place, tag in enumerate(repaired(tags)):
        if tag.startswith("B-"):
            found.append(Found(tag[2:], place, place + 1))
        elif tag.startswith("I-"):
            found[-1] = Found(tag[2:], found[-1].first, place + 1)
    return found


def encode(words: Sequence[Span], entities: Sequence[tuple[str, int, int]]) -> tuple[list[str], int]:
    """Return the tags of words, and how many entities they cannot hold.

    `entities` are (type, start, end) in characters. An entity takes every word that it shares a character with. One
    that has no word, or shares one with an entity before it (the longer of two goes first), cannot be held.
    """
    tags = [OUTSIDE] * len(words)
    lost = 0
    for kind, start, end in sorted(entities, key=lambda entity: (entity[1] - entity[2], entity[1], entity[0])):
        inside = [place for place, (first, last) in enumerate(words) if first < end and start < last]
        if not inside or any(tags[place] != OUTSIDE for place in inside):
            lost += 1
            continue
        for place in inside:
            tags[place] = f"I-{kind}"
        tags[inside[0]] = f"B-{kind}"
    return tags, lost
