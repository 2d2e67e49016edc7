"""The seam of training: what turns settings and examples into the files of a candidate.

A trainer never sees the test and guard splits: there is no field to hand them over in.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from lifeloop.core.candidates import Answer, Prompt
from lifeloop.core.data import Example
from lifeloop.core.preferences import Preference
from lifeloop.core.progress import Progress
from lifeloop.tasks.task import Metric


def unmetered(usd: float, tokens: int) -> None:
    """Pay for answers where no budget is kept."""


def unwatched(step: int, score: float) -> None:
    """Go on, whatever was reached."""


class MemberAnswers(Struct, frozen=True):
    """How a member of a composed candidate answered the validation examples."""

    name: str
    answers: tuple[Answer, ...]
    """One a validation example, in their order."""
    usd_per_1000: float


class Materials(Struct, frozen=True):
    """Everything a candidate is made from."""

    task: str
    labels: tuple[str, ...]
    settings: Any
    """The settings type of the kind or the adaptation."""
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    prompt: Prompt | None
    parent: Path | None
    """Files of the candidate that is adapted."""
    parent_settings: dict[str, Any] | None
    """Its settings."""
    members: tuple[MemberAnswers, ...]
    seed: int
    parent_kind: str = ""
    """The model kind of the candidate that is adapted."""
    out_of_scope: str = ""
    """The label that means "none of the others", or ""."""
    metric: str = ""
    """For what is adapted or composed: the brief's first objective, which it is to make good."""
    scoring: Metric | None = None
    """That metric, where it is one that the brief declares; else the task has it."""
    preferences: tuple[Preference, ...] = ()
    """Trusted preferences to train on."""
    held_out: tuple[Preference, ...] = ()
    """Trusted preferences of other inputs, to watch alignment on."""
    doubted: tuple[Preference, ...] = ()
    """Quarantined preferences: for what would have happened with them, never for the candidate itself."""
    flip_rate: float = 0.0
    """Estimated share of the trusted pairs whose order is wrong, for losses that are robust to it."""
    corpus: tuple[Path, ...] = ()
    """Raw texts to pre-train on, one document a line of a JSONL with `text`."""
    taught: tuple[Answer, ...] = ()
    """What the teacher answered to the training examples, in their order; empty where there is no teacher."""
    scratch: Path | None = None
    """A folder of this very training that outlives a kill, for checkpoints; None where nothing is to be resumed."""
    project: Path | None = None
    """The project's folder, which files that settings name are relative to."""
    watch: Callable[[int, float], None] = unwatched
    """Called with the step and what validation says of it (more is better), each time it was measured. Raises
    `Outdone` where a search gives this training up."""
    pay: Callable[[float, int], None] = unmetered
    """Called with the USD and the tokens that an endpoint was paid; raises ModelError where the budget is used up."""


class Outdone(Exception):
    """A search gives up a training that falls behind the others. Trainers let it pass."""


class Decided(Struct, frozen=True):
    """What training decided about the candidate, beside the files that it wrote."""

    settings: dict[str, Any] = {}
    """Settings that it chose (a threshold, say), in place of those of the brief."""
    prompt: Prompt | None = None
    """The prompt that it wrote, in place of the recipe's; None to keep that."""
    kind: str = ""
    """The model kind that loads it, where an adaptation's is not its parent's."""
    score: float | None = None
    """What validation says of it in the end (more is better), for a search to compare; None where it was not asked."""


class Trainer(Protocol):
    """What the registry holds for each trainer and adaptation."""

    settings: type[Struct] | None
    """For an adaptation: the keys of `[candidates.NAME]` besides `parent` and `adapt`. None: those of the kind."""
    version: str
    """Changed by hand when the same materials would give another candidate.

    An adaptation may have more: `prefers(settings)` returns whether it wants preferences under such settings; `parents`
    are the model kinds it can start from, where not all can be; `makes` is the kind of its children, where that is not
    their parent's."""

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the candidate's files to `folder` and return what training decided.

        The same materials give the same files, up to floating-point noise. Raises ModelError.
        """
