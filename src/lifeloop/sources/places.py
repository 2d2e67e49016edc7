"""From the brief's sources to places, each with the reader of its format.

Takes what `data.source` says (files, folders, patterns, URLs of databases, names of the hub), gives places in order.
Knows nothing of what stands in them.
"""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.errors import BriefError, DataError
from lifeloop.sources.files import COMPRESSED, name_of
from lifeloop.sources.source import Reading, Source

HUB = "hub:"
ENVIRONMENT = "env:"
"""What the name of an environment variable follows that holds a database's URL."""
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PATTERN = re.compile(r"[*?\[]")
_ON_THE_WEB = ("http", "https", "ftp", "s3", "gs")
_NOT_FILES = ("sql", "hub")
"""Formats whose places are no paths."""


class Place(Struct, frozen=True):
    """One source of the brief, or one of the files that a pattern found."""

    place: str
    """What its reader is told: a path (absolute, or relative to the project), a URL, or a set of the hub."""
    origin: str
    """What it is called where people and later versions see it: unique, and never with a password."""
    format: str
    """Name of its reader in the registry."""


def places(reading: Reading) -> Iterator[Place]:
    """Yield the places of `data.source`, in order; a pattern's files sorted by path, each file once.

    A pattern only finds files, and none through a symbolic link that leaves the folder which the pattern starts in:
    that would read what the folder's owner did not put there. Raises DataError where there is nothing, where such a
    link is found and where no source reads a file; BriefError for a format that does not exist.
    """
    named: dict[str, set[str]] = {}  # origin to what is so called: one database for several users, say
    for text in reading.data.sources:
        for place in _places(text, reading):
            alike = named.setdefault(place.origin, set())
            if place.place in alike or (alike and place.format not in _NOT_FILES):
                continue
            alike.add(place.place)
            yield place if len(alike) == 1 else msgspec.structs.replace(place, origin=f"{place.origin}#{len(alike)}")


def source_of(place: Place) -> Source:
    """Return the reader of a place."""
    found: Source = plugins.get("sources", place.format, where="data.format")
    return found


def is_path(text: str) -> bool:
    """Return whether a source of the brief is a file, a folder or a pattern, not a database or a set of the hub."""
    return not text.startswith((HUB, ENVIRONMENT)) and not _URL.match(text)


def _places(text: str, reading: Reading) -> Iterator[Place]:
    if text.startswith(HUB):
        yield Place(text, text, _fitting(text, "hub", reading))
    elif not is_path(text):
        if text.partition(":")[0].lower() in _ON_THE_WEB:
            fix = "fetch it first, and name the file in data.source"
            raise DataError("files are not read over the network", where="data.source", fix=fix)
        from lifeloop.sources.database import origin_of

        origin = origin_of(text)
        yield Place(text, origin, _fitting(origin, "sql", reading))
    elif _PATTERN.search(text) and not (reading.root / text).exists():
        for path in _matches(text, reading):
            yield Place(path, name_of(path, reading), _format(path, reading))
    else:
        yield Place(text, name_of(text, reading), _format(text, reading))


def _fitting(name: str, format: str, reading: Reading) -> str:
    """Return the only format that fits a place which is no path."""
    declared = reading.data.format
    if declared not in ("auto", format):
        raise BriefError(f"{declared!r} does not fit {name}", where="data.format", fix=f'write "{format}", or "auto"')
    return format


def _format(place: str, reading: Reading) -> str:
    """Return the format of a file or folder."""
    path, name, declared = reading.root / place, name_of(place, reading), reading.data.format
    if declared != "auto":
        plugins.get("sources", declared, where="data.format")
    if declared in _NOT_FILES:
        fix = 'write "auto" here, or in data.source what it reads: hub:NAME, the URL of a database'
        raise BriefError(f"{declared!r} does not fit a file: {name}", where="data.format", fix=fix)
    if not path.exists():
        raise _missing(path, name)
    if declared == "auto":
        return "folder" if path.is_dir() else _by_ending(path, name)
    if path.is_dir() != (declared == "folder"):
        what = "is a directory" if path.is_dir() else "is a file"
        raise DataError(f"{what}, which the format {declared!r} is not", where=name, fix="mend data.format")
    return declared


def _by_ending(path: Path, name: str) -> str:
    """Return the format that reads files of an ending, that below it where the file is compressed."""
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    known: list[str] = []
    for format in plugins.names("sources"):
        suffixes = plugins.get("sources", format).suffixes
        if plain.suffix.lower() in suffixes:
            return format
        known += suffixes
    raise DataError(
        f"no source reads files that end in {plain.suffix!r}",
        where=name,
        fix=f"set data.format, or use one of: {', '.join(sorted(set(known)))}",
    )


def _matches(pattern: str, reading: Reading) -> list[str]:
    """Return the files that a pattern finds, sorted; `**` stands for any number of folders.

    As in a shell, a name that begins with a dot is only found by a pattern with such a name.
    """
    start, rest = _parts(pattern)
    top = reading.root / start
    hidden = any(part.startswith(".") for part in rest.parts)
    real = os.path.realpath(top)
    try:
        matches = sorted(top.glob(str(rest)))
    except ValueError as error:
        raise BriefError(
            str(error), where="data.source", fix="write ** as a folder of its own: logs/**/*.csv"
        ) from None
    found = []
    for path in matches:
        below = path.relative_to(top)
        if not hidden and any(part.startswith(".") for part in below.parts):
            continue
        place, target = str(start / below), Path(os.path.realpath(path))
        if not target.is_relative_to(real):
            fix = "take the link away, or name what it points to in data.source"
            raise DataError("a symbolic link that leaves the folder of the pattern", where=place, fix=fix)
        if path.is_symlink() and not target.exists():
            fix = "take the link away, or make the pattern narrower"
            raise DataError("a symbolic link to what is no file", where=place, fix=fix)
        if target.is_file():
            found.append(place)
    if not found:
        raise DataError(f"no file fits the pattern {pattern!r}", where="data.source", fix="mend the pattern")
    return found


def _parts(pattern: str) -> tuple[Path, Path]:
    """Return the folder in which a pattern starts, which is all before its first wildcard, and the rest of it."""
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if _PATTERN.search(part))
    return Path(*parts[:fixed]), Path(*parts[fixed:])


def _missing(path: Path, name: str) -> DataError:
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, n=1)
    fix = f"did you mean {close[0]!r}?" if close else "mend data.source: it is relative to the project's folder"
    return DataError("there is no such file or folder", where=name, fix=fix)
