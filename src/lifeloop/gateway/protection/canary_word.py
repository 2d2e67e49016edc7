"""The canary's word: one for a project and all its workers, made of a secret in the project's state folder."""

import contextlib
import hashlib
import os
from pathlib import Path

from lifeloop.core.errors import StoreError

FILE = "canary.key"
LETTERS = 18


def canary_word(state: Path) -> str:
    """Return the word, of small letters; the secret is made on first use, and deleting its file makes a new word.

    Raises StoreError where it can be neither read nor written.
    """
    path = state / FILE
    try:
        with contextlib.suppress(FileExistsError):
            _make(path)
        secret = path.read_bytes()
    except OSError as error:
        fix = "check the folder and its permissions, or set gateway.protection.canary = false"
        raise StoreError(f"the canary's secret cannot be had: {error.strerror}", where=str(path), fix=fix) from error
    digest = hashlib.blake2b(secret, digest_size=32, person=b"lifeloop-canary").digest()
    # It begins as no word does, so that streams are hardly ever held back for what may become it.
    return "zqx" + "".join(chr(ord("a") + byte % 26) for byte in digest[: LETTERS - 3])


def _make(path: Path) -> None:
    """Write a new secret, whole or not at all; another process may be as quick. Raises FileExistsError."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{FILE}.{os.getpid()}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, os.urandom(32))
    finally:
        os.close(file)
    try:
        os.link(draft, path)
    finally:
        draft.unlink()
