"""Features of the project's own: Python functions from texts to numbers, in its files or in installed packages.

A file's text is kept with the candidate and run from there, so that what is in production does not change with the
file. It is the project's own code and runs with the rights of whoever runs lifeloop.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop import plugins
from lifeloop.core.candidates import Request
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.models.feature_blocks.block import Fitting, Matrix
from lifeloop.models.feature_blocks.scaling import Scale, load_scale, scale_of
from lifeloop.models.feature_settings import Settings
from lifeloop.models.project_files import inside
from lifeloop.models.python_file import defined, in_a_line, parsed, place_in, run

FILE, SCALE = "engineered.json", "engineered.npy"
WHERE = "candidates.engineered"

Function = Callable[[Sequence[str]], Any]


class Engineered(Struct, frozen=True):
    """One function as the candidate keeps it."""

    name: str
    """As the setting names it."""
    width: int
    """How many numbers it gives of a text."""
    code: str = ""
    """The text of its file, or "" for one of a package."""


class EngineeredBlock:
    """The project's functions, on the scale of the training texts."""

    def __init__(self, kept: Sequence[Engineered], functions: Sequence[Function], scale: Scale) -> None:
        self._kept = tuple(kept)
        self._functions = tuple(functions)
        self._scale = scale

    def transform(self, requests: Sequence[Request]) -> Matrix:
        """Return what the functions give, side by side. Raises ModelError where one fails, or gives another width."""
        texts = [request.text for request in requests]
        found = []
        for one, function in zip(self._kept, self._functions, strict=True):
            rows = called(one.name, function, texts)
            if rows.shape[1] != one.width:
                raise _wrong(one.name, f"gives {rows.shape[1]} numbers a text, and gave {one.width} in training")
            found.append(rows)
        return self._scale.apply(np.hstack(found))

    def save(self, folder: Path) -> None:
        """Write the functions' names and files, and the scale."""
        (folder / FILE).write_bytes(msgspec.json.encode(self._kept))
        self._scale.save(folder / SCALE)


class EngineeredKind:
    """Block "engineered"."""

    name = "engineered"

    def wanted(self, settings: Settings) -> bool:
        """Return whether any function is named."""
        return bool(settings.engineered)

    def fit(self, fitting: Fitting) -> tuple[EngineeredBlock, Matrix]:
        """Call the functions for the training texts. Raises BriefError where there is none of the name."""
        kept, functions, found = [], [], []
        for name in fitting.settings.engineered:
            code = _code_of(name, fitting.project)
            function = _function(name, code)
            rows = called(name, function, fitting.texts)
            kept.append(Engineered(name, rows.shape[1], code))
            functions.append(function)
            found.append(rows)
        raw = np.hstack(found)
        scale = scale_of(raw)
        return EngineeredBlock(kept, functions, scale), scale.apply(raw)

    def load(self, folder: Path, settings: Settings) -> EngineeredBlock:
        """Return the block with the code that it was trained with."""
        kept = msgspec.json.decode((folder / FILE).read_bytes(), type=list[Engineered])
        return EngineeredBlock(kept, [_function(one.name, one.code) for one in kept], load_scale(folder / SCALE))


def files_of(settings: Settings) -> dict[str, str]:
    """Return the files of the project that functions are in: the setting's place to each path."""
    sources = [(place, name.partition(":")[0]) for place, name in enumerate(settings.engineered)]
    return {f"engineered[{place}]": source for place, source in sources if source.endswith(".py")}


def _code_of(name: str, project: Path | None) -> str:
    """Return the text of a function's file, or "" for one that a package declares."""
    source, _, function = name.partition(":")
    if not source.endswith(".py"):
        return ""
    path = inside(project or Path(), source, WHERE)
    defined(parsed(path, source), function, "texts", source, WHERE)
    return path.read_text(encoding="utf-8")


def _function(name: str, code: str) -> Function:
    source, _, function = name.partition(":")
    if not code:
        found: Function = plugins.get("features", name, where=WHERE)
        return found
    try:
        module = run(code.encode(), source, source)
    except (Exception, SystemExit) as error:  # whatever somebody's module does when it is run
        where = place_in(error, source) or WHERE
        raise BriefError(f"cannot be loaded: {in_a_line(error)}", where=where, fix="mend the file") from None
    named = getattr(module, function, None)
    if not callable(named):
        raise BriefError(f"{source} has no function {function!r}", where=WHERE, fix=f"write def {function}(texts)")
    return named  # type: ignore[no-any-return]


def called(name: str, function: Function, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return a function's numbers for texts (n, k); what is no number, or none that ends, is NaN. Raises ModelError."""
    try:
        rows = np.asarray(function(list(texts)), dtype=np.float64)
    except (Exception, SystemExit) as error:  # whatever somebody's function does
        source = name.partition(":")[0]
        raise ModelError(
            f"the feature fails: {in_a_line(error)}", where=place_in(error, source) or name, fix="mend the function"
        ) from None
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or len(rows) != len(texts) or not rows.shape[1]:
        raise _wrong(name, f"gives {'x'.join(map(str, rows.shape))} numbers for {len(texts)} texts")
    return np.where(np.abs(rows) < 1e30, rows, np.nan).astype(np.float32)


def _wrong(name: str, what: str) -> ModelError:
    return ModelError(f"the feature {what}", where=name, fix="return one row of numbers a text, of the same length")


KIND = EngineeredKind()
