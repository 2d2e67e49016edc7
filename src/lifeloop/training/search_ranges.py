"""The table `[candidates.NAME.search]`: between which settings to search, how often to try and for how long.

Takes the table as people wrote it and the settings type of the trainer, gives a plan whose every value that type takes.
Knows nothing of how the search goes.
"""

import difflib
import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.inspect import FloatType, IntType, Type, UnionType, type_info

from lifeloop.core.errors import BriefError

FILE = "lifeloop.toml"
BOUNDS = ("trials", "minutes")
"""Keys of the table that are no settings."""


class Between(Struct, frozen=True, forbid_unknown_fields=True):
    """A range of numbers, ends included."""

    low: float
    high: float
    log: bool = False
    """Whether equal ratios count alike, rather than equal differences."""
    whole: bool = False
    """Whether only whole numbers are tried; the setting's own type says so."""


class OneOf(Struct, frozen=True):
    """A list of values."""

    values: tuple[Any, ...]


class _Bounds(Struct, frozen=True):
    trials: Annotated[int, Meta(ge=1, le=1000)] = 8
    minutes: Annotated[float, Meta(ge=0.0)] = 0.0


class SearchPlan(Struct, frozen=True):
    """What a search tries."""

    ranges: dict[str, Between | OneOf]
    """Setting to where it may lie."""
    trials: int
    """How many settings are tried at most, the brief's own among them."""
    minutes: float
    """After which no trial begins that would not end in time; 0 sets no bound."""


def plan_of(table: Any, settings: type[Struct], where: str) -> SearchPlan:
    """Return the plan that a table states. `where` is its place in the brief: `candidates.NAME.search`.

    Raises BriefError that names the key: one that is no setting, a range that is none, a value that the setting does
    not take.
    """
    if not isinstance(table, dict):
        raise _wrong(where, "not a table", "write [candidates.NAME.search] with a range or a list for each setting")
    bounds = {key: table[key] for key in BOUNDS if key in table}
    try:
        found = msgspec.convert(bounds, _Bounds)
    except msgspec.ValidationError as error:
        key = next((key for key in bounds if f"$.{key}" in str(error)), BOUNDS[0])
        raise _wrong(f"{where}.{key}", _first(error), "write trials = 8, or minutes = 10, say") from None
    types = {field.encode_name: field.type for field in msgspec.structs.fields(settings)}
    ranges = {}
    for key, said in table.items():
        if key in BOUNDS:
            continue
        if key not in types:
            close = difflib.get_close_matches(key, types, n=1)
            fix = f"did you mean `{close[0]}`?" if close else f"its settings are: {', '.join(types)}"
            raise _wrong(f"{where}.{key}", "there is no such setting to search", fix)
        ranges[key] = _range(said, types[key], f"{where}.{key}")
    if not ranges:
        raise _wrong(where, "there is nothing to search", "add learning_rate = { low = 1e-5, high = 1e-3 }, say")
    return SearchPlan(ranges, found.trials, found.minutes)


def _range(said: Any, kind: Any, where: str) -> Between | OneOf:
    if isinstance(said, list):
        if not said:
            raise _wrong(where, "the list is empty", "write the values to try: [4, 8, 16], say")
        for value in said:
            if isinstance(value, float) and not math.isfinite(value):
                raise _wrong(where, f"{value} is no finite number", "mend the value")
        return OneOf(tuple(_taken(value, kind, where) for value in said))
    if not isinstance(said, dict):
        raise _wrong(where, f"{said!r} is neither a range nor a list", "write { low = …, high = … }, or a list")
    try:
        between = msgspec.convert({key: value for key, value in said.items() if key != "whole"}, Between)
    except msgspec.ValidationError as error:
        raise _wrong(where, _first(error), "write { low = 1e-5, high = 1e-3, log = true }") from None
    numbers = _numbers(type_info(kind))
    if not numbers:
        raise _wrong(where, "this setting is no number", "write a list of values to try")
    for end in ("low", "high"):
        if not math.isfinite(said[end]):
            raise _wrong(f"{where}.{end}", f"{said[end]} bounds nothing", "write a finite number")
        _taken(said[end], kind, f"{where}.{end}")
    if between.low >= between.high:
        raise _wrong(where, f"low ({between.low:g}) is not below high ({between.high:g})", "mend the range")
    if between.log and between.low <= 0:
        raise _wrong(f"{where}.low", "a logarithmic range begins above 0", "raise it, or leave `log` out")
    return msgspec.structs.replace(between, whole=FloatType not in numbers)


def _numbers(found: Type) -> set[type[Type]]:
    """Return which kinds of number a type takes."""
    members = found.types if isinstance(found, UnionType) else (found,)
    return {type(member) for member in members if isinstance(member, IntType | FloatType)}


def _taken(value: Any, kind: Any, where: str) -> Any:
    """Return a value as the setting has it. Raises BriefError where the setting does not take it."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _wrong(where, f"the setting does not take {value!r}: {_first(error)}", "mend the value") from None


def _first(error: msgspec.ValidationError) -> str:
    text = str(error).partition(" - at ")[0]
    return f"{text[0].lower()}{text[1:]}"


def _wrong(where: str, what: str, fix: str) -> BriefError:
    return BriefError(what, where=f"{FILE}: {where}", fix=fix)
