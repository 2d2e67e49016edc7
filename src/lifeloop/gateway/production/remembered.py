"""What was in production last, in a file: for a worker that starts while the ledger is away.

Takes and gives a Traffic. The file is replaced as a whole; one that is missing or damaged counts as none.
"""

import logging
import os
from pathlib import Path

import msgspec

from lifeloop.store.rows import Traffic

log = logging.getLogger(__name__)


def remember(file: Path, traffic: Traffic) -> None:
    """Write what is in production now; a disk that takes nothing is logged and does no harm."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        partial.write_bytes(msgspec.json.encode(traffic))
        partial.replace(file)
    except OSError as error:
        log.warning("what is in production cannot be written down beside the ledger: %s", error.strerror)
        partial.unlink(missing_ok=True)


def recall(file: Path) -> Traffic | None:
    """Return what was in production when that was last written, or None."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Traffic)
    except (OSError, msgspec.DecodeError):
        return None
