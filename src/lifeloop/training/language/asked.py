"""A language model that is asked as it will be when it serves, while it is trained, watched and probed."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from lifeloop.core.data import Example
from lifeloop.training.language.parent import LanguageParent, wording_of
from lifeloop.training.language.turns import Wording, label_ids, prompt_ids
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


def asked_as(parent: LanguageParent, materials: Materials) -> Asked:
    """Return how the child of a parent will be asked."""
    return Asked(materials, wording_of(parent, materials, materials.settings.max_tokens))
