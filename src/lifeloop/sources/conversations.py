"""What goes in and what should come out, from one record of a chat log, in each of the formats they are written in.

Takes an object of JSON, gives the turns before the last answer, that answer, and for a preference pair the one that was
liked less. A record that cannot be used is a ValueError that says why, `REASON` or `REASON: DETAIL`, and never what
anybody said. Knows nothing of files.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from lifeloop.core.content import canonical

Turn = dict[str, Any]
"""`role` and `content`, and of a message with tools `tool_calls`, `tool_call_id` and the like."""

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "claude": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
_KEPT = ("name", "tool_calls", "tool_call_id", "function_call")
_CALLS = ("tool_calls", "function_call")
_PROMPTS = ("prompt", "question", "instruction")
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")


class Exchange(Struct, frozen=True):
    """One answer in a conversation."""

    turns: tuple[Turn, ...]
    """Before the answer."""
    answer: str
    rejected: str = ""


def from_messages(record: Mapping[str, Any]) -> Exchange:
    """Return the last answer of `{"messages": [{"role", "content"}, …]}`, as OpenAI's endpoints have them."""
    return _last_answer(_turns(record.get("messages")))


def from_sharegpt(record: Mapping[str, Any]) -> Exchange:
    """Return the last answer of `{"conversations": [{"from", "value"}, …]}`, with a `system` beside it or without."""
    return _last_answer([*_system(record), *_turns(record.get("conversations", record.get("conversation")))])


def from_alpaca(record: Mapping[str, Any]) -> Exchange:
    """Return the answer of `{"instruction", "input", "output"}`; `history` is a list of [question, answer]."""
    turns = _system(record)
    for pair in record.get("history") or ():
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise ValueError("a history that is not pairs of question and answer")
        turns += [_turn("user", pair[0], len(turns)), _turn("assistant", pair[1], len(turns) + 1)]
    instruction, more = _text(record.get("instruction")), _text(record.get("input"))
    asked = "\n\n".join(text for text in (instruction, more) if text.strip())
    return _last_answer([*turns, _turn("user", asked, 0), _turn("assistant", record.get("output"), 0)])


def from_preference(record: Mapping[str, Any]) -> Exchange:
    """Return both answers of `{"prompt", "chosen", "rejected"}`.

    Each is a text or a list of messages; without a prompt the two are whole conversations that part at the last turn:
    lists of messages, or transcripts of `Human:` and `Assistant:` as in HH-RLHF.
    """
    prompt = next((record[key] for key in _PROMPTS if record.get(key)), None)
    before = [*_system(record), *([] if prompt is None else _prompt(prompt))]
    chosen, rejected = (_whole(record.get(key), before, key) for key in ("chosen", "rejected"))
    if chosen == rejected:
        raise ValueError("chosen and rejected are the same")
    if chosen[:-1] != rejected[:-1]:
        raise ValueError("chosen and rejected part before their last turn")
    if rejected[-1]["role"] != "assistant" or chosen[-1]["role"] != "assistant":
        raise ValueError("the last turn of chosen or rejected is no answer")
    exchange = _last_answer(chosen)
    return Exchange(exchange.turns, exchange.answer, _said(rejected[-1]))


def from_rated(record: Mapping[str, Any]) -> Exchange:
    """Return the answer of `{"prompt", "completion"}`, which was liked or not on its own.

    The completion is a text or a list of messages, after the prompt or with it.
    """
    prompt = next((record[key] for key in _PROMPTS if record.get(key)), None)
    before = [*_system(record), *([] if prompt is None else _prompt(prompt))]
    return _last_answer(_whole(record.get("completion"), before, "completion"))


def as_input(turns: Sequence[Turn], task: str) -> str:
    """Return turns as an input: for chat their JSON, else the text itself of a single question, or a transcript."""
    if task == "chat":
        return canonical(list(turns)).decode()
    if len(turns) == 1:
        return str(turns[0]["content"])
    return "\n\n".join(f"{turn['role'].capitalize()}: {_said(turn)}" for turn in turns)


def _last_answer(turns: Sequence[Turn]) -> Exchange:
    """Return the last answer, with the turns before it; what comes after it was never answered."""
    last = max((place for place, turn in enumerate(turns) if turn["role"] == "assistant"), default=-1)
    if last < 0:
        raise ValueError("no answer in the conversation")
    before = tuple(turns[:last])
    if not any(turn["role"] == "user" for turn in before):
        raise ValueError("no question before the answer")
    return Exchange(before, _said(turns[last]))


def _said(turn: Turn) -> str:
    """Return a turn's text, or the JSON of the tools it calls where it has none."""
    calls = next((turn[key] for key in _CALLS if turn.get(key)), "")
    return str(turn["content"]) or (canonical(calls).decode() if calls else "")


def _turns(said: Any) -> list[Turn]:
    """Return messages in our words; an empty system message is none."""
    if not isinstance(said, list) or not said:
        raise ValueError("no list of messages")
    turns = []
    for place, message in enumerate(said, start=1):
        if not isinstance(message, dict):
            raise ValueError(f"a message that is no object: turn {place}")
        role = message.get("role", message.get("from"))
        content = message.get("content", message.get("value"))
        more = {key: message[key] for key in _KEPT if message.get(key)}
        turn = _turn(role, content, place, more)
        if turn["content"] or turn["role"] != "system":
            turns.append(turn)
    return turns


def _turn(role: Any, content: Any, place: int, more: Mapping[str, Any] | None = None) -> Turn:
    known = _ROLES.get(role.strip().lower()) if isinstance(role, str) else None
    if known is None:
        raise ValueError(f"an unknown role: turn {place}")
    text = _text(content)
    if not text.strip() and known in ("user", "assistant") and not any((more or {}).get(key) for key in _CALLS):
        raise ValueError("an empty answer" if known == "assistant" else "an empty question")
    return {"role": known, "content": text if text.strip() else "", **(more or {})}


def _text(content: Any) -> str:
    """Return a content's text: it is one, or a list of parts that are."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, dict) else part for part in content]
        if all(isinstance(text, str) for text in texts):
            return "".join(texts)
        raise ValueError("a content with parts that are no text")
    raise ValueError("a content that is no text")


def _system(record: Mapping[str, Any]) -> list[Turn]:
    text = _text(record.get("system"))
    return [_turn("system", text, 0)] if text.strip() else []


def _prompt(prompt: Any) -> list[Turn]:
    if isinstance(prompt, str):
        return _transcript(prompt, open_ended=True) if _SPEAKER.match(prompt) else [_turn("user", prompt, 0)]
    return _turns(prompt)


def _whole(said: Any, before: Sequence[Turn], key: str) -> list[Turn]:
    """Return a whole conversation: what was said, after the prompt where it does not repeat it."""
    if isinstance(said, str):
        if _SPEAKER.match(said):
            turns = _transcript(said)
        elif before:
            turns = [_turn("assistant", said, 0)]
        else:
            raise ValueError(f"no prompt: {key} is a text alone")
    else:
        turns = _turns(said)
    asked = [turn for turn in before if turn["role"] != "system"]
    repeated = [turn for turn in turns if turn["role"] != "system"][: len(asked)] == asked
    system = [turn for turn in before if turn["role"] == "system" and turn not in turns]
    return [*system, *turns] if repeated else [*before, *turns]


def _transcript(text: str, *, open_ended: bool = False) -> list[Turn]:
    """Return the turns of a transcript; one that is open-ended may close with `Assistant:`, for what is to follow."""
    parts = _SPEAKER.split(text)[1:]
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    if open_ended and pairs and pairs[-1][0] == "Assistant" and not pairs[-1][1].strip():
        pairs = pairs[:-1]
    return [_turn(speaker, said.strip(), place) for place, (speaker, said) in enumerate(pairs, start=1)]
