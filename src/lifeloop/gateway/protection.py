"""Checks the brief's `[gateway.protection]` against what is installed and known, before anything is served."""

from lifeloop.core.gateway_brief import Protection
from lifeloop.gateway.cors import check_origins
from lifeloop.gateway.filters import named_filters
from lifeloop.gateway.redaction import redactor


def check_protection(protection: Protection) -> None:
    """Raise BriefError where a filter, a kind of personal data, a region or an origin is none."""
    named_filters(protection.input_filters, "input")
    named_filters(protection.output_filters, "output")
    redactor(protection.redact, protection.regions)
    check_origins(protection.cors)
