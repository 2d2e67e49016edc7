"""Which columns of data.slices a candidate reads beside the text, its members' included.

Takes candidates of the vault, gives names. A kind whose models read columns says so by a function `columns(settings)`;
one without it reads none.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id
from lifeloop.models.model import ModelKind
from lifeloop.store.vault import Vault


def columns_read(vault: Vault, candidate_id: Id) -> frozenset[str]:
    """Return the columns that a candidate's answers may depend on. Raises StoreError, or BriefError for its kind."""
    candidate = vault.get_value(candidate_id, Candidate)
    kind: ModelKind = plugins.get("models", candidate.kind, where=f"candidate {candidate.name}")
    own = columns_of(kind, candidate.settings)
    return own.union(*(columns_read(vault, member) for member in candidate.members))


def columns_of(kind: ModelKind, settings: dict[str, Any]) -> frozenset[str]:
    """Return the columns that a kind reads with settings as a candidate holds them."""
    named: Callable[[Any], tuple[str, ...]] | None = getattr(kind, "columns", None)
    return frozenset(named(msgspec.convert(settings, kind.settings))) if named else frozenset()
