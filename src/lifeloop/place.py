"""Where a project keeps its things: the brief's file, the state folder, the URLs of ledger and vault.

Light on purpose: `lifeloop status` needs no more than this and answers at once.
"""

import os
from pathlib import Path

from lifeloop.core.errors import BriefError

BRIEF_FILE = "lifeloop.toml"
STATE_FOLDER = ".lifeloop"


def ledger_url(folder: Path) -> str:
    """Return the ledger's URL: LIFELOOP_LEDGER, or SQLite in the project. Raises BriefError where that has no URL."""
    if url := os.environ.get("LIFELOOP_LEDGER"):
        return url
    path = folder.resolve() / STATE_FOLDER / "ledger.db"
    if "?" in str(path):
        raise BriefError(
            "a '?' in the folder's path begins the options of a ledger's URL",
            where=str(folder.resolve()),
            fix="rename the folder, or set LIFELOOP_LEDGER",
        )
    return f"sqlite:///{path}"


def vault_url(folder: Path) -> str:
    """Return the vault's URL: LIFELOOP_VAULT, or a folder in the project."""
    return os.environ.get("LIFELOOP_VAULT") or str(folder.resolve() / STATE_FOLDER / "vault")


def data_key() -> str:
    """Return the key under which personal data is masked reversibly, LIFELOOP_DATA_KEY, or "" for none."""
    return os.environ.get("LIFELOOP_DATA_KEY", "")


def read_brief_text(folder: Path) -> str:
    """Return the text of the brief. Raises BriefError that says how to make one."""
    path = folder / BRIEF_FILE
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BriefError(
            "there is no brief here", where=str(path), fix="`lifeloop new NAME --task classify --data FILE` makes one"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BriefError(f"cannot be read: {error}", where=str(path), fix="it must be UTF-8 text") from None
