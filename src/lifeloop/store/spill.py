"""The spill files of earlier versions: what they left is taken up into the segment log, which reads the same lines."""

import logging
import secrets
from pathlib import Path

from lifeloop.store.segments import SUFFIX

log = logging.getLogger(__name__)


def adopt(folder: Path, ledger: str) -> None:
    """Make segments of a folder of the spill files that stand beside it or beside an SQLite ledger of that name."""
    for old in (folder.parent / "spill.jsonl", Path(f"{ledger}.spill.jsonl")):
        if not old.parent.is_dir():  # the ledger is on a server
            continue
        for part in sorted(old.parent.iterdir()):
            if part == old or (part.name.startswith(f"{old.name}.") and part.suffix == ".replay"):
                try:
                    part.rename(folder / f"spill-{secrets.token_hex(6)}{SUFFIX}")
                    log.info("%s, the spill file of an earlier version, is taken up", part.name)
                except OSError as error:
                    log.error("%s, the spill file of an earlier version, cannot be taken up: %s", part, error)
