"""Templates may be written by anyone: none reaches out of its sandbox, hangs, or eats memory."""

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.models.templating import GROWTH, ROOM, render

WORDS = {"text": "a" * 20_000, "labels": tuple(f"label {n}" for n in range(150)), "instructions": "x" * 3000}
ATTACKS = {
    "a long product": "{{ 'x' * 10**9 }}",
    "a huge power": "{{ 10**10**10 }}",
    "a long list": "{{ [0] * 10**9 }}",
    "nested loops": "{% for a in text %}{% for b in text %}{% endfor %}{% endfor %}",
    "loops in loops": "{% for a in labels %}{% for b in labels %}{% for c in labels %}{{ a }}{% endfor %}{% endfor %}"
    "{% endfor %}",
    "an endless range": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "dear conditions": "{% for a in text %}{% if " + " or ".join(["'b' in text"] * 50) + " %}{% endif %}{% endfor %}",
    "a dear filter in a loop": "{% for a in labels %}{% for b in labels %}{{ text | sort }}{% endfor %}{% endfor %}",
    "a condition of a loop": "{% for a in text if a in text %}{% for b in text %}{% endfor %}{% endfor %}",
    "a wide format": "{{ '%1000000000d' | format(1) }}",
    "a wide format call": "{{ '{:1000000000}'.format(1) }}",
    "a wide centre": "{{ text | center(1000000000) }}",
    "long filler": "{{ lipsum(n=100000) }}",
    "doubling": "{% set x = text ~ text %}" * 60,
    "doubling by namespace": "{% set n = namespace(x=text) %}{% for a in labels %}{% set n.x = n.x~n.x %}{% endfor %}",
    "doubling by macro": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
    "joining by the text": "{{ text | join(text) }}",
    "joining again": "{{ text" + " | join('xxxxxxxxx')" * 50 + " }}",
    "quoting again": "{{ text" + " | tojson" * 40 + " }}",
    "many copies": "{{ text }}" * 4000,
    "a deep loop": "{% for a in labels recursive %}{{ loop(labels) }}{% endfor %}",
    "deep brackets": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "a long source": "{{ text" + " | upper" * 10_000 + " }}",
    "attributes": "{{ text.__class__.__mro__ }}",
    "attributes by filter": "{{ text | attr('__class__') }}",
    "attributes by key": "{{ text['__class__'] }}",
    "a loop's inside": "{% for a in labels %}{{ loop._iterator }}{% endfor %}",
    "the purse": "{{ text | counted(-1000000) }}",
    "another file": "{% include '/etc/passwd' %}",
    "an import": "{% import 'os' as os %}",
    "globals": "{{ cycler }}",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_ends_soon_with_an_error_and_little_memory(attack):
    tracemalloc.start()
    begun = time.process_time()
    with pytest.raises(Exception):  # noqa: B017  # a template raises whatever Python can; prompting wraps it
        render(attack, WORDS)
    seconds, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10.0  # tracing memory is what takes the time
    assert peak < 50_000_000


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ labels | join(', ') }}", "b, a"),
        ("{% for label in labels %}{{ loop.index }}. {{ label }}\n{% endfor %}", "1. b\n2. a\n"),
        ("{% for label in labels | sort if label != 'b' %}{{ label }}{% else %}none{% endfor %}", "a"),
        ("{% if 'ello' in text %}yes{% else %}no{% endif %}", "yes"),
        ("{{ text | upper | truncate(3) }}", "HEL…"),
        ("{{ text[:2] }}{{ labels[-1] }}", "hea"),
        ("{{ 'long' if text | length > 3 else 'short' }}", "long"),
        ("{{ missing | default('nothing') }}", "nothing"),
        ("{# a note #}{% raw %}{{ text }}{% endraw %}", "{{ text }}"),
        ("{{ labels | tojson }}", '["b", "a"]'),
    ],
)
def test_what_prompts_need_is_there(template, text):
    assert render(template, {"text": "hello", "labels": ("b", "a")}) == text


def test_a_hundred_and_fifty_labels_and_a_long_text_are_no_trouble():
    template = "{% for label in labels %}- {{ label | upper }}\n{% endfor %}{{ text }}{{ instructions }}"
    assert len(render(template, WORDS)) > 23_000


@given(st.text(max_size=200))
def test_no_source_gives_more_than_its_room_or_anything_but_an_exception(source):
    try:
        result = render(source, {"text": "hello", "labels": ("a",), "instructions": "do"})
    except Exception:
        return
    assert len(result) <= ROOM + GROWTH * 20
