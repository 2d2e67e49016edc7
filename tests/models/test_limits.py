import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.models.limits import asked_pause, duration

SAID = {
    "seconds": (429, {"retry-after": "3"}, 3.0),
    "milliseconds, which are more exact": (429, {"retry-after": "3", "retry-after-ms": "2500"}, 2.5),
    "a date that is past": (503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    "words": (429, {"retry-after": "soon"}, 0.0),
    "less than nothing": (429, {"retry-after": "-5"}, 0.0),
    "nothing": (429, {}, 0.0),
    "a wait beside a success": (200, {"retry-after": "3"}, 0.0),
    "no request left": (200, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}, 1.0),
    "requests left": (200, {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1s"}, 0.0),
    "no token left": (200, {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
    "none left, and no reset": (200, {"x-ratelimit-remaining-tokens": "0"}, 0.0),
}


@pytest.mark.parametrize(("status", "headers", "seconds"), SAID.values(), ids=SAID)
def test_the_headers_say_how_long_to_wait(status, headers, seconds):
    assert asked_pause(status, headers) == seconds


def test_a_date_says_until_when():
    date = formatdate(time.time() + 30, usegmt=True)
    assert 25 < asked_pause(429, {"retry-after": date}) <= 30


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1h1m1s", 3661.0), ("1.5", 1.5), ("1d", 86400.0), (" 2s ", 2.0)],
)
def test_durations_as_endpoints_write_them(text, seconds):
    assert duration(text) == pytest.approx(seconds)


@given(st.text(max_size=12))
def test_what_is_no_duration_is_no_wait(text):
    assert 0.0 <= duration(text) < float("inf")
