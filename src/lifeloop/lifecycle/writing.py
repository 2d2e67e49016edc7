"""Models of the brief as authors: who writes, what was written before, and what writing may cost.

Takes writings, gives answers, from the cache of responses where they are there. Knows nothing of what is written, or
of what becomes of it.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.brief import Brief, convert_settings
from lifeloop.core.candidates import Answer, Candidate
from lifeloop.core.content import Id, content_id
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.engine.cached import Said, encoded, known
from lifeloop.engine.spending import Meter
from lifeloop.models.answering_id import PRICES, UNHEARD
from lifeloop.models.model import ModelKind, Writes, Writing
from lifeloop.stages.adapt import NOT_SETTINGS
from lifeloop.store.responses import Responses

_ITS_TASK = frozenset(
    {"prompt", "shots", "shot_words", "max_words", "cue", "calibrate", "temperature", "max_tokens", "threads"}
)
"""Settings of how a candidate does its own task: what it writes for us does not hang on them."""


class Author(Struct, frozen=True):
    """A candidate of the brief that writes."""

    name: str
    kind: str
    settings: dict[str, Any]
    """The kind's, complete with defaults."""
    whom: Id
    """Hash of what of these its replies depend on."""


class Piece(Struct, frozen=True):
    """What is written, in the words that people are told of it."""

    noun: str
    """What the total counts: synthetic rows, say."""
    total: int
    key: str
    """The key of the brief by which there are fewer."""


def author_of(brief: Brief, name: str) -> Author:
    """Return a candidate as an author. Raises BriefError for its settings."""
    table = brief.candidates[name]
    kind: ModelKind = plugins.get("models", table["kind"])
    given = {key: value for key, value in table.items() if key not in NOT_SETTINGS}
    settings = msgspec.to_builtins(convert_settings(given, kind.settings, f"candidates.{name}", "lifeloop.toml"))
    heard = {key: value for key, value in settings.items() if key not in UNHEARD | _ITS_TASK}
    return Author(name, table["kind"], settings, content_id([table["kind"], kind.version, heard]))


def loaded(author: Author) -> Any:
    """Return the author's model, which is `Writes`; its caller closes it. Raises ModelError."""
    kind: ModelKind = plugins.get("models", author.kind)
    model = kind.load(Candidate(author.name, author.kind, "generate", (), author.settings), None, ())
    assert isinstance(model, Writes), "a brief that names another model is not opened: project.check_names"
    return model


class Pen:
    """Asks a model for texts: those it has written before from the cache, the others within what may be spent."""

    def __init__(
        self,
        model: Writes,
        author: Author,
        piece: Piece,
        responses: Responses,
        cycle: int,
        meter: Meter,
        progress: Progress,
    ) -> None:
        """`meter` counts what this and other pens are paid; `cycle` pays."""
        self._model = model
        self._author = author
        self._piece = piece
        self._responses = responses
        self._cycle = cycle
        self._progress = progress
        self._meter = meter
        prices = [author.settings[key] for key in PRICES if key in author.settings]
        self._paid = bool(prices)
        self._spends = {"usd", "tokens"} if any(prices) else {"tokens"} if prices else set[str]()
        self._done, self._answered = 0, 0

    def write(self, writings: Sequence[Writing]) -> list[Answer]:
        """Return one answer a writing. Raises ModelError where the budget ends, or not one was ever answered."""
        keys = [bytes.fromhex(content_id([self._author.whom, writing]))[:16] for writing in writings]
        found = {key: said.answer for key, said in known(self._responses, keys).items()}
        missing = [(key, writing) for key, writing in zip(keys, writings, strict=True) if key not in found]
        if missing:
            self._check_budget(len(missing))
            begun = time.monotonic()
            answers = self._model.write([writing for _, writing in missing])
            seconds = (time.monotonic() - begun) / len(missing)
            self._keep([key for key, _ in missing], answers, seconds)
            found |= {key: answer for (key, _), answer in zip(missing, answers, strict=True)}
        said = [found[key] for key in keys]
        self._done += len(said)
        self._answered += sum(not answer.error for answer in said)
        if not self._answered and said:
            raise ModelError(
                f"not one of {self._done} requests was answered: {said[0].error}",
                where=f"candidates.{self._author.name}",
                fix="see that the model answers, then run again",
            )
        self._progress(self._done, self._piece.total, f"writing {self._piece.noun}")
        return said

    def _check_budget(self, n: int) -> None:
        key = self._meter.used_up(n, self._meter.n_paid, self._spends)
        if not key:
            return
        words = {"usd": "money", "tokens": "tokens", "minutes": "time"}
        raise ModelError(
            f"the budget of {words[key]} is used up after {self._done} of {self._piece.total} {self._piece.noun}; "
            "what was written is kept",
            where=f"lifeloop.toml: budget.{key}",
            fix=f"raise it and run again, or lower {self._piece.key}",
        )

    def _keep(self, keys: Sequence[bytes], answers: Sequence[Answer], seconds: float) -> None:
        """Commit what came, and what it cost."""
        usd, tokens = self._meter.add(answers) if self._paid else (0.0, 0)
        good = [
            (key, encoded(Said(answer, seconds))) for key, answer in zip(keys, answers, strict=True) if not answer.error
        ]
        self._responses.put(good, cycle=self._cycle, usd=usd, tokens=tokens)
