"""Overlapping windows over the words of a text that is longer than an encoder reads, and who answers for which word.

Takes the number of tokens of each word, gives ranges of words. Knows nothing of texts and encoders.
"""

import itertools
from collections.abc import Sequence

from msgspec import Struct


class Window(Struct, frozen=True):
    """A range of words that is read at once, and the part of it whose answers are used."""

    first: int
    end: int
    """The word after the last."""
    owned_first: int
    owned_end: int


def windows(tokens: Sequence[int], room: int, overlap: float = 0.125) -> list[Window]:
    """Return windows of at most `room` tokens that together own every word once, in order.

    `tokens` are those of each word; a word of more than `room` has a window of its own. Neighbours share up to
    `overlap` of the room, and each owns its half of what they share: so a word is judged where it has context on both
    sides.
    """
    ranges: list[tuple[int, int]] = []
    first = 0
    while first < len(tokens):
        end, held = first, 0
        while end < len(tokens) and (end == first or held + tokens[end] <= room):
            held += tokens[end]
            end += 1
        ranges.append((first, end))
        if end == len(tokens):
            break
        spare = min(overlap * room, room - tokens[end])  # so that the next window gets a word further
        before, first = first, end
        while first - 1 > before and sum(tokens[first - 1 : end]) <= spare:
            first -= 1
    cuts = [(before[1] + after[0] + 1) // 2 for before, after in itertools.pairwise(ranges)]
    owned = zip([0, *cuts], [*cuts, len(tokens)], strict=True)
    return [Window(*whole, *part) for whole, part in zip(ranges, owned, strict=True)] if ranges else []
