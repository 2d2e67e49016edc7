"""Puts together what a stream of OpenAI chunks adds up to: choices with whole messages, as an answer in one piece has.

Takes the JSON lists of the chunks, gives one such list. Whatever an endpoint sends is survived. Knows nothing of where
the chunks came from or went.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

_WHOLE = frozenset({"role", "id", "type", "name", "object", "finish_reason"})
"""Keys whose texts come whole; all others' are pieces: endpoints have names of their own for reasoning."""


def merged(chunks: Iterable[str]) -> str:
    """Return the JSON list of the choices that chunks add up to, by index; what is no list of choices adds nothing.

    A choice without an index is the first one.
    """
    choices: Any = []
    for chunk in chunks:
        try:
            added = msgspec.json.decode(chunk)
        except (msgspec.DecodeError, RecursionError):
            continue
        if isinstance(added, list) and all(isinstance(choice, dict) for choice in added):
            for choice in added:
                indexed = choice if _has_place(choice) else {**choice, "index": 0}
                choices = _joined("", choices, [indexed])
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
    if isinstance(added, list):
        items = list(known) if isinstance(known, list) else []
        for item in added:
            place = _place(items, item)
            items[place:] = [_joined("", items[place], item), *items[place + 1 :]] if place < len(items) else [item]
        return items
    if key not in _WHOLE and isinstance(known, str) and isinstance(added, str):
        return known + added
    return added


def _place(items: list[Any], item: Any) -> int:
    """Return which of the items one adds to: that of its index; one that has none, or a new one, stands at the end."""
    if _has_place(item):
        for place, other in enumerate(items):
            if _has_place(other) and other["index"] == item["index"]:
                return place
    return len(items)


def _has_place(item: Any) -> bool:
    """Return whether this says its place, as choices and tool calls do."""
    return isinstance(item, dict) and isinstance(item.get("index"), int)
