"""API keys that a deployment declares: in a file or the environment, where nobody runs commands against the ledger.

LIFELOOP_API_KEYS_FILE names a file, such as a mounted secret; LIFELOOP_API_KEYS holds the same text itself. It is a
JSON list of objects, each with `key` (`ll-ID-SECRET`) and, where wanted, `name`, `scopes`, `projects` and limits.
"""

import os
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop.core.errors import GatewayError
from lifeloop.core.keys import SCOPES, Key, KeyLimits, hash_secret, read_key

VARIABLE, FILE_VARIABLE = "LIFELOOP_API_KEYS", "LIFELOOP_API_KEYS_FILE"
_FORM = 'write [{"key": "ll-ID-SECRET", "scopes": ["infer", "feedback"]}]'


class DeclaredKey(Struct, frozen=True):
    """A declared key without its secret."""

    key: Key
    hash: str
    source: str = ""
    """The variable that declares it."""


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    name: str = ""
    scopes: tuple[str, ...] = ("infer", "feedback")
    projects: tuple[str, ...] = ()
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    usd_per_day: float = 0.0


def read_declared() -> tuple[DeclaredKey, ...] | None:
    """Return the keys of the file and of the environment, or None where neither variable is set.

    Raises GatewayError that names the variable and the entry, and never holds a key.
    """
    if not (os.environ.get(FILE_VARIABLE) or os.environ.get(VARIABLE)):
        return None
    found: list[DeclaredKey] = []
    if name := os.environ.get(FILE_VARIABLE):
        try:
            found += _entries(Path(name).read_bytes(), FILE_VARIABLE)
        except OSError as error:
            what = f"the file that it names cannot be read: {error.strerror}"
            raise GatewayError(what, where=FILE_VARIABLE, fix="check the path and its permissions") from None
    if text := os.environ.get(VARIABLE):
        found += _entries(text.encode(), VARIABLE)
    return tuple(found)


@lru_cache(maxsize=4)  # asked for several times a second, and nearly always the same
def _entries(text: bytes, where: str) -> tuple[DeclaredKey, ...]:
    try:
        entries = msgspec.json.decode(text, type=tuple[_Entry, ...])
    except msgspec.ValidationError as error:  # names the place and the type, never a value
        raise GatewayError(str(error), where=where, fix=_FORM) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise GatewayError("it is not JSON", where=where, fix=_FORM) from None
    return tuple(_declared(entry, where, place) for place, entry in enumerate(entries, 1))


def _declared(entry: _Entry, source: str, place: int) -> DeclaredKey:
    where = f"{source}, entry {place}"
    parts = read_key(entry.key)
    if parts is None:
        fix = "ll-ID-SECRET, with an id of a-z and 0-9 and a secret of at least 16 letters, digits, - or _"
        raise GatewayError("`key` has not the form of a key", where=where, fix=fix)
    if unknown := set(entry.scopes) - set(SCOPES):
        raise GatewayError(f"{len(unknown)} of its scopes are none", where=where, fix=f"use: {', '.join(SCOPES)}")
    amounts = (entry.requests_per_minute, entry.tokens_per_minute, entry.usd_per_day)
    if min(amounts) < 0:
        raise GatewayError("a limit below 0", where=where, fix="0 is no limit")
    identifier, secret = parts
    limits = KeyLimits(*amounts)
    key = Key(identifier, entry.name or identifier, frozenset(entry.scopes), limits, entry.projects)
    return DeclaredKey(key, hash_secret(secret), source)
