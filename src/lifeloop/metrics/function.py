"""Function: a metric that the project brings as a Python function, in a file of its folder or in an installed package.

It is called as `f(input, reference, output, prediction)` for each answer that did not fail and gives a number, or None
where it has nothing to say. It is the project's own code and runs with the rights of whoever runs lifeloop.
"""

import importlib
import importlib.util
import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from lifeloop.core.errors import BriefError
from lifeloop.core.evidence import Direction
from lifeloop.metrics.metric_kind import Surroundings, key_of
from lifeloop.models.python_file import defined, in_a_line, parsed, place_in, run
from lifeloop.tasks.classify import first
from lifeloop.tasks.task import Floats, Metric, Scope, Scored

Function = Callable[[str, str, str, Any], Any]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which function, and what its numbers mean."""

    function: str
    """"FILE.py:NAME" in the project's folder, or "PACKAGE.MODULE:NAME"."""
    direction: Direction = "max"
    """Whether more ("max") or less ("min") is better."""
    unit: str = ""
    """What a business value is counted in (EUR, minutes); none: the numbers are scores from 0 to 1."""
    failed: float | None = None
    """What an answer counts that failed; needed where 0 is not the worst: with a unit, or where less is better."""
    version: str = ""
    """To be changed when a function of a package has changed; changes of a file of the project are seen."""


class FunctionKind:
    """Metric kind "function"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "1"

    def direction(self, settings: Settings) -> Direction:
        """Return what the brief says."""
        return settings.direction

    def files(self, settings: Settings) -> dict[str, str]:
        """Return the function's file, where it is one of the project's."""
        source = settings.function.partition(":")[0]
        return {"function": source} if source.endswith(".py") else {}

    def metric(self, name: str, settings: Settings, surroundings: Surroundings) -> Metric:
        """Return the mean of the function's numbers. Raises BriefError where there is no such function."""
        failed = _failed(name, settings)
        source, _, function = settings.function.partition(":")
        where = key_of(name, "function")
        if not source or not function.isidentifier():
            raise BriefError(
                f"{settings.function!r} names no function", where=where, fix='write "FILE.py:NAME" or "MODULE:NAME"'
            )
        if source.endswith(".py"):
            path = surroundings.folder / source
            defined(parsed(path, source), function, "input, reference, output, prediction", source, where)
        elif importlib.util.find_spec(source.partition(".")[0]) is None:
            raise BriefError(
                f"there is no package {source.partition('.')[0]!r}",
                where=where,
                fix='install it, or name "FILE.py:NAME"',
            )
        loaded: list[Function] = []  # filled at first use: what only names a metric runs none of its code

        def columns(scored: Sequence[Scored], scope: Scope) -> Floats:
            del scope
            if not loaded:
                loaded.append(_load(surroundings.folder, source, function, where))
            return np.array([[_value(loaded[0], item, settings, failed, source)] for item in scored]).reshape(-1, 1)

        about = f"what {settings.function} says" + (f", in {settings.unit}" if settings.unit else "")
        bounds = None if settings.unit else (0.0, 1.0)
        return Metric(name, settings.direction, columns, first, about, bounds=bounds)


def _failed(name: str, settings: Settings) -> float:
    if settings.failed is not None and math.isfinite(settings.failed):
        return settings.failed
    if settings.failed is not None or settings.unit or settings.direction == "min":
        raise BriefError(
            "what does an answer count that failed?",
            where=key_of(name, "failed"),
            fix="write the number that such an answer counts: a bad one",
        )
    return 0.0


def _load(folder: Path, source: str, function: str, where: str) -> Function:
    try:
        if source.endswith(".py"):
            module = run((folder / source).read_bytes(), str(folder / source), source)
        else:
            module = importlib.import_module(source)
    except (Exception, SystemExit) as error:  # whatever somebody's module does when it is run
        place = place_in(error, source)
        raise BriefError(f"cannot be loaded: {in_a_line(error)}", where=place or where, fix="mend the file") from None
    found = getattr(module, function, None)
    if not callable(found):
        raise BriefError(f"{source} has no function {function!r}", where=where, fix="write it, or mend the name")
    try:
        inspect.signature(found).bind("input", "reference", "output", "prediction")
    except TypeError as error:
        raise BriefError(
            f"{function} cannot be called with four values: {error}",
            where=where,
            fix=f"write def {function}(input, reference, output, prediction)",
        ) from None
    except ValueError:
        pass  # a function of another language says nothing of its parameters
    return found  # type: ignore[no-any-return]


def _value(function: Function, item: Scored, settings: Settings, failed: float, source: str) -> float:
    if item.prediction is None:
        return failed
    try:
        said = function(item.example.input, item.reference, item.answer.output, item.prediction)
    except (Exception, SystemExit) as error:  # whatever somebody's function does
        raise BriefError(
            f"the function fails on example {item.example.id}: {in_a_line(error)}",
            where=place_in(error, source) or source,
            fix="mend the function; return None where it has nothing to say",
        ) from None
    if said is None:
        return math.nan
    number = float(said) if isinstance(said, bool | int | float | np.number | np.bool_) else math.nan
    if not math.isfinite(number):
        raise _wrong(item, source, f"gives {said!r:.60}, which is no number", "return a number, or None")
    if not settings.unit and not 0.0 <= number <= 1.0:
        raise _wrong(item, source, f"gives {number:g}, which is no score from 0 to 1", 'scale it, or set unit = "EUR"')
    return number


def _wrong(item: Scored, source: str, what: str, fix: str) -> BriefError:
    return BriefError(f"the function {what}, on example {item.example.id}", where=source, fix=fix)


KIND = FunctionKind()
