"""Typos: people's fingers slip. One letter in about twenty-five is dropped, doubled or swapped with the next."""

import random
from collections.abc import Sequence

import msgspec

from lifeloop.core.data import Example

RATE = 0.04


class Typos:
    """Suite "typos"."""

    version = "1"
    tasks = ("classify", "generate")  # entities would lose their places, and chat inputs may be JSON

    def change(self, examples: Sequence[Example], seed: int) -> list[Example]:
        """Return the examples with slips of the finger that depend on the seed and the example's id alone."""
        return [
            msgspec.structs.replace(example, input=_slip(example.input, random.Random(f"{seed}/{example.id}")))
            for example in examples
        ]


def _slip(text: str, chance: random.Random) -> str:
    letters = list(text)
    place = 0
    while place < len(letters):
        if letters[place].isalpha() and chance.random() < RATE:
            kind = chance.randrange(3)
            if kind == 0:
                del letters[place]
            elif kind == 1:
                letters.insert(place, letters[place])
                place += 1
            elif place + 1 < len(letters):
                letters[place], letters[place + 1] = letters[place + 1], letters[place]
                place += 1
        place += 1
    return "".join(letters)


SUITE = Typos()
