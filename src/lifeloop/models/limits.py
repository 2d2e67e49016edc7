"""How long an endpoint asks its clients to wait, read from the headers of its replies.

Reads Retry-After (seconds or a date), retry-after-ms, and the x-ratelimit headers of OpenAI-compatible endpoints.
"""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

REFUSED = frozenset({429, 503, 529})
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d*)?)(ms|s|m|h|d)")


def asked_pause(status: int, headers: Mapping[str, str]) -> float:
    """Return the seconds for which nothing more should be sent; 0 where it may be sent at once."""
    pauses = [_until_reset(headers, what) for what in ("requests", "tokens")]
    if status in REFUSED:
        pauses.append(_retry_after(headers))
    return max(pauses)


def _retry_after(headers: Mapping[str, str]) -> float:
    if (exact := _number(headers.get("retry-after-ms", ""))) is not None:
        return exact / 1000
    text = headers.get("retry-after", "")
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):  # neither a number nor a date: our own backoff has to do
        return 0.0


def _until_reset(headers: Mapping[str, str], what: str) -> float:
    remaining = _number(headers.get(f"x-ratelimit-remaining-{what}", ""))
    return duration(headers.get(f"x-ratelimit-reset-{what}", "")) if remaining == 0 else 0.0


def duration(text: str) -> float:
    """Return the seconds of a duration such as "6m0s", "20ms" or "1.5"; 0 where it is none."""
    stripped = text.strip()
    if (seconds := _number(stripped)) is not None:
        return seconds
    if not _DURATION.fullmatch(stripped):
        return 0.0
    return sum(float(number) * UNITS[unit] for number, unit in _PART.findall(stripped))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
