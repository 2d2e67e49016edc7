"""From a prompt, its shots and a request to the messages a language model reads. Templates run in a sandbox.

Templates see `text`, `labels` and `instructions` (what the task asks of an output, in words), and nothing else.
"""

from collections.abc import Sequence
from typing import Any

from lifeloop.core.candidates import Contract, Message, Prompt, Request
from lifeloop.core.errors import BriefError
from lifeloop.models import templating

MARK = "⟦ what goes in ⟧"
PLAIN = Prompt(name="plain", system="{{ instructions }}", user="{{ text }}")
"""The prompt of a candidate that names none."""

Shot = tuple[str, str]
"""An example input with its reference."""


def messages(
    prompt: Prompt, contract: Contract, shots: Sequence[Shot], request: Request, max_words: int
) -> list[Message]:
    """Return the system message, a pair of turns for each shot, and the request's own turns.

    Inputs are cut to `max_words` words. Raises BriefError where a template is at fault.
    """
    turns = [Message("system", render_system(prompt, contract))]
    for text, reference in shots:
        turns += [Message("user", render_user(prompt, contract, text)), Message("assistant", reference)]
    if request.messages:
        return turns + _conversation(prompt, contract, request.messages)
    return [*turns, Message("user", render_user(prompt, contract, cut(request.text, max_words)))]


def _conversation(prompt: Prompt, contract: Contract, turns: Sequence[Message]) -> list[Message]:
    """Return a conversation's turns but for system messages, its last word in the user template."""
    kept = [turn for turn in turns if turn.role != "system"]
    if kept and kept[-1].role == "user":
        kept[-1] = Message("user", render_user(prompt, contract, kept[-1].content))
    return kept


def render_system(prompt: Prompt, contract: Contract) -> str:
    """Return the system message."""
    return _render(prompt.system, f"prompts/{prompt.name}/system.md", _words(contract))


def render_user(prompt: Prompt, contract: Contract, text: str) -> str:
    """Return the user message for an input text."""
    return _render(prompt.user, f"prompts/{prompt.name}/user.md", _words(contract) | {"text": text})


def cut(text: str, max_words: int) -> str:
    """Return the first words of a text; a text that is short enough stays as it is."""
    words = text.split()
    return text if len(words) <= max_words else " ".join(words[:max_words])


def flaw(user: str, contract: Contract) -> str:
    """Return why a user template cannot be used, or ""."""
    try:
        rendered = render_user(Prompt(name="", system="", user=user), contract, MARK)
    except BriefError as error:
        return error.what
    return "" if MARK in rendered else "the input is not in it: {{ text }} is missing"


def _words(contract: Contract) -> dict[str, Any]:
    return {"labels": contract.choices, "instructions": contract.instructions}


def _render(source: str, where: str, words: dict[str, Any]) -> str:
    try:
        return templating.render(source, words).strip()
    except Exception as error:  # a template can raise whatever Python can: {{ 1 | first }}
        raise BriefError(
            f"the template fails: {error}", where=where, fix="use {{ text }}, {{ labels }} and {{ instructions }}"
        ) from None
