"""API keys: who may ask the gateway what, and how much of it. The words, and how a key is written.

A key reads `ll-ID-SECRET`. The id is public: it stands in events and lists. Of the secret only the SHA-256 is kept;
it is random and long, so no salt and no slow hash is needed. Knows nothing of where keys are kept.
"""

import hashlib
import re
from typing import Annotated

from msgspec import Meta, Struct

SCOPES = ("infer", "feedback", "admin")
"""What a key may be for: asking for answers, saying what one thinks of them, and everything."""

_WRITTEN = re.compile(r"ll-([a-z0-9]{1,32})-([A-Za-z0-9_-]{16,256})")

Count = Annotated[int, Meta(ge=0)]


class KeyLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """How much a key may ask for; 0: as much as it likes."""

    requests_per_minute: Count = 0
    """In any 60 seconds."""
    tokens_per_minute: Count = 0
    """Read and written, in any 60 seconds."""
    usd_per_day: Annotated[float, Meta(ge=0.0)] = 0.0
    """Paid to endpoints, in a day of UTC."""

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return bool(self.requests_per_minute or self.tokens_per_minute or self.usd_per_day)


class Key(Struct, frozen=True):
    """An API key as the gateway sees it: all but its secret."""

    id: str
    name: str
    scopes: frozenset[str]
    limits: KeyLimits = KeyLimits()
    projects: tuple[str, ...] = ()
    """Those it is for; empty for the ledger's own."""
    expires: float = 0.0
    """Seconds since the epoch, UTC; 0 for never."""

    def allows(self, scope: str) -> bool:
        """Return whether the key may be used for that; "admin" includes the others."""
        return scope in self.scopes or "admin" in self.scopes

    def serves(self, project: str) -> bool:
        """Return whether the key is for that project."""
        return not self.projects or project in self.projects


def write_key(id: str, secret: str) -> str:
    """Return a key as its holder keeps it."""
    return f"ll-{id}-{secret}"


def read_key(text: str) -> tuple[str, str] | None:
    """Return a key's id and secret, or None where the text is no key."""
    found = _WRITTEN.fullmatch(text)
    return (found[1], found[2]) if found else None


def hash_secret(secret: str) -> str:
    """Return what is kept of a secret: its SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()
