"""The brief's `[gateway]`: what the gateway waits for, tries again, refuses and keeps. One table for each concern."""

import re
from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct

from lifeloop.core.bounds import NotNegative, Positive, Whole
from lifeloop.core.errors import BriefError

ANY_ORIGIN = "*"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9.-]+(:\d{1,5})?|[a-z][a-z0-9+.-]*://\[[0-9a-fA-F:]+\](:\d{1,5})?")


class Continuity(Struct, frozen=True, forbid_unknown_fields=True):
    """What happens when a candidate fails, hangs or is slow."""

    retries: Annotated[int, Meta(ge=0, le=10)] = 1
    """How often a candidate is asked again after a failure that may pass, before the next one is asked."""
    retry_budget: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.1
    """Retries may be this share of the requests of the last seconds, so that they never double an overload."""
    hedge_seconds: NotNegative = 0.0
    """A stream without its first token for so long is asked of the next candidate too, and the first to speak wins;
    0: never."""
    breaker_failures: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.5
    """Share of the last requests to a candidate that must fail before it is left out for a while."""
    breaker_requests: Annotated[int, Meta(ge=1)] = 20
    """How many of the last requests that share is taken of, at least."""
    breaker_seconds: Positive = 5.0
    """How long a candidate is left out before one request tries it again; doubled each time, up to a minute."""


class Load(Struct, frozen=True, forbid_unknown_fields=True):
    """How much is taken on at once, in each process."""

    in_flight: Annotated[int, Meta(ge=1)] = 1024
    """Requests under way at most; the rest wait."""
    queue: Whole = 256
    """Requests that wait at most; further ones get a 429 with Retry-After."""
    queue_seconds: Positive = 2.0
    """How long one may wait before it gets the 429."""
    body_mb: Positive = 8.0
    """A larger body gets a 413."""
    header_seconds: Positive = 10.0
    """How long a client may take to send a request's head, and as long again for each silence in its body."""
    drain_seconds: Positive = 30.0
    """How long requests under way may take once the gateway was told to stop."""


class Protection(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may ask what, and what may go in and out."""

    cors: tuple[str, ...] = ()
    """Origins whose pages may call the gateway from a browser: "https://app.example.com", or "*" for every page."""
    redact: tuple[str, ...] = ()
    """Kinds of personal data that the record of a request keeps masked, of those of data.refine.personal_data; "all"
    for each of them."""
    regions: tuple[str, ...] = ("US", "GB", "DE", "FR")
    """Countries (ISO 3166) whose phone numbers and national ids `redact` knows without an international prefix."""
    input_filters: tuple[str, ...] = ()
    """Filters that refuse a request: injection, personal, "pattern:REGEX"; others by entry point `lifeloop.filters`."""
    output_filters: tuple[str, ...] = ()
    """Filters that withhold an answer: leak, personal, "pattern:REGEX"; others by entry point."""
    canary: bool = False
    """Puts a secret word into system prompts and withholds answers that repeat it."""


class Hosting(Struct, frozen=True, forbid_unknown_fields=True):
    """Where local models live, and how many requests they take at once."""

    separate: tuple[str, ...] = ("llamacpp", "openvino", "transformers", "scratch", "vllm")
    """Model kinds that get a process of their own, shared by all workers; others live in each worker."""
    slots: Annotated[int, Meta(ge=1)] = 4
    """Requests that a language model works on together (continuous batching)."""
    memory_gb: NotNegative = 0.0
    """A model's process that holds more is restarted; 0: no limit."""
    start_seconds: Positive = 600.0
    """How long a model may take to load."""
    silent_seconds: Positive = 10.0
    """A model's process that shows no sign of life for so long is restarted."""
    stuck_seconds: Positive = 60.0
    """One that works for so long on a request that nobody waits for any more is restarted."""
    warm: bool = True
    """Keep the release before loaded, so that `lifeloop rollback` takes effect at once."""


class Gateway(Struct, frozen=True, forbid_unknown_fields=True):
    """How `lifeloop serve` serves. No verdict rests on it, so a change asks for no new cycle."""

    continuity: Continuity = Continuity()
    load: Load = Load()
    protection: Protection = Protection()
    hosting: Hosting = Hosting()


def check_origins(origins: Sequence[str], file: str = "lifeloop.toml") -> None:
    """Raise BriefError where the brief names an origin that no browser would send."""
    for origin in origins:
        if origin != ANY_ORIGIN and not _ORIGIN.fullmatch(origin):
            fix = 'write scheme, host and port alone, as in "https://app.example.com", or "*" for every page'
            raise BriefError(f"{origin!r} is no origin", where=f"{file}: gateway.protection.cors", fix=fix)
