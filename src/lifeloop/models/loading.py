"""From a candidate's id to a model that answers, members first."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id
from lifeloop.models.model import Model, ModelKind
from lifeloop.store.vault import Vault

Prepare = Callable[[Candidate], Candidate]
"""What is done to a candidate before it is loaded: the gateway puts its canary word into prompts."""


@runtime_checkable
class LoadsToServe(Protocol):
    """What a kind may offer besides: a form of its models for many requests at once, where a trial wants them alone."""

    def load_to_serve(self, candidate: Candidate, folder: Path | None, members: Sequence[Model], slots: int) -> Model:
        """Return the candidate ready to work on `slots` requests together. Raises ModelError."""


def load_candidate(vault: Vault, identifier: Id, prepare: Prepare | None = None) -> Model:
    """Return the model of a candidate in the vault. Raises ModelError or StoreError."""
    candidate, kind, folder = _found(vault, identifier, prepare)
    members = [load_candidate(vault, member, prepare) for member in candidate.members]
    return kind.load(candidate, folder, members)


def load_to_serve(vault: Vault, identifier: Id, slots: int, prepare: Prepare | None = None) -> Model:
    """Return the same for a process that serves, where `slots` requests are worked on together if the kind can.

    Answers are those of `load_candidate` up to the last digits of a confidence: what is batched is rounded otherwise.
    """
    candidate, kind, folder = _found(vault, identifier, prepare)
    members = [load_to_serve(vault, member, slots, prepare) for member in candidate.members]
    if isinstance(kind, LoadsToServe):
        return kind.load_to_serve(candidate, folder, members, slots)
    return kind.load(candidate, folder, members)


def _found(vault: Vault, identifier: Id, prepare: Prepare | None) -> tuple[Candidate, ModelKind, Path | None]:
    candidate = vault.get_value(identifier, Candidate)
    if prepare is not None:
        candidate = prepare(candidate)
    kind: ModelKind = plugins.get("models", candidate.kind, where=f"candidate {candidate.name}")
    return candidate, kind, vault.folder(candidate.files) if candidate.files else None
