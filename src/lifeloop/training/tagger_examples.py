"""What a tagger learns from: texts with the places of their entities, and how a pass over them may vary them.

Takes examples whose references list entities, gives texts and places; says what could not be placed. Knows nothing of
tags and weights.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from lifeloop.core.data import Example
from lifeloop.models.tagger_words import Span, Split, stands_alone
from lifeloop.tasks.extract import TASK, Entity

Place = tuple[str, int, int]
"""Type, start and end of an entity in characters."""


class Tagged(Struct, frozen=True):
    """A text and the places of its entities."""

    text: str
    entities: tuple[Place, ...]
    lost: int = 0
    """Entities of the reference that are nowhere in the text."""


def tagged(example: Example) -> Tagged:
    """Return an example's entities by place; one that names words alone is wherever these stand."""
    places: set[Place] = set()
    lost = 0
    for entity in TASK.parse(example.reference, ()):
        found = _places(entity, example.input)
        places.update(found)
        lost += not found
    return Tagged(example.input, tuple(sorted(places, key=lambda place: place[1:] + place[:1])), lost)


def _places(entity: Entity, text: str) -> list[Place]:
    named = text[entity.start : entity.end]
    if entity.start >= 0 and named.strip() and entity.end <= len(text) and entity.text in ("", named):
        return [(entity.type, entity.start, entity.end)]
    if not entity.text.strip():
        return []
    return [(entity.type, *match.span()) for match in stands_alone(entity.text.strip()).finditer(text)]


def split_of(texts: Sequence[Tagged]) -> Split:
    """Return where words end: at spaces, if all but one in 200 entities begin and end there, else at marks too."""
    whole = [
        not text.text[max(0, start - 1) : start].strip() and not text.text[end : end + 1].strip()
        for text in texts
        for _, start, end in text.entities
    ]
    return "spaces" if sum(whole) >= 0.995 * len(whole) else "marks"


def widened(text: Tagged, words: Sequence[Span]) -> int:
    """Return how many entities of a text begin or end inside one of its words."""
    return sum(
        any(first < at < last for first, last in words for at in (start, end)) for _, start, end in text.entities
    )


def names_of(texts: Sequence[Tagged]) -> dict[str, list[str]]:
    """Return the distinct names of each type, sorted."""
    found: dict[str, set[str]] = {}
    for text in texts:
        for kind, start, end in text.entities:
            found.setdefault(kind, set()).add(text.text[start:end])
    return {kind: sorted(names) for kind, names in sorted(found.items())}


def varied(
    text: Tagged, names: dict[str, list[str]], swapped: float, lowered: float, chance: np.random.Generator
) -> Tagged:
    """Return the text with some entities replaced by others of their type, and sometimes in lower case."""
    pieces, entities, at, length = [], [], 0, 0
    for kind, start, end in text.entities:
        if start < at:  # it overlaps the one before
            continue
        name = text.text[start:end]
        if swapped and chance.random() < swapped:
            name = names[kind][int(chance.integers(len(names[kind])))]
        before = text.text[at:start]
        pieces += [before, name]
        length += len(before)
        entities.append((kind, length, length + len(name)))
        length += len(name)
        at = end
    changed = "".join(pieces) + text.text[at:]
    if lowered and chance.random() < lowered and len(changed.lower()) == len(changed):
        changed = changed.lower()
    return Tagged(changed, tuple(entities))
