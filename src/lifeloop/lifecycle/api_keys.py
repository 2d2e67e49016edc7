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
    works_until: float | None = None
    """Of a rotated key: until when the secret before works too, in seconds since the epoch; None for not at all."""


class KeyState(Struct, frozen=True):
    """How a key stands."""

    id: str
    name: str
    state: Literal["valid", "expired", "revoked"]
    scopes: tuple[str, ...]
    projects: tuple[str, ...]
    """Empty for the ledger's own."""
    limits: KeyLimits
    expires: float | None
    """Seconds since the epoch, UTC; None for never."""
    created: float | None
    """None of a declared key: when and by whom is not on record."""
    created_by: str
    changed: float | None
    changed_by: str
    overlap: float | None
    """Until when the secret before the last rotation works; None where none does."""
    source: str = "ledger"
    """Where it is from: the ledger, or the environment variable that declares it."""


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
    """Make a key that is valid for `days`, or for ever where they are 0.

    Raises GatewayError for an unknown scope and for an empty name.
    """
    if not name.strip():
        fix = "name who is to use it: `lifeloop keys create website`"
        raise GatewayError("a key without a name", where="lifeloop keys create", fix=fix)
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

    `id` is the key's, or its beginning. Raises GatewayError where there is no such valid key, or several.
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
    return MadeKey(row.id, row.name, write_key(row.id, secret), until or None)


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
        expires=last.expires or None,
        created=first.at,
        created_by=first.by,
        changed=last.at,
        changed_by=last.by,
        overlap=last.overlap if last.overlap > now else None,
    )


def _append(ledger: Ledger, make: Callable[[Sequence[KeyRow]], KeyRow]) -> KeyRow:
    """Add a row that rests on all rows before it; where another process was faster, on those there are now."""
    for _ in range(ATTEMPTS):
        rows = ledger.key_rows()
        row = _changed(make(rows), sequence=(rows[-1].sequence if rows else 0) + 1)
        if ledger.add_key(row):
            return row
    raise StoreError("other processes change API keys all the time", where=ledger.name, fix="try again")


def _last(rows: Sequence[KeyRow], prefix: str) -> KeyRow:
    """Return the last row of the key whose id begins so, and that is not revoked."""
    last = {row.id: row for row in rows if row.id.startswith(prefix)}
    if not last or not prefix:
        raise GatewayError(f"there is no API key {prefix[:32]!r}", fix="`lifeloop keys list` shows them")
    if len(last) > 1 and prefix not in last:
        fix = f"say which: {', '.join(last)}"
        raise GatewayError(f"the ids of {len(last)} API keys begin with {prefix!r}", fix=fix)
    row = last.get(prefix) or next(iter(last.values()))
    if row.action == "revoked":
        raise GatewayError(f"the API key {row.id} is revoked", fix="`lifeloop keys create` makes another")
    return row


def _changed(row: KeyRow, **values: Any) -> KeyRow:
    return msgspec.structs.replace(row, **values)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
