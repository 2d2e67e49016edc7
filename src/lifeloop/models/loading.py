"""From a candidate's id to a model that answers, members first."""

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id
from lifeloop.models.model import Model, ModelKind
from lifeloop.store.vault import Vault


def load_candidate(vault: Vault, identifier: Id) -> Model:
    """Return the model of a candidate in the vault. Raises ModelError or StoreError."""
    candidate = vault.get_value(identifier, Candidate)
    kind: ModelKind = plugins.get("models", candidate.kind, where=f"candidate {candidate.name}")
    members = [load_candidate(vault, member) for member in candidate.members]
    folder = vault.folder(candidate.files) if candidate.files else None
    return kind.load(candidate, folder, members)
