"""All probes of a trained language model beside its parent: what may be broken, and how far it moved.

Takes both models and how they are asked, gives Checks for the record and the KL divergence. Serves every training of
language models, with preferences or without.
"""

from typing import TYPE_CHECKING, Any

from lifeloop.core.training_record import Check
from lifeloop.training.language.divergence import kl_to_parent
from lifeloop.training.language.preference_rows import reference_rows
from lifeloop.training.language.probes.capabilities import capabilities
from lifeloop.training.language.probes.paired import paired
from lifeloop.training.language.probes.triggers import Suspects, triggers
from lifeloop.training.language.turns import prompt_ids
from lifeloop.training.language.watching import watch_sample

if TYPE_CHECKING:
    from lifeloop.training.language.asked import Asked

PROBED = 24
"""Validation examples that models are probed with; half of them where every input is asked in several versions."""


def checks_of(
    parent: Any, child: Any, asked: "Asked", words: Suspects | None = None
) -> tuple[list[Check], float | None]:
    """Return the Checks, and the mean KL divergence from the parent a token of validation references, in nats.

    `words` are those that may be triggers; without them rare strings alone are tried. Both models have one tokenizer.
    """
    materials = asked.materials
    checks = [capabilities(parent, child, asked.tokenizer)]
    examples = watch_sample(materials, PROBED)
    if not examples:
        return checks, None
    rows = reference_rows(asked.how, examples)
    inputs = [example.input for example in examples[: PROBED // 2]]
    own = asked.own_answers(parent, inputs), asked.own_answers(child, inputs)

    def ask(text: str) -> tuple[int, ...]:
        return prompt_ids(asked.how, text)

    checks += paired(parent, child, ask, inputs, own)
    checks += triggers(parent, child, ask, asked.write, words or Suspects((), ()), inputs, own, materials.seed)
    return checks, kl_to_parent(parent, child, rows)
