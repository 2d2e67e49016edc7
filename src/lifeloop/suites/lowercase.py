"""Lower case: people type without capitals."""

from collections.abc import Sequence

import msgspec

from lifeloop.core.data import Example


class Lowercase:
    """Suite "lowercase"."""

    version = "1"
    tasks = ("classify", "generate")

    def change(self, examples: Sequence[Example], seed: int) -> list[Example]:
        """Return the examples in lower case; nothing is left to chance."""
        del seed
        return [msgspec.structs.replace(example, input=example.input.lower()) for example in examples]


SUITE = Lowercase()
