"""What a project's gateway serves, from its folder: where its events go, which models live in a process of their own.

Takes an opened project, gives what its workers are told, and of that a Serving for each. Knows nothing of requests.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id
from lifeloop.core.gateway_brief import Gateway
from lifeloop.gateway.protection.canary_word import canary_word
from lifeloop.gateway.serving import Serving
from lifeloop.models.canary import with_canary
from lifeloop.models.loading import load_candidate
from lifeloop.models.model import Model
from lifeloop.place import STATE_FOLDER, ledger_url, vault_url
from lifeloop.store.ledger import attach_ledger
from lifeloop.store.vault import Vault

if TYPE_CHECKING:  # a worker needs none of what a project imports
    from lifeloop.project import Project

EVENTS = "events"
"""Folder of the project's state for the segment logs of its workers."""
LIMITS = "limits"
"""File of the project's state in which its workers share what their keys have used."""


class Setup(Struct, frozen=True):
    """What a worker is told by its supervisor. Workers do not read the brief: one that is half edited stops none."""

    folder: str
    """The project's."""
    control: str
    """Socket of the processes that hold local models; "" where each worker holds its own."""
    project: str
    task: str
    gateway: Gateway


def setup_of(project: "Project", control: Path | None = None) -> Setup:
    """Return what the workers of a project are told."""
    brief = project.brief
    return Setup(str(project.folder), str(control or ""), brief.project.name, brief.project.task, brief.gateway)


def serving_of(setup: Setup, place: int = 0) -> Serving:
    """Return what one worker serves; `place` numbers it."""
    folder, settings = Path(setup.folder), setup.gateway
    state = folder / STATE_FOLDER
    vault = Vault(vault_url(folder), cache=state / "cache")
    canary = canary_of(state, settings)
    control = Path(setup.control) if setup.control else None
    return Serving(
        project=setup.project,
        task=plugins.get("tasks", setup.task),
        ledger=attach_ledger(ledger_url(folder)),  # the database may be away: what a worker needs is remembered
        vault=vault,
        events=state / EVENTS,
        writer=f"worker-{place}",
        ship=False,
        load=_loader(vault, control, settings.hosting.separate, canary),
        settings=settings,
        limits=state / LIMITS,
        canary=canary,
    )


def canary_of(state: Path, settings: Gateway) -> str:
    """Return the word that goes into system prompts, or "" where the brief wants none. Raises StoreError."""
    return canary_word(state) if settings.protection.canary else ""


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
