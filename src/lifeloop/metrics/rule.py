"""Rule: what every output must keep to, whatever it says: patterns, length, form. Share of outputs that keep it all.

Takes the output as the candidate gave it. An answer that failed keeps no rule.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from lifeloop.core.errors import BriefError
from lifeloop.core.evidence import Direction
from lifeloop.metrics.metric_kind import Surroundings, key_of
from lifeloop.tasks.classify import first
from lifeloop.tasks.task import Floats, Metric, Scope, Scored

Keeps = Callable[[str], bool]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The rules; at least one."""

    must: tuple[str, ...] = ()
    """Regular expressions that the output must match somewhere; "(?i)" in front ignores case."""
    must_not: tuple[str, ...] = ()
    """Regular expressions that it must match nowhere."""
    min_words: int = 0
    max_words: int = 0
    """0 sets no bound."""
    starts: str = ""
    """What it must begin with."""
    ends: str = ""
    """What it must end with, white space apart."""
    json: bool = False
    """It must be JSON."""
    schema: str = ""
    """File with a JSON schema that it must satisfy."""


class RuleKind:
    """Metric kind "rule"."""

    settings = Settings
    tasks: tuple[str, ...] = ()
    version = "1"

    def direction(self, settings: Settings) -> Direction:
        """Return that more is better."""
        return "max"

    def files(self, settings: Settings) -> dict[str, str]:
        """Return the schema's file."""
        return {"schema": settings.schema} if settings.schema else {}

    def metric(self, name: str, settings: Settings, surroundings: Surroundings) -> Metric:
        """Return the share of outputs that keep all rules. Raises BriefError for a rule that cannot be kept or read."""
        rules = _rules(name, settings, surroundings)
        if not rules:
            raise BriefError(
                "there is no rule", where=key_of(name, "must"), fix='add one, such as must_not = ["(?i)as an AI"]'
            )

        def columns(scored: Sequence[Scored], scope: Scope) -> Floats:
            del scope
            kept = [item.prediction is not None and all(rule(item.answer.output) for rule in rules) for item in scored]
            return np.array(kept, dtype=float).reshape(-1, 1)

        return Metric(name, "max", columns, first, "share of outputs that keep the brief's rules")


def _rules(name: str, settings: Settings, surroundings: Surroundings) -> list[Keeps]:
    if (settings.max_words and settings.max_words < settings.min_words) or settings.max_words < 0:
        raise BriefError(
            f"no output has at least {settings.min_words} words and at most {settings.max_words}",
            where=key_of(name, "max_words"),
            fix="raise it, or leave it out",
        )
    rules: list[Keeps] = []
    for place, pattern in enumerate(settings.must):
        rules.append(_matching(_compiled(pattern, key_of(name, f"must[{place}]"))))
    for place, pattern in enumerate(settings.must_not):
        rules.append(_not(_matching(_compiled(pattern, key_of(name, f"must_not[{place}]")))))
    if settings.min_words > 0:
        rules.append(lambda text: len(text.split()) >= settings.min_words)
    if settings.max_words:
        rules.append(lambda text: len(text.split()) <= settings.max_words)
    if settings.starts:
        rules.append(lambda text: text.lstrip().startswith(settings.starts))
    if settings.ends:
        rules.append(lambda text: text.rstrip().endswith(settings.ends))
    if settings.json:
        rules.append(lambda text: _read(text) is not _NO_JSON)
    if settings.schema:
        rules.append(_satisfying(_schema(name, settings, surroundings)))
    return rules


def _compiled(pattern: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise BriefError(f"{pattern!r} is no regular expression: {error}", where=where, fix="mend it") from None


def _matching(pattern: re.Pattern[str]) -> Keeps:
    return lambda text: pattern.search(text) is not None


def _not(rule: Keeps) -> Keeps:
    return lambda text: not rule(text)


_NO_JSON = object()


def _read(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return _NO_JSON


def _satisfying(validator: Any) -> Keeps:
    def keeps(text: str) -> bool:
        value = _read(text)
        try:
            return value is not _NO_JSON and bool(validator.is_valid(value))
        except RecursionError:  # nested deeper than anybody can mean
            return False

    return keeps


def _schema(name: str, settings: Settings, surroundings: Surroundings) -> Any:
    """Return a validator of the schema, which fetches nothing from elsewhere."""
    from jsonschema import validators
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    where = f"{key_of(name, 'schema')} ({settings.schema})"
    try:
        schema = msgspec.json.decode((surroundings.folder / settings.schema).read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BriefError(f"cannot be read as JSON: {error}", where=where, fix="mend the file") from None
    if not isinstance(schema, dict | bool):
        raise BriefError("a schema is a JSON object", where=where, fix='write e.g. {"type": "object"}')
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(schema)
        validator = kind(schema, registry=Registry())
        validator.is_valid(None)  # so that a reference to nowhere is found before anything is scored
    except SchemaError as error:
        raise BriefError(error.message, where=where, fix=f"mend it at {error.json_path}") from None
    except (Unresolvable, RecursionError) as error:
        raise BriefError(f"a reference leads nowhere: {error}", where=where, fix="refer to `#/$defs/NAME`") from None
    return validator


KIND = RuleKind()
