"""The brief's `[gateway.protection]` against what is installed and known: its filters by name, and what it masks.

Takes the table, gives filters, or one error with the file and the key. Knows nothing of requests.
"""

from collections.abc import Sequence

from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.data_brief import PersonalData
from lifeloop.core.errors import BriefError
from lifeloop.core.gateway_brief import Protection
from lifeloop.filters.filter import Filter
from lifeloop.guards.personal.masking import check_kinds
from lifeloop.guards.personal.tokens import KINDS

ALL = "all"
"""In `redact`: every kind of personal data."""
BRIEF = "lifeloop.toml"


class Named(Struct, frozen=True):
    """A filter under its name in the brief."""

    name: str
    filter: Filter


def check_protection(protection: Protection, file: str = BRIEF) -> None:
    """Raise BriefError where a filter, a kind of personal data or a region is none."""
    named_filters(protection.input_filters, "input", file)
    named_filters(protection.output_filters, "output", file)
    masked = PersonalData(kinds=masked_kinds(protection.redact), regions=protection.regions)
    check_kinds(masked, f"{file}: gateway.protection", "redact")


def masked_kinds(redact: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of personal data that `redact` means."""
    return KINDS if ALL in redact else tuple(redact)


def named_filters(names: Sequence[str], what: str, file: str = BRIEF) -> tuple[Named, ...]:
    """Return the filters of a list of the brief: NAME or NAME:ARGUMENT. Raises BriefError.

    `what` is "input" or "output".
    """
    where = f"{file}: gateway.protection.{what}_filters"
    found = []
    for text in names:
        name, _, argument = text.partition(":")
        kind = plugins.get("filters", name, where=where)
        try:
            made: Filter = kind(argument)
        except BriefError as error:  # a filter does not know which list it stands in
            raise BriefError(error.what, where=where, fix=error.fix) from None
        if what not in made.what:
            other = " and ".join(sorted(made.what))
            raise BriefError(f"the filter {name!r} does not look at {what}s", where=where, fix=f"it looks at {other}s")
        found.append(Named(name, made))
    return tuple(found)
