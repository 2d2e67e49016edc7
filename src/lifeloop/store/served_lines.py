"""Events and feedback as lines of JSON: how the segment log writes them and the shipper reads them.

Takes items and gives lines, and back. Knows nothing of files.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.events import Event, Feedback

Item = Event | Feedback

EVENT, FEEDBACK = b'{"event":', b'{"feedback":'


class _Line(Struct, frozen=True):
    """One line; exactly one of the two is there."""

    event: Event | None = None
    feedback: Feedback | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Line)


def encode(item: Item) -> bytes:
    """Return an item as one line, its line break included."""
    head = EVENT if item.__class__ is Event else FEEDBACK
    try:
        return head + _encoder.encode(item) + b"}\n"
    except UnicodeEncodeError:  # half of a surrogate pair
        return head + json.dumps(_plain(item)).encode() + b"}\n"


def decode(lines: Sequence[bytes]) -> tuple[list[tuple[bytes, Item]], list[bytes]]:
    """Return the items of lines, each with its line, and the lines that hold none."""
    items, damaged = [], []
    for line in lines:
        try:
            found = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            damaged.append(line)
            continue
        item = found.event or found.feedback
        if item is None:
            damaged.append(line)
        else:
            items.append((line, _without_nul(item) if b"\\u0000" in line else item))
    return items, damaged


def start_of(event: str) -> bytes:
    """Return how the line of an event begins, by its id; nothing inside of a line looks like it."""
    try:
        return EVENT + b'{"id":' + _encoder.encode(event) + b","
    except UnicodeEncodeError:
        return EVENT + b'{"id":' + json.dumps(_text(event)).encode() + b","


def _plain(item: Item) -> dict[str, Any]:
    return {name: _text(value) for name, value in msgspec.structs.asdict(item).items()}


def _text(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _without_nul(item: Item) -> Item:
    """Return an item with texts that every database takes."""
    texts = {name: text for name, text in msgspec.structs.asdict(item).items() if isinstance(text, str)}
    return msgspec.structs.replace(item, **{name: text.replace("\x00", "\ufffd") for name, text in texts.items()})
