"""Files of the project that a candidate's settings or a metric's name: where they are, and what they held.

Takes the project's folder and paths as people wrote them, gives paths that are sure to lie inside it.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lifeloop.core.brief import convert_settings
from lifeloop.core.content import Id, bytes_id, content_id
from lifeloop.core.errors import BriefError
from lifeloop.models.model import ModelKind

BRIEF_FILE = "lifeloop.toml"


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


def fingerprint_of(kind: ModelKind, table: Mapping[str, Any], ranges: Any, folder: Path, where: str) -> Id:
    """Return the fingerprint of a section's settings, and of every value that its search may put in their place.

    `table` is the section without what is no setting, `ranges` its search or None. Raises BriefError for settings that
    cannot be, and where a file is missing.
    """
    values = ranges if isinstance(ranges, Mapping) else {}
    keys = set(kind.settings.__struct_fields__)
    listed = {key: each for key, each in values.items() if key in keys and isinstance(each, list)}
    tried = [{key: value} for key, each in listed.items() for value in each]
    found = [
        fingerprint(kind, convert_settings({**table, **each}, kind.settings, where, BRIEF_FILE), folder, where)
        for each in ({}, *tried)
    ]
    held = [each for each in found if each]
    return content_id(sorted(set(held))) if len(set(held)) > 1 else "".join(held[:1])


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
