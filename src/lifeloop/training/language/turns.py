"""From examples to what a language model is trained on: the tokens of a prompt, and those of the answer it should give.

They are the very tokens that serving reads and writes: the chat template, the user's own words tokenised apart and
without special tokens, the cue, the label with the token that ends a turn. Knows nothing of losses or trainers.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Contract, Message, Prompt
from lifeloop.core.data import Example
from lifeloop.models import prompting, turn_tokens
from lifeloop.tasks.chat import request_for

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Turn(Struct, frozen=True):
    """Token ids of a prompt, and of the answer to it with the token that ends the turn."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]


class Wording(Struct, frozen=True):
    """How a candidate is asked: what serving knows of it."""

    tokenizer: Any
    task: str
    prompt: Prompt
    contract: Contract
    cue: str = "Label:"
    max_words: int = 200
    max_tokens: int = 0
    """Prompts and answers together are cut to so many tokens, at the user's own words; 0 sets no bound."""


def wording(
    tokenizer: "PreTrainedTokenizerBase",
    task: str,
    labels: Sequence[str],
    prompt: Prompt | None,
    settings: dict[str, Any],
    max_tokens: int = 0,
) -> Wording:
    """Return how a candidate of these settings is asked; `settings` are those of its model kind."""
    return Wording(
        tokenizer=tokenizer,
        task=task,
        prompt=prompt or prompting.PLAIN,
        contract=plugins.get("tasks", task).contract(tuple(labels)),
        cue=settings.get("cue", "Label:"),
        max_words=settings.get("max_words", 200),
        max_tokens=max_tokens,
    )


def turn(how: Wording, example: Example) -> Turn:
    """Return what an example teaches. An input that is too long loses its last words, an answer its end."""
    completion = completion_ids(how, example.reference)
    if how.max_tokens:
        completion = completion[: max(1, how.max_tokens // 2)]
    return Turn(prompt=prompt_ids(how, example.input, len(completion)), completion=completion)


def prompt_ids(how: Wording, text: str, n_answer: int = 0) -> tuple[int, ...]:
    """Return the tokens that serving gives the model for an input, up to where its answer begins.

    `n_answer` tokens are left free under `max_tokens`.
    """
    turns = prompting.messages(how.prompt, how.contract, (), request_for(how.task, text), how.max_words)
    tokenise = turn_tokens.tokenise_with(how.tokenizer)
    earlier = [Message(one.role, _harmless(how.tokenizer, one.content)) for one in turns[:-1]]
    cue = how.cue if how.contract.choices else ""
    template = turn_tokens.template_of(how.tokenizer)
    head, body, tail = turn_tokens.parts(tokenise, template, [*earlier, turns[-1]], cue)
    if how.max_tokens:
        body = body[: max(0, how.max_tokens - n_answer - len(head) - len(tail))]
    return (*head, *body, *tail)


def completion_ids(how: Wording, reference: str) -> tuple[int, ...]:
    """Return the tokens of an answer, with the one that ends the turn."""
    said = f" {reference}" if how.contract.choices else _as_written(how, reference)
    return (*turn_tokens.tokenise_with(how.tokenizer)(said), *end_of_turn(how.tokenizer))


def label_ids(how: Wording) -> list[tuple[int, ...]]:
    """Return the tokens of every label, in their order; nothing where outputs are no labels."""
    return [completion_ids(how, label) for label in how.contract.choices]


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, ...]:
    """Return the token that ends the model's turn, by the chat template; else the one that ends a text."""
    end = turn_tokens.end_of_turn(turn_tokens.tokenise_with(tokenizer), turn_tokens.template_of(tokenizer))
    return tuple(end) or (tokenizer.eos_token_id,)


def _as_written(how: Wording, reference: str) -> str:
    """Return a reference as the contract wants it written: entities by type and words, without their places."""
    if how.task != "extract":
        return reference
    entities = msgspec.json.decode(reference, type=list[dict[str, Any]])
    return json.dumps([{"type": found["type"], "text": found["text"]} for found in entities], ensure_ascii=False)


def _harmless(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    return turn_tokens.without_markers(
        text, turn_tokens.tokenise_with(tokenizer), lambda token: tokenizer.decode([token])
    )
