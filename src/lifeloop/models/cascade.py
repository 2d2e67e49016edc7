"""Cascade: the cheap member answers when it is sure; otherwise the next one is asked.

Holds its members and one threshold; what they are and where the threshold came from is not its business.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Example, Profile
from lifeloop.core.errors import ModelError
from lifeloop.models.losses import Floats, qualities
from lifeloop.models.model import Model, whole
from lifeloop.tasks.task import Scope, Task


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers, and when to go on."""

    members: Annotated[tuple[str, ...], Meta(min_length=2)]
    """Names of two or more candidates, the cheapest first."""
    threshold: float | None = None
    """Least confidence at which a member's answer stands; left out, it is chosen on validation."""
    risk: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None
    """Share of the requests that may be answered worse than the last member would have; the threshold is then the
    cheapest that keeps it. Left out, the threshold is the one with the best score."""
    risk_on: str = ""
    """What may go wrong, in words; training writes it."""
    validation_risk: float | None = None
    """The share that went wrong on validation at the threshold; training writes it."""


class Cascade:
    """Asks members in turn."""

    def __init__(self, names: Sequence[str], members: Sequence[Model], threshold: float) -> None:
        self._names = tuple(names)
        self._members = tuple(members)
        self._threshold = threshold
        self.batch_size = members[0].batch_size
        self.concurrency = min(member.concurrency for member in members)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return for each request the answer of the first member that is sure, or of the last that answered at all.

        Tokens and money are those of every member that was asked.
        """
        answers = [Answer(output="", error="nobody was asked") for _ in requests]
        waiting = list(range(len(requests)))
        for name, member in zip(self._names, self._members, strict=True):
            said = member.answer([requests[place] for place in waiting])
            for place, answer in zip(waiting, said, strict=True):
                answers[place] = self._add(answers[place], answer, name)
            waiting = [place for place in waiting if not self._sure(answers[place])]
            if not waiting:
                break
        return answers

    def _sure(self, answer: Answer) -> bool:
        return not answer.error and answer.confidence is not None and answer.confidence >= self._threshold

    @staticmethod
    def _add(before: Answer, answer: Answer, name: str) -> Answer:
        kept = before if answer.error and not before.error else msgspec.structs.replace(answer, by=name)
        return msgspec.structs.replace(
            kept,
            tokens_in=before.tokens_in + answer.tokens_in,
            tokens_out=before.tokens_out + answer.tokens_out,
            usd=before.usd + answer.usd,
        )

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the whole output once somebody is sure: nobody can take back half an answer."""
        return whole(self, request)

    def close(self) -> None:
        """Close the members."""
        for member in self._members:
            member.close()


def losses(
    task: Task,
    examples: Sequence[Example],
    answers: Sequence[Answer],
    last: Sequence[Answer],
    scope: Scope,
    metric: str = "",
) -> Floats:
    """Return by how much a cascade's own answers were worse than its last member's: (n_counted,), in [0, 1].

    `last` holds that member's answers to the same examples; `metric` is the brief's first objective. Examples to which
    it does not apply are not counted.
    """
    own, other = (qualities(task, examples, said, scope, metric) for said in (answers, last))
    lost = np.maximum(other - own, 0.0)
    counted: Floats = lost[~np.isnan(lost)]
    return counted


class CascadeKind:
    """Model kind "cascade"."""

    settings = Settings
    tasks = ("classify", "generate", "chat")
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the members behind the threshold."""
        settings = msgspec.convert(candidate.settings, Settings)
        if len(members) < 2:
            raise ModelError(
                "a cascade needs two members at least",
                where=f"candidates.{candidate.name}.members",
                fix='write members = ["CHEAP", "BROAD"]',
            )
        if settings.threshold is None:
            raise ModelError("no threshold was chosen", where=f"candidate {candidate.name}", fix="run the cycle again")
        return Cascade(settings.members, members, settings.threshold)

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the overhead alone; the plan adds the members, the dearer ones for a third of the items."""
        return Estimate(memory_gb=0.0, build_seconds=0.1, seconds_per_item=0.0, basis="its members")


KIND = CascadeKind()
