"""What a candidate's responses depend on, as one id: the key under which they are cached.

Two candidates that would say the same to every request have the same one, whatever they are called, whatever data they
were made from, and however many requests they are asked at a time. Knows nothing of requests or of the cache.
"""

from lifeloop import plugins
from lifeloop.core.candidates import Candidate
from lifeloop.core.content import Id, content_id
from lifeloop.models.model import ModelKind
from lifeloop.store.vault import Vault

UNHEARD = frozenset(
    {"concurrency", "retries", "timeout_seconds", "usd_per_million_in", "usd_per_million_out", "api_key_env"}
)
"""Settings that change how long an answer takes or what it costs, never what it says."""
PRICES = ("usd_per_million_in", "usd_per_million_out")
NAMED = frozenset({"prompt"})
"""Settings that name what goes into the id by its content. (Members' names stay: `Answer.by` repeats them.)"""


Prices = tuple[float, float]
"""US dollars for a million tokens, read and written."""


def prices_of(vault: Vault, candidate_id: Id) -> Prices | None:
    """Return what a candidate's own settings say that tokens cost; None where they know of no prices."""
    settings = vault.get_value(candidate_id, Candidate).settings
    if not any(key in settings for key in PRICES):
        return None
    return float(settings.get(PRICES[0]) or 0.0), float(settings.get(PRICES[1]) or 0.0)


def answering_id(vault: Vault, candidate_id: Id) -> Id:
    """Return the hash of what determines a candidate's responses. Raises StoreError, or BriefError for its kind.

    Its own prices leave the responses as they are: these can be priced anew from their tokens. Those of a composed
    candidate cannot, since it adds up its members' tokens; so members' prices go into the id.
    """
    candidate = vault.get_value(candidate_id, Candidate)
    kind: ModelKind = plugins.get("models", candidate.kind, where=f"candidate {candidate.name}")
    settings = {key: value for key, value in candidate.settings.items() if key not in UNHEARD | NAMED}
    prompt = candidate.prompt
    prices = [prices_of(vault, member) for member in candidate.members]
    return content_id(
        {
            "kind": [candidate.kind, kind.version],
            "task": candidate.task,
            "labels": candidate.labels,
            "settings": settings,
            "files": candidate.files,
            "prompt": [prompt.system, prompt.user] if prompt else None,
            "members": [answering_id(vault, member) for member in candidate.members],
        }
        | ({"prices": prices} if any(prices) else {})
    )


def draws_at_random(vault: Vault, candidate_id: Id) -> bool:
    """Return whether the same request may be answered differently: it, or a member of it, has a temperature."""
    candidate = vault.get_value(candidate_id, Candidate)
    warm = float(candidate.settings.get("temperature") or 0.0) > 0
    return warm or any(draws_at_random(vault, member) for member in candidate.members)
