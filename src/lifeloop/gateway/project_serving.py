"""What a project's gateway serves, from its folder: where its events go, which models live in a process of their own.

Takes an opened project, gives a Serving for one worker. Knows nothing of requests.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id
from lifeloop.gateway.canary_word import canary_word
from lifeloop.gateway.serving import Serving
from lifeloop.models.canary import with_canary
from lifeloop.models.loading import load_candidate
from lifeloop.models.model import Model
from lifeloop.project import Project
from lifeloop.store.ledger import attach_ledger
from lifeloop.store.vault import Vault

EVENTS = "events"
"""Folder of the project's state for the segment logs of its workers."""
LIMITS = "limits"
"""File of the project's state in which its workers share what their keys have used."""


def serving_of(project: Project, *, place: int = 0, control: Path | None = None) -> Serving:
    """Return what one worker of a project's gateway serves.

    `place` numbers the worker; `control` is the socket of the processes that hold local models, or None where each
    worker holds its own.
    """
    brief, vault, canary = project.brief, project.open_vault(), canary_of(project)
    return Serving(
        project=brief.project.name,
        task=plugins.get("tasks", brief.project.task),
        ledger=attach_ledger(project.ledger_url),  # the database may be away: what a worker needs is remembered
        vault=vault,
        events=project.state / EVENTS,
        writer=f"worker-{place}",
        ship=False,
        load=_loader(vault, control, brief.gateway.hosting.separate, canary),
        settings=brief.gateway,
        limits=project.state / LIMITS,
        canary=canary,
    )


def canary_of(project: Project) -> str:
    """Return the word that goes into system prompts, or "" where the brief wants none. Raises StoreError."""
    return canary_word(project.state) if project.brief.gateway.protection.canary else ""


def _loader(vault: Vault, control: Path | None, separate: tuple[str, ...], canary: str) -> Callable[[Id], Model]:
    prepare = partial(with_canary, word=canary) if canary else None

    def load(identifier: Id) -> Model:
        if control is not None and lives_apart(vault, identifier, separate):
            from lifeloop.hosting.hosted import hosted

            return hosted(control, identifier)
        return load_candidate(vault, identifier, prepare=prepare)

    return load


def lives_apart(vault: Vault, identifier: Id, separate: tuple[str, ...]) -> bool:
    """Return whether a candidate, or one that it is composed of, is of a kind that gets a process of its own."""
    candidate = vault.get_value(identifier, Candidate)
    # A server that is joined by its URL has a process already: each worker asks it itself.
    apart = candidate.kind in separate and not candidate.settings.get("url")
    return apart or any(lives_apart(vault, member, separate) for member in candidate.members)
