"""What is asked of an OpenAI-compatible endpoint: a candidate's prompt and a request as the JSON of a chat completion.

What no request changes (model, system message, shots) is rendered and encoded once, and a user template that only puts
the text in its place is cut in pieces, so that no template runs for a request. Gives bytes; knows nothing of
connections and answers.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop.core.candidates import Contract, Message, Prompt, Request
from lifeloop.models import prompting, templating
from lifeloop.models.model import Writing

MOST_PLACES = 8
"""Places of the text in a template that is cut in pieces; one with more runs, so that its purse limits it."""
OURS = frozenset({"model", "messages", "stream", "stream_options"})
"""Keys that no sender's option replaces."""
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}

_encode = msgspec.json.Encoder().encode
_PLACE = re.compile(r"\{\{\s*text\s*\}\}")


class Turn(Struct, frozen=True):
    """A message as endpoints read it."""

    role: str
    content: str


class Asking:
    """Makes the bodies of one candidate's requests. `max_tokens` is the limit of requests that have none."""

    def __init__(
        self,
        prompt: Prompt,
        contract: Contract,
        shots: Sequence[prompting.Shot],
        *,
        model: str,
        temperature: float,
        max_tokens: int,
        max_words: int,
    ) -> None:
        self._prompt, self._contract, self._shots = prompt, contract, shots
        self._model, self._temperature = model, temperature
        self._max_tokens, self._max_words = max_tokens, max_words
        self._begun = b""
        self._render: Callable[[str], str] | None = None
        end = b'],"temperature":%b,"max_tokens":%%d' % _encode(temperature)
        self._ends = (end + b"}", end + b"," + _encode(STREAMED)[1:])

    def body(self, request: Request, *, streams: bool = False) -> bytes:
        """Return a request's body. Raises BriefError where a template fails on it."""
        begun = self._begun or self._begin()
        turns = self._turns(request)
        if not turns:
            begun = begun[:-1]
        limit = request.max_tokens or self._max_tokens
        if not request.options:
            return begun + turns + self._ends[streams] % limit
        asked: dict[str, Any] = {"temperature": self._temperature, "max_tokens": limit}
        asked |= {key: value for key, value in request.options.items() if key not in OURS}
        return begun + turns + b"]," + _encode(asked | STREAMED if streams else asked)[1:]

    def written(self, writing: Writing) -> bytes:
        """Return the body of a text of the model's own, under messages of its asker's."""
        return _encode(
            {
                "model": self._model,
                "messages": [Turn(message.role, message.content) for message in writing.messages],
                "temperature": writing.temperature,
                "max_tokens": writing.max_tokens,
            }
        )

    def _begin(self) -> bytes:
        """Return what each body begins with, up to the comma before the request's own turns."""
        turns = [Turn("system", prompting.render_system(self._prompt, self._contract))]
        for text, reference in self._shots:
            turns.append(Turn("user", prompting.render_user(self._prompt, self._contract, text)))
            turns.append(Turn("assistant", reference))
        self._render = renderer(self._prompt, self._contract)
        self._begun = b'{"model":%b,"messages":[%b,' % (_encode(self._model), _encode(turns)[1:-1])
        return self._begun

    def _turns(self, request: Request) -> bytes:
        """Return the request's own turns: its text cut and in the user template, or its conversation without system
        messages, the last word of which is in the user template.
        """
        assert self._render is not None
        if not request.messages:
            text, most = request.text, self._max_words
            short = len(text) < 2 * most  # so many words need a character each and one between them
            return _encode(Turn("user", self._render(text if short else prompting.cut(text, most))))
        turns = [turn for turn in request.messages if turn.role != "system"]
        if not turns:
            return b""
        last = turns[-1]
        rendered = self._render(last.content) if last.role == "user" else last.content
        return _encode([*[_sent(turn, turn.content) for turn in turns[:-1]], _sent(last, rendered)])[1:-1]


def renderer(prompt: Prompt, contract: Contract) -> Callable[[str], str]:
    """Return what `prompting.render_user` gives for a text, without a template's cost where its form allows.

    Raises BriefError where the template fails on any text; one that is not cut in pieces may fail on one alone.
    """

    def by_template(text: str) -> str:
        return prompting.render_user(prompt, contract, text)

    source = prompt.user
    places = len(_PLACE.findall(source))
    if not 0 < places <= MOST_PLACES or len(source) > templating.MOST_SOURCE or "{%" in source or "{#" in source:
        return by_template
    if re.search(r"\btext\b", "".join(re.findall(r"\{\{.*?\}\}", _PLACE.sub("", source), re.DOTALL))):
        return by_template
    mark = secrets.token_hex(16)
    pieces = by_template(f"<{mark}>").split(f"<{mark}>")
    if len(pieces) != places + 1:
        return by_template
    return lambda text: text.join(pieces).strip()


def _sent(turn: Message, content: str) -> Turn | dict[str, Any]:
    """Return a message as it goes out: what it holds besides its text is passed on."""
    if not turn.extra:
        return Turn(turn.role, content)
    extra: dict[str, Any] = msgspec.json.decode(turn.extra)
    return {"role": turn.role, "content": content} | extra
