"""From messages to the tokens that a language model reads, the same for whatever engine runs it and whatever trains it.

Takes how an engine tokenises and how its chat template writes a conversation, gives token ids. The user's own words are
read apart and without special tokens, so that no input can end its own turn. Knows nothing of tasks or weights.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from lifeloop.core.candidates import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "\u27e6input\u27e7"
Template = Callable[[Sequence[Message]], str]
"""Writes messages in the model's own chat template, up to where its turn begins."""


class Tokenise(Protocol):
    """Reads a text as token ids; `special` reads markers such as end-of-turn as what they mean."""

    def __call__(self, text: str, *, special: bool = False) -> list[int]:
        """Return the token ids, with none added at the ends."""


def parts(
    tokenise: Tokenise, template: Template, messages: Sequence[Message], cue: str
) -> tuple[list[int], list[int], list[int]]:
    """Return the tokens before, of and after the last message's words; `cue` begins the model's own turn.

    Texts in the earlier messages are to be freed of markers by the caller (see `without_markers`).
    """
    marked = [*messages[:-1], Message(messages[-1].role, MARK)]
    before, _, after = template(marked).rpartition(MARK)
    head = tokenise(before, special=True)
    return head, tokenise(messages[-1].content), tokenise(f"{after}{cue}", special=True)


def end_of_turn(tokenise: Tokenise, template: Template) -> list[int]:
    """Return the token that ends the model's turn, or nothing where the template has none."""
    turns = [Message("user", "x"), Message("assistant", MARK), Message("user", "x")]
    return tokenise(template(turns).partition(MARK)[2], special=True)[:1]


def without_markers(text: str, tokenise: Tokenise, written: Callable[[int], str]) -> str:
    """Return the text with a zero-width space in every marker such as end-of-turn, so that it is but words.

    `written` gives the text of a token.
    """
    plain, read = tokenise(text), tokenise(text, special=True)
    for token in sorted(set(read) - set(plain)) if read != plain else ():
        marker = written(token)
        if tokenise(marker) != [token] and tokenise(marker, special=True) == [token]:
            text = text.replace(marker, f"{marker[0]}\u200b{marker[1:]}")
    return text


def tokenise_with(tokenizer: "PreTrainedTokenizerBase") -> Tokenise:
    """Return how a tokenizer of transformers tokenises."""

    def tokenise(text: str, *, special: bool = False) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False, split_special_tokens=not special)["input_ids"])

    return tokenise


def template_of(tokenizer: "PreTrainedTokenizerBase") -> Template:
    """Return how the chat template of a tokenizer of transformers writes messages."""

    def template(messages: Sequence[Message]) -> str:
        turns = [msgspec.structs.asdict(message) for message in messages]
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    return template
