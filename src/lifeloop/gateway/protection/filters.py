"""The brief's filters at work: on requests before anybody is asked, on answers before they go out, whole or in pieces.

Knows which system prompts each released candidate answers under, once `learn` has read them. What the filters look for
is theirs to know (`lifeloop.filters`).
"""

import json
from collections.abc import Sequence

from lifeloop import plugins
from lifeloop.core.candidates import Candidate, Choices
from lifeloop.core.content import Id
from lifeloop.core.errors import LifeloopError
from lifeloop.core.gateway_brief import Protection
from lifeloop.filters.canary import Canary
from lifeloop.filters.filter import About
from lifeloop.filters.protection import Named, named_filters
from lifeloop.gateway.asking.answering import Asked, Withheld
from lifeloop.gateway.protection.texts_within import (
    CONTENT,
    Texts,
    Unreadable,
    place_before,
    strings_in,
    unescaped,
    unfinished,
    with_unescaped,
)
from lifeloop.gateway.web.errors import RequestError
from lifeloop.models.canary import reads_prompt
from lifeloop.models.prompting import PLAIN, render_system
from lifeloop.store.vault import Vault

USUAL_ENDS = frozenset({"", "stop", "length", "tool_calls", "function_call", "content_filter"})
"""Why answers end, in OpenAI's words."""
PAST = 120
"""Characters that went out already and are still shown to a stream's filters: where a word or a row began."""


class Filters:
    """The filters of one gateway."""

    def __init__(self, protection: Protection, canary: str = "") -> None:
        """`canary` is the word that system prompts hold, or "". Raises BriefError where a filter is none."""
        self._input = named_filters(protection.input_filters, "input")
        self._output = named_filters(protection.output_filters, "output")
        self._canary = canary
        if canary:
            self._output = (*self._output, Named("canary", Canary()))
        self._about: dict[Id, About] = {}
        self._unknown = About(canary=canary)

    def learn(self, vault: Vault, identifier: Id) -> None:
        """Read under which system prompts a candidate answers, its members' included. Blocks; call it on loading.

        Raises StoreError where the candidate cannot be read.
        """
        if self._output:
            systems = dict.fromkeys(_systems(vault, identifier))
            self._about[identifier] = About(tuple(systems), self._canary)

    def check_input(self, asked: Asked) -> None:
        """Raise RequestError where a filter refuses what is asked."""
        if not self._input:
            return
        request = asked.request
        texts = [message.content for message in request.messages] or [request.text]
        more = [json.loads(message.extra) for message in request.messages if message.extra]
        self.check_texts([*texts, *strings_in([*more, request.options, request.columns])])

    def check_texts(self, texts: Sequence[str]) -> None:
        """Raise RequestError where a filter refuses one of the texts of a request."""
        if not self._input:
            return
        for text in dict.fromkeys(with_unescaped(texts)):
            for named in self._input:
                if why := named.filter.check(text, self._unknown, True):
                    message = f"The filter `{named.name}` refuses the request: {why}."
                    raise RequestError(400, message, code="content_filter")

    def check_output(self, candidate_id: Id, output: str, choices: str = "", finish: str = "") -> str:
        """Return why an answer is withheld, or "" where it may go out; `choices` is JSON, `finish` why it ended."""
        if not self._output:
            return ""
        about = self._about.get(candidate_id, self._unknown)
        texts = Texts()
        try:
            if choices:
                texts.read(choices)
        except Unreadable as error:
            return str(error)
        return _check_all(self._output, [output, *_unusual(finish), *texts.all()], about)

    def check_held(self, candidate_id: Id, before: str, held: Sequence[str | Choices], finish: str = "") -> str:
        """Return why what a stream has held is withheld, or ""; `before` is the text that comes before it."""
        if not self._output or not (held or _unusual(finish)):
            return ""
        about = self._about.get(candidate_id, self._unknown)
        texts, plain = Texts(), [before]
        texts.add(before, CONTENT)
        try:
            for each in held:
                if isinstance(each, Choices):
                    texts.read(each.raw)
                    plain.append(each.text)
                else:
                    texts.add(each, CONTENT)
                    plain.append(each)
        except Unreadable as error:
            return str(error)
        return _check_all(self._output, ["".join(plain), *_unusual(finish), *texts.all()], about)

    def stream(self, candidate_id: Id) -> "Screen | None":
        """Return what a stream's pieces go through, or None where they may go out as they come."""
        if not self._output:
            return None
        return Screen(self._output, self._about.get(candidate_id, self._unknown))


class Screen:
    """Lets a stream's text out as far as no filter may still object to it, and holds the rest back."""

    def __init__(self, filters: Sequence[Named], about: About) -> None:
        self._filters = filters
        self._about = about
        self._past = ""
        self._held = ""

    def feed(self, text: str) -> str:
        """Take a piece; return what may go out now, perhaps nothing. Raises Withheld."""
        past = self._past
        whole = past + self._held + text
        if why := _check(self._filters, whole, self._about, False):
            raise Withheld(why)
        out = self._open(whole)
        if "\\" in whole:  # the text may be JSON, of which its reader sees what the escapes mean
            plain = unescaped(whole)
            if plain != whole:
                if why := _check(self._filters, plain, self._about, False):
                    raise Withheld(why)
                out = min(out, place_before(whole, self._open(plain)))
            out = min(out, unfinished(whole))
        out = max(out, len(past))
        self._held = whole[out:]
        self._past = _tail(whole[:out])
        return whole[len(past) : out]

    def end(self) -> str:
        """Return what was held back, now that nothing follows. Raises Withheld."""
        if why := _check_all(self._filters, [self._past + self._held], self._about):
            raise Withheld(why)
        held, self._held = self._held, ""
        return held

    def _open(self, text: str) -> int:
        """Return the place in a text from which on a filter may still need it."""
        return min([named.filter.open(text, self._about) for named in self._filters])


def _check(filters: Sequence[Named], text: str, about: About, whole: bool) -> str:
    for named in filters:
        if why := named.filter.check(text, about, whole):
            return f"{why} (filter {named.name})"
    return ""


def _check_all(filters: Sequence[Named], texts: Sequence[str], about: About) -> str:
    """Return why one of several texts may not pass, or "". All are whole."""
    for text in dict.fromkeys(with_unescaped(texts)):
        if why := _check(filters, text, about, True):
            return why
    return ""


def _unusual(finish: str) -> tuple[str, ...]:
    """Return why an answer ended, where that is an endpoint's own words."""
    return () if finish in USUAL_ENDS else (finish,)


def _tail(text: str) -> str:
    """Return the last words of a text: a cut word could be taken for something else."""
    if len(text) <= PAST:
        return text
    tail = text[-PAST:]
    return tail[next((place for place, letter in enumerate(tail) if letter.isspace()), 0) :]


def _systems(vault: Vault, identifier: Id) -> list[str]:
    """Return the system prompts of a candidate and its members, as they are sent but for the canary."""
    candidate = vault.get_value(identifier, Candidate)
    found = [system for member in candidate.members for system in _systems(vault, member)]
    if reads_prompt(candidate):
        contract = plugins.get("tasks", candidate.task).contract(candidate.labels)
        try:
            found.append(render_system(candidate.prompt or PLAIN, contract))
        except LifeloopError:  # then it never answers
            return found
    return found
