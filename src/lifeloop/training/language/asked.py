"""A language model that is asked as it will be when it serves, while it is trained, watched and probed."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from lifeloop.core.data import Example
from lifeloop.training.language.parent import LanguageParent, wording_of
from lifeloop.training.language.turns import Wording, completion_ids, end_of_turn, label_ids, prompt_ids
from lifeloop.training.language.writing import write
from lifeloop.training.trainer import Materials

LONGEST = 64
"""Tokens of an answer that are written to watch and to probe."""


class Asked(Struct, frozen=True):
    """How a parent and its child are asked, and about what."""

    materials: Materials
    how: Wording
    longest: int = LONGEST

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of both."""
        return self.how.tokenizer

    def answers(self, model: Any, examples: Sequence[Example]) -> list[str]:
        """Return what a model says to examples."""
        return self.write(model, [example.input for example in examples])

    def write(self, model: Any, inputs: Sequence[str]) -> list[str]:
        """Return what a model says to inputs; of labels, one of those that there are."""
        longest = min(self.how.contract.max_tokens, self.longest)
        prompts = [prompt_ids(self.how, text, longest) for text in inputs]
        return write(model, self.tokenizer, prompts, longest, label_ids(self.how))

    def own_answers(self, model: Any, inputs: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the token ids of what a model says to inputs, with the token that ends its turn."""
        said = self.write(model, inputs)
        if self.how.contract.choices:
            return [completion_ids(self.how, label) for label in said]
        end = end_of_turn(self.tokenizer)
        return [(*self.tokenizer(text, add_special_tokens=False)["input_ids"], *end) for text in said]


def asked_as(parent: LanguageParent, materials: Materials) -> Asked:
    """Return how the child of a parent will be asked."""
    return Asked(materials, wording_of(parent, materials, materials.settings.max_tokens))
