"""Files of the project that a candidate's settings or a metric's name: where they are, and what they held.

Takes the project's folder and paths as people wrote them, gives paths that are sure to lie inside it.
"""

import difflib
from pathlib import Path
from typing import Any

from lifeloop.core.content import Id, bytes_id, content_id
from lifeloop.core.errors import BriefError
from lifeloop.models.model import ModelKind


def files_of(kind: ModelKind, settings: Any) -> dict[str, str]:
    """Return the files that a kind's settings name: the key to each path, relative to the project's folder."""
    named = getattr(kind, "files", None)
    return named(settings) if named else {}


def fingerprint(kind: ModelKind, settings: Any, folder: Path, where: str) -> Id:
    """Return a hash of what the files hold that settings name, or "" where they name none.

    What is keyed by it is made again when a file has changed. `where` is the candidate's place in the brief. Raises
    BriefError where a file is missing.
    """
    named = files_of(kind, settings)
    held = {key: bytes_id(inside(folder, file, f"{where}.{key}").read_bytes()) for key, file in named.items()}
    return content_id(held) if held else ""


def inside(folder: Path, file: str, where: str) -> Path:
    """Return the path of a file that a section names. Raises BriefError where it is not there, or not the project's."""
    root = folder.resolve()
    try:
        path = (root / file).resolve()
        lies_inside, there = path.is_relative_to(root), path.is_file()
    except (OSError, ValueError):  # a name with NUL, or links in a ring
        lies_inside = there = False
    if not there:
        raise BriefError(f"there is no file {file!r}", where=where, fix=_similar(root, file))
    if not lies_inside:
        raise BriefError(
            f"{file!r} is outside the project", where=where, fix="copy it into the project's folder, under git"
        )
    return path


def _similar(root: Path, file: str) -> str:
    suffix = Path(file.replace("\0", "")).suffix
    names = [path.name for path in sorted(root.glob(f"*{suffix}")) if path.is_file()] if suffix else []
    close = difflib.get_close_matches(file, names, n=1)
    return f"did you mean {close[0]!r}?" if close else "write its path relative to the project's folder"
