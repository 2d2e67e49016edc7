import json
import math
import re
import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lifeloop.core.candidates import Candidate, Message, Prompt
from lifeloop.core.content import bytes_id, canonical, content_id, fraction, normalise, short

whole_text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | whole_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(whole_text, inner, max_size=4),
    max_leaves=12,
)


def reversed_keys(value):
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(json_values)
def test_the_order_of_keys_never_matters(value):
    assert canonical(reversed_keys(value)) == canonical(value)
    assert content_id(reversed_keys(value)) == content_id(value)


@given(json_values, json_values)
def test_ids_are_equal_exactly_where_the_json_is(one, other):
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (content_id(one) == content_id(other)) == same or one == other  # 1 and 1.0 are equal and written apart


@given(json_values)
def test_canonical_json_reads_back_as_the_value(value):
    assert json.loads(canonical(value)) == value


def test_a_frozen_value_has_the_id_of_the_json_it_is():
    value = Message(role="user", content="hi")
    assert content_id(value) == content_id({"content": "hi", "role": "user"})
    assert canonical(value) == b'{"content":"hi","role":"user"}'
    assert bytes_id(canonical(value)) == content_id(value)


def test_every_field_of_a_candidate_is_part_of_its_identity():
    base = {"name": "a", "kind": "features", "task": "classify", "labels": ("x", "y"), "settings": {"c": 0.5}}
    variants = [
        base,
        base | {"name": "b"},
        base | {"kind": "nearest"},
        base | {"labels": ("y", "x")},
        base | {"settings": {"c": 0.25}},
        base | {"files": "0" * 64},
        base | {"prompt": Prompt("p", "s", "u")},
        base | {"parent": "0" * 64},
        base | {"members": ("0" * 64,)},
    ]
    assert len({content_id(Candidate(**variant)) for variant in variants}) == len(variants)


def test_short_is_the_beginning_of_an_id():
    identifier = content_id("x")
    assert len(identifier) == 64
    assert short(identifier) == identifier[:12]


# normalise


@given(whole_text)
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


def test_normalising_twice_changes_nothing_for_any_character():
    assigned = (chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] not in "CL")
    letters = (chr(code) for code in range(sys.maxunicode + 1) if chr(code).lower() != chr(code).upper())
    once = {character: normalise(f"a{character}b") for character in (*assigned, *letters)}
    assert [character for character, text in once.items() if normalise(text) != text] == []


@given(whole_text)
def test_case_space_and_composition_do_not_tell_texts_apart(text):
    assert normalise(f"  {text}\t\n") == normalise(text)
    assert normalise(unicodedata.normalize("NFD", text)) == normalise(unicodedata.normalize("NFC", text))


@given(st.text(st.characters(max_codepoint=127)))
def test_an_ascii_text_is_normalised_as_any_other(text):
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.sub(r"\s+", " ", re.sub(r"[^\w\s]+", " ", folded)).strip()
    assert normalise(text) == (words or re.sub(r"\s+", " ", folded).strip())
    assert normalise(f"{text} é") == normalise(f"{normalise(text)} é") or not words


def test_what_counts_as_the_same_text():
    assert normalise("Where IS   my parcel?!") == normalise("where is my parcel")
    assert normalise("ﬁne — “really”") == "fine really"
    assert normalise("straße") == normalise("STRASSE")
    assert normalise("I love it ❤️") == normalise("i love it")
    assert normalise("don't") == "don t"


def test_texts_of_punctuation_alone_stay_apart():
    assert normalise("?!") != normalise("...")
    assert normalise("👍") != normalise("👎")
    assert normalise("   ") == ""


def test_vowels_that_are_written_as_marks_tell_words_apart():
    assert normalise("कि") != normalise("की")  # Hindi: "that", "of"
    assert normalise("ดี") != normalise("ดู")  # Thai: "good", "look"
    assert normalise("हिन्दी, भाषा!") == "हिन्दी भाषा"


# fraction


@given(st.text(), st.integers(0, 2**32 - 1))
def test_a_fraction_lies_in_the_unit_interval_and_repeats(key, seed):
    value = fraction(key, seed)
    assert 0.0 <= value < 1.0
    assert fraction(key, seed) == value


def test_fractions_are_uniform_and_independent_of_the_seed():
    keys = [f"row {number}" for number in range(5000)]
    one, other = ([fraction(key, seed) for key in keys] for seed in (0, 1))
    assert stats.kstest(one, "uniform").pvalue > 0.001
    assert stats.kstest(other, "uniform").pvalue > 0.001
    assert abs(stats.pearsonr(one, other).statistic) < 4 / math.sqrt(len(keys))


def test_a_fraction_is_the_same_in_a_year():
    assert fraction("row 1", 0) == 0.9969491070470645
