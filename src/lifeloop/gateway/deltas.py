"""Puts together what a stream of OpenAI chunks adds up to: choices with whole messages, as an answer in one piece has.

Takes the JSON lists of the chunks, gives one such list. Whatever an endpoint sends is survived. Knows nothing of where
the chunks came from or went.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

_GROWING = frozenset({"content", "refusal", "arguments", "reasoning_content"})
"""Keys whose texts are pieces; other texts come whole."""


def merged(chunks: Iterable[str]) -> str:
    """Return the JSON list of the choices that chunks add up to, by index; what is no list of choices adds nothing."""
    choices: Any = []
    for chunk in chunks:
        try:
            added = msgspec.json.decode(chunk)
        except msgspec.DecodeError:
            continue
        if _have_places(added):
            choices = _joined("", choices, added)
    for choice in choices:
        choice["message"] = choice.pop("delta", None) or {}
    return msgspec.json.encode(choices).decode() if choices else ""


def _joined(key: str, known: Any, added: Any) -> Any:
    """Return what a key holds once a chunk has added to it."""
    if added is None:
        return known
    if isinstance(added, dict):
        whole = dict(known) if isinstance(known, dict) else {}
        for name, value in added.items():
            whole[name] = _joined(name, whole.get(name), value)
        return whole
    if _have_places(added):
        by_place = {item["index"]: item for item in known} if _have_places(known) else {}
        for item in added:
            by_place[item["index"]] = _joined("", by_place.get(item["index"]), item)
        return list(by_place.values())
    if key in _GROWING and isinstance(known, str) and isinstance(added, str):
        return known + added
    return added


def _have_places(items: Any) -> bool:
    """Return whether these are things of which each says its place, as choices and tool calls do."""
    return isinstance(items, list) and all(
        isinstance(item, dict) and isinstance(item.get("index"), int) for item in items
    )
