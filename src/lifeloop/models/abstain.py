"""Abstain: one member answers, and what it is not sure enough of is withheld.

Holds the member and a threshold. Withheld means the out-of-scope label where the use case has one, and otherwise an
empty output; `by` names the member for what it answered, and nobody for what was withheld.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct

from lifeloop.core.candidates import Answer, Candidate, Estimate, Machine, Request
from lifeloop.core.data import Example, Profile
from lifeloop.core.errors import ModelError
from lifeloop.models.losses import ABSTAIN, ABSTAIN_IN_SCOPE, Floats, in_scope, qualities
from lifeloop.models.model import Model, whole
from lifeloop.tasks.task import Scope, Task


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who answers, and what share may go wrong."""

    members: Annotated[tuple[str, ...], Meta(min_length=1, max_length=1)]
    """The name of one candidate that gives a confidence."""
    risk: Annotated[float, Meta(gt=0.0, lt=1.0)] = 0.05
    """With an out-of-scope label, the share of in-scope requests that may be answered wrongly or withheld; without,
    the share of requests that may be answered wrongly."""
    threshold: float | None = None
    """Least confidence at which the answer stands; left out, it is set on validation so that the risk is kept."""
    out_of_scope: str | None = None
    """What a withheld answer says; left out, the brief's out-of-scope label, or nothing where there is none."""
    risk_on: str = ""
    """What may go wrong, in words; training writes it."""
    validation_risk: float | None = None
    """The share that went wrong on validation at the threshold; training writes it."""


class Abstaining:
    """A member whose unsure answers are withheld."""

    def __init__(self, name: str, member: Model, threshold: float, out_of_scope: str) -> None:
        self._name = name
        self._member = member
        self._threshold = threshold
        self._out_of_scope = out_of_scope
        self.batch_size = member.batch_size
        self.concurrency = member.concurrency

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the member's answers, the unsure ones withheld. What failed stays failed."""
        return [self._stands(answer) for answer in self._member.answer(requests)]

    def _stands(self, answer: Answer) -> Answer:
        if answer.error or (answer.confidence is not None and answer.confidence >= self._threshold):
            return msgspec.structs.replace(answer, by=self._name)
        if answer.output == self._out_of_scope:  # unsure which request it is, and saying so already
            return msgspec.structs.replace(answer, by=self._name)
        if not self._out_of_scope:  # sure of nothing, so that a cascade goes on
            return msgspec.structs.replace(answer, output="", confidence=0.0, by="")
        doubt = None if answer.confidence is None else 1.0 - answer.confidence
        return msgspec.structs.replace(answer, output=self._out_of_scope, confidence=doubt, by="")

    def stream(self, request: Request) -> Iterator[str | Answer]:
        """Yield the whole output once it is known to stand: nobody can take back half an answer."""
        return whole(self, request)

    def close(self) -> None:
        """Close the member."""
        self._member.close()


class AbstainKind:
    """Model kind "abstain"."""

    settings = Settings
    tasks = ("classify", "generate", "chat")
    version = "1"

    def load(self, candidate: Candidate, folder: Path | None, members: Sequence[Model]) -> Model:
        """Return the member behind its threshold."""
        settings = msgspec.convert(candidate.settings, Settings)
        if len(members) != 1:
            raise ModelError(
                "an abstaining candidate has one member",
                where=f"candidates.{candidate.name}.members",
                fix='write members = ["NAME"]',
            )
        if settings.threshold is None:
            raise ModelError("no threshold was chosen", where=f"candidate {candidate.name}", fix="run the cycle again")
        return Abstaining(settings.members[0], members[0], settings.threshold, settings.out_of_scope or "")

    def estimate(self, settings: Settings, profile: Profile, machine: Machine) -> Estimate:
        """Return the overhead alone; the plan adds the member."""
        return Estimate(memory_gb=0.0, build_seconds=0.1, seconds_per_item=0.0, basis="its member")


def losses(
    settings: Mapping[str, Any], task: Task, examples: Sequence[Example], answers: Sequence[Answer], scope: Scope
) -> Floats:
    """Return what an abstaining candidate's own answers lost, by the risk it was set for: (n_counted,), in [0, 1].

    `settings` are the candidate's. With an out-of-scope label only in-scope examples count, and a withheld one is
    lost; without, a withheld one loses nothing. A failed answer is a wrong one.
    """
    out_of_scope = settings.get("out_of_scope") or ""
    lost = 1.0 - np.nan_to_num(qualities(task, examples, answers, scope))
    counted = in_scope(examples, out_of_scope)
    if not out_of_scope:
        lost[[not answer.error and not answer.by for answer in answers]] = 0.0
    return lost[counted]


def risk_in_words(out_of_scope: str) -> str:
    """Return what the risk of an abstaining candidate is."""
    return ABSTAIN_IN_SCOPE if out_of_scope else ABSTAIN


KIND = AbstainKind()
