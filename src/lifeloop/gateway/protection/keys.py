"""The API keys in memory: tells whose key a request brings and whether it may do what it asks.

`refresh`, called in the background every moment, reads what changed in the ledger and in the declared keys; `find`, on
the path of every request, touches neither. While the ledger cannot be read the keys read last go on working, and one
that starts meanwhile begins with those that another process wrote down. Knows nothing of limits.
"""

import hmac
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop.core.errors import LifeloopError, StoreError
from lifeloop.core.keys import Key, KeyLimits, hash_secret, read_key
from lifeloop.gateway.protection.declared_keys import DeclaredKey, read_declared
from lifeloop.gateway.web.errors import RequestError
from lifeloop.store.ledger import Ledger
from lifeloop.store.rows import KeyRow

log = logging.getLogger(__name__)

MOST_SEEN = 4096
"""Headers that are remembered; a key that is written in more ways than that is looked up anew."""
_CHALLENGE = {"www-authenticate": "Bearer"}


class _Held(Struct, frozen=True):
    """A key with what its secret is known by."""

    key: Key
    hash: str
    previous_hash: str = ""
    overlap: float = 0.0
    """Until when the secret before works."""
    revoked: bool = False


class _Seen(Struct, frozen=True):
    """What a header came to, and until when it is that."""

    key: Key
    until: float
    serves: bool


class KeyRing:
    """The keys of one gateway. `find` is for the event loop and returns at once; `refresh` blocks."""

    def __init__(
        self,
        ledger: Ledger,
        project: str,
        clock: Callable[[], float],
        declared: Callable[[], Sequence[DeclaredKey] | None] = read_declared,
        memory: Path | None = None,
    ) -> None:
        """`clock` gives seconds since the epoch, UTC; `declared` the keys of file and environment.
        Where it gives None, none are declared; an empty list keeps everybody out.

        `memory` is the file that keeps what the ledger said last, hashes and all but no secret; None for none.
        """
        self._ledger = ledger
        self._project = project
        self._clock = clock
        self._declared = declared
        self._memory = memory
        self._last = 0
        self._read = False  # whether the ledger was read, or else the memory
        self._away = False
        self._wrong = ""
        self._closed = False  # keys are declared, though perhaps none
        self._rows: dict[str, KeyRow] = {}
        self._of_ledger: dict[str, _Held] = {}
        self._of_place: dict[str, _Held] = {}
        self._held: dict[str, _Held] = {}
        self._seen: dict[bytes, _Seen] = {}

    @property
    def loaded(self) -> bool:
        """Whether the keys are known; until they are, nobody may ask."""
        return self._read and not (self._wrong and not self._held)

    @property
    def open(self) -> bool:
        """Whether everybody may ask: no key was ever created or declared."""
        return not self._held and self.loaded and not self._closed

    @property
    def limited(self) -> tuple[Key, ...]:
        """The keys that have a limit of money."""
        return tuple(held.key for held in self._held.values() if held.key.limits.usd_per_day and not held.revoked)

    def refresh(self) -> None:
        """Read what changed. Errors are logged once, and leave the keys as they were."""
        declared = self._read_declared()
        if self._read_ledger() or declared:
            self._held = {**self._of_ledger, **self._of_place}
            self._seen = {}

    def find(self, authorization: bytes | None, scope: str) -> Key | None:
        """Return the key of an `authorization` header; None while the gateway is open.

        Raises RequestError: 401 without a valid key, 403 where it is not for this, 503 while keys could not be read.
        """
        seen = self._seen.get(authorization) if authorization is not None else None
        if seen is None:
            if not self._held:
                if self.open:
                    return None
                if not self.loaded:
                    raise _unknown()
            seen = self._look_up(authorization)
        elif seen.until < self._clock():
            raise _invalid()
        if not seen.serves:
            raise RequestError(403, "This API key is not for this project.", code="wrong_project")
        key = seen.key
        if scope in key.scopes or key.allows(scope):
            return key
        raise RequestError(403, f"This API key is not for this: it lacks the scope `{scope}`.", code="missing_scope")

    def _look_up(self, authorization: bytes | None) -> _Seen:
        if authorization is None:
            message = "There is no API key; send one as `Authorization: Bearer KEY` or `x-api-key: KEY`."
            raise RequestError(401, message, code="missing_api_key", headers=_CHALLENGE)
        remember = self._seen  # another thread may put a new one in its place; what is found now belongs to this one
        seen = _recognised(self._held, authorization, self._clock(), self._project)
        if seen is None:
            raise _invalid()
        if len(remember) >= MOST_SEEN:
            remember.clear()
        remember[authorization] = seen
        return seen

    def _read_ledger(self) -> bool:
        """Read the rows that were added; return whether there are any."""
        try:
            rows = self._ledger.key_rows(self._last)
        except StoreError as error:
            if not self._away:
                log.warning("the ledger cannot be read, the API keys read last go on working: %s", error)
            self._away = True
            return not self._read and self._recall()
        self._away = False
        for row in rows:
            self._take(row)
        if self._memory is not None and (rows or not self._read):
            _remember(self._memory, list(self._rows.values()))
        self._read = True
        return bool(rows)

    def _recall(self) -> bool:
        """Begin with what another process wrote down; return whether there was anything."""
        rows = recalled(self._memory) if self._memory is not None else None
        if rows is None:
            return False
        for row in rows:
            self._take(row)
        self._read = True
        return bool(rows)

    def _take(self, row: KeyRow) -> None:
        self._rows[row.id] = row
        self._of_ledger[row.id] = _held(row)
        self._last = max(self._last, row.sequence)

    def _read_declared(self) -> bool:
        """Read the declared keys; return whether they changed."""
        try:
            declared = self._declared()
        except LifeloopError as error:
            if str(error) != self._wrong:
                log.error("the declared API keys cannot be used, those read last go on working: %s", error)
            self._wrong = str(error)
            return False
        self._wrong = ""
        self._closed = self._closed or declared is not None
        held = {each.key.id: _Held(each.key, each.hash) for each in declared or ()}
        changed, self._of_place = held != self._of_place, held
        return changed


def recalled(memory: Path) -> list[KeyRow] | None:
    """Return the keys that a gateway wrote down beside the ledger, or None where it never did."""
    try:
        return msgspec.json.decode(memory.read_bytes(), type=list[KeyRow])
    except (OSError, msgspec.DecodeError):
        return None


def _remember(memory: Path, rows: Sequence[KeyRow]) -> None:
    """Write the last row of each key; a disk that takes nothing is logged and does no harm."""
    draft = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        draft.touch(0o600)
        draft.write_bytes(msgspec.json.encode(rows))
        draft.replace(memory)
    except OSError as error:
        log.warning("the hashes of API keys cannot be written down for a start without ledger: %s", error.strerror)
        draft.unlink(missing_ok=True)


def _held(row: KeyRow) -> _Held:
    key = Key(
        id=row.id,
        name=row.name,
        scopes=msgspec.json.decode(row.scopes, type=frozenset[str]),
        limits=msgspec.json.decode(row.limits, type=KeyLimits),
        projects=msgspec.json.decode(row.projects, type=tuple[str, ...]),
        expires=row.expires,
    )
    return _Held(key, row.hash, row.previous_hash, row.overlap, revoked=row.action == "revoked")


def _recognised(held: dict[str, _Held], authorization: bytes, now: float, project: str) -> _Seen | None:
    """Return what a header is worth, or None where it brings no valid key. Secrets are compared in constant time."""
    scheme, _, text = authorization.decode("latin-1").strip().partition(" ")
    parts = read_key(text.strip()) if scheme.lower() == "bearer" else None
    if parts is None:
        return None
    known = held.get(parts[0])
    hashed = hash_secret(parts[1])
    if known is None or known.revoked:
        return None
    until = known.key.expires or float("inf")
    if not hmac.compare_digest(hashed, known.hash):
        if not (known.previous_hash and hmac.compare_digest(hashed, known.previous_hash)):
            return None
        until = min(until, known.overlap)
    return _Seen(known.key, until, known.key.serves(project)) if now <= until else None


def _invalid() -> RequestError:
    return RequestError(401, "The API key is not valid.", code="invalid_api_key", headers=_CHALLENGE)


def _unknown() -> RequestError:
    message = "The API keys could not be read yet; try again shortly."
    return RequestError(503, message, code="not_ready", headers={"retry-after": "1"})
