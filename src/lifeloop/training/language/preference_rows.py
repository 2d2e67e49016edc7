"""From preferences to the token rows that alignment is trained on, as serving reads and writes them.

Takes preferences and how a candidate is asked, gives rows for TRL's trainers. Knows nothing of losses.
"""

from collections.abc import Sequence
from typing import Any

from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.preferences import Preference
from lifeloop.training.language.likelihood import Row
from lifeloop.training.language.turns import Wording, turn
from lifeloop.training.trainer import Materials

Rows = list[dict[str, Any]]


def pairs_of(preferences: Sequence[Preference]) -> tuple[Preference, ...]:
    """Return those preferences in which two answers were compared, and that count at all."""
    return tuple(each for each in preferences if each.is_pair and each.weight > 0)


def counted(preferences: Sequence[Preference]) -> tuple[Preference, ...]:
    """Return the preferences that count at all, of two answers or of one."""
    return tuple(each for each in preferences if (each.chosen or each.rejected) and each.weight > 0)


def require(preferences: Sequence[Preference], least: int, what: str) -> None:
    """Raise ModelError where there are fewer than `least` preferences of the kind that is named."""
    if len(preferences) < least:
        raise ModelError(
            f"there are {len(preferences)} {what} to train on, and at least {least} are needed",
            where="lifeloop.toml: preferences",
            fix="name a file of them as preferences.source, or collect feedback that compares answers",
        )


def pair_rows(how: Wording, pairs: Sequence[Preference]) -> Rows:
    """Return rows with `prompt_ids`, `chosen_ids` and `rejected_ids`."""
    rows = []
    for pair in pairs:
        prompt, chosen = answer_row(how, pair.input, pair.chosen)
        _, rejected = answer_row(how, pair.input, pair.rejected)
        rows.append({"prompt_ids": list(prompt), "chosen_ids": list(chosen), "rejected_ids": list(rejected)})
    return rows


def single_rows(how: Wording, preferences: Sequence[Preference]) -> Rows:
    """Return rows with `prompt_ids`, `completion_ids` and the `label` whether the answer was liked: two of a pair."""
    rows = []
    for each in preferences:
        for answer, liked in ((each.chosen, True), (each.rejected, False)):
            if answer:
                prompt, completion = answer_row(how, each.input, answer)
                rows.append({"prompt_ids": list(prompt), "completion_ids": list(completion), "label": liked})
    return rows


def answer_row(how: Wording, text: str, answer: str) -> Row:
    """Return the token ids of an input's prompt and of one answer to it."""
    found = turn(how, Example(id="", input=text, reference=answer, group=""))
    return found.prompt, found.completion


def reference_rows(how: Wording, examples: Sequence[Example]) -> list[Row]:
    """Return the token ids of examples' prompts and references."""
    return [(each.prompt, each.completion) for each in (turn(how, example) for example in examples)]


def watched(materials: Materials) -> tuple[Preference, ...]:
    """Return the pairs that alignment is watched on: those held out; without any, a tenth of those trained on."""
    held_out, trained_on = pairs_of(materials.held_out), pairs_of(materials.preferences)
    return held_out or trained_on[:: max(1, len(trained_on) // max(8, len(trained_on) // 10))]
