"""Making, rotating, limiting and revoking API keys: each is one more row in the ledger, and nothing is overwritten.

Takes a ledger, gives keys as their holders keep them, once. What a key may do while it is checked is the gateway's
business; a running gateway heeds each change within a second.
"""

import secrets
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lifeloop.core.errors import GatewayError, StoreError
from lifeloop.core.keys import SCOPES, KeyLimits, hash_secret, write_key
from lifeloop.store.ledger import Ledger
from lifeloop.store.rows import KeyRow

DAY = 86400.0
ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
ATTEMPTS = 20
NO_LIMITS = KeyLimits()


class MadeKey(Struct, frozen=True):
    """A new key or secret. Nobody can tell it again."""

    id: str
    name: str
    key: str
    """What its holder sends."""
    works_until: float = 0.0
    """Of a rotated key: until when the secret before works too, in seconds since the epoch; 0 for not at all."""


class KeyState(Struct, frozen=True):
    """How a key stands."""

    id: str
    name: str
    state: Literal["valid", "expired", "revoked"]
    scopes: tuple[str, ...]
    projects: tuple[str, ...]
    """Empty for the ledger's own."""
    limits: KeyLimits
    expires: float
    """Seconds since the epoch, UTC; 0 for never."""
    created: float
    created_by: str
    changed: float
    changed_by: str
    overlap: float
    """Until when the secret before the last rotation works; 0 where none does."""


def create_key(
    ledger: Ledger,
    name: str,
    *,
    scopes: Collection[str],
    projects: Sequence[str] = (),
    limits: KeyLimits = NO_LIMITS,
    days: float = 0.0,
    by: str,
    clock: Callable[[], float],
) -> MadeKey:
    """Make a key that is valid for `days`, or for ever where they are 0. Raises GatewayError for an unknown scope."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        what = f"there is no scope {unknown[0]!r}" if unknown else "a key without a scope is good for nothing"
        raise GatewayError(what, where="lifeloop keys create", fix=f"use: {', '.join(SCOPES)}")
    now = clock()
    identifier = "".join(secrets.choice(ID_LETTERS) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    row = KeyRow(
        sequence=0,
        id=identifier,
        action="created",
        name=name,
        hash=hash_secret(secret),
        previous_hash="",
        overlap=0.0,
        expires=now + days * DAY if days else 0.0,
        scopes=_json(sorted(scopes, key=SCOPES.index)),
        projects=_json(list(projects)),
        limits=_json(limits),
        by=by,
        at=now,
    )
    _append(ledger, lambda rows: row)
    return MadeKey(identifier, name, write_key(identifier, secret))


def rotate_key(ledger: Ledger, id: str, *, hours: float, by: str, clock: Callable[[], float]) -> MadeKey:
    """Give a key a new secret; the one before works on for `hours`, so that nobody is locked out meanwhile.

    Raises GatewayError where there is no such valid key.
    """
    secret = secrets.token_urlsafe(32)
    now = clock()
    until = now + hours * 3600.0 if hours > 0 else 0.0

    def rotated(rows: Sequence[KeyRow]) -> KeyRow:
        last = _last(rows, id)
        before = last.hash if until else ""
        return _changed(
            last, action="rotated", hash=hash_secret(secret), previous_hash=before, overlap=until, by=by, at=now
        )

    row = _append(ledger, rotated)
    return MadeKey(row.id, row.name, write_key(row.id, secret), until)


def limit_key(ledger: Ledger, id: str, *, by: str, clock: Callable[[], float], **changed: float) -> KeyState:
    """Change limits of a key, those of KeyLimits that are named; 0 lifts one. Raises GatewayError as `rotate_key`."""

    def limited(rows: Sequence[KeyRow]) -> KeyRow:
        last = _last(rows, id)
        limits = msgspec.structs.replace(msgspec.json.decode(last.limits, type=KeyLimits), **changed)
        return _changed(last, action="limited", limits=_json(limits), by=by, at=clock())

    return _state_of(ledger, _append(ledger, limited).id, clock())


def revoke_key(ledger: Ledger, id: str, *, by: str, clock: Callable[[], float]) -> KeyState:
    """End a key, with both its secrets, for good. Raises GatewayError as `rotate_key`."""

    def revoked(rows: Sequence[KeyRow]) -> KeyRow:
        last = _last(rows, id)
        return _changed(last, action="revoked", hash="", previous_hash="", overlap=0.0, by=by, at=clock())

    return _state_of(ledger, _append(ledger, revoked).id, clock())


def key_states(ledger: Ledger, now: float) -> list[KeyState]:
    """Return how all keys stand, the oldest first. `now` is in seconds since the epoch, UTC."""
    first: dict[str, KeyRow] = {}
    last: dict[str, KeyRow] = {}
    for row in ledger.key_rows():
        first.setdefault(row.id, row)
        last[row.id] = row
    return [_state(first[identifier], row, now) for identifier, row in last.items()]


def _state_of(ledger: Ledger, id: str, now: float) -> KeyState:
    return next(state for state in key_states(ledger, now) if state.id == id)


def _state(first: KeyRow, last: KeyRow, now: float) -> KeyState:
    expired = bool(last.expires) and last.expires < now
    return KeyState(
        id=last.id,
        name=last.name,
        state="revoked" if last.action == "revoked" else "expired" if expired else "valid",
        scopes=msgspec.json.decode(last.scopes, type=tuple[str, ...]),
        projects=msgspec.json.decode(last.projects, type=tuple[str, ...]),
        limits=msgspec.json.decode(last.limits, type=KeyLimits),
        expires=last.expires,
        created=first.at,
        created_by=first.by,
        changed=last.at,
        changed_by=last.by,
        overlap=last.overlap if last.overlap > now else 0.0,
    )


def _append(ledger: Ledger, make: Callable[[Sequence[KeyRow]], KeyRow]) -> KeyRow:
    """Add a row that rests on all rows before it; where another process was faster, on those there are now."""
    for _ in range(ATTEMPTS):
        rows = ledger.key_rows()
        row = _changed(make(rows), sequence=(rows[-1].sequence if rows else 0) + 1)
        if ledger.add_key(row):
            return row
    raise StoreError("other processes change API keys all the time", where=ledger.name, fix="try again")


def _last(rows: Sequence[KeyRow], id: str) -> KeyRow:
    """Return the last row of a key that is not revoked."""
    of_key = [row for row in rows if row.id == id]
    if not of_key:
        raise GatewayError(f"there is no API key {id[:32]!r}", where="api_keys", fix="`lifeloop keys list` shows them")
    if of_key[-1].action == "revoked":
        raise GatewayError(f"the API key {id} is revoked", where="api_keys", fix="`lifeloop keys create` makes another")
    return of_key[-1]


def _changed(row: KeyRow, **values: Any) -> KeyRow:
    return msgspec.structs.replace(row, **values)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
