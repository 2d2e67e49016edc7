import string

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_rows import raw_rows
from stdnum import luhn

from lifeloop.core.data_brief import PersonalData
from lifeloop.core.errors import BriefError, DataError
from lifeloop.guards.personal import phones as phones_module
from lifeloop.guards.personal.kinds import FINDERS, find_personal, hint_of
from lifeloop.guards.personal.masking import Masking, mask_personal, masked_text
from lifeloop.guards.personal.numbers import cards, ibans
from lifeloop.guards.personal.tokens import KINDS
from lifeloop.guards.seal import data_key, unmask, unmask_entities

KEY = data_key("a phrase that is long enough")
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "NL")
ALL = PersonalData(kinds=KINDS, regions=REGIONS)

ITEMS = {
    "mail": ("ann.lee+x@mail.example.co.uk", "ann (at) example (dot) com", "мария@почта.рф"),
    "phone": ("+44 20 7946 0958", "(415) 555-2671", "06 12 34 56 78", "0171-1234567", "+49 (0) 30 / 123456"),
    "card": ("4111 1111 1111 1111", "3782-822463-10005", "5555555555554444"),
    "iban": ("DE89 3704 0044 0532 0130 00", "gb82west12345698765432", "FR1420041010050500013M02606"),
    "national_id": ("536-90-4399", "AB123456C", "RSSMRA85T10A562S", "12345678Z"),
    "secret": (
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "aB3" * 12,
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "xoxb-123456789012-abcdefABCDEF",
    ),
    "ip": ("81.2.69.142", "2001:db8::ff00:42:8329"),
    "address": ("221B Baker Street, London NW1 6XE", "Hauptstraße 12a, 10115 Berlin", "12 rue de la Paix, 75002 Paris"),
}
IN_CONTEXT = (
    ("phone", "call me on ", "4155552671"),
    ("national_id", "BSN: ", "111222333"),
    ("secret", "my password is ", "hunter2"),
    ("secret", "Authorization: Bearer ", "abcDEF1234567890xyzt"),
    ("secret", "postgres://bob:", "s3cr3t"),
    ("name", "my name is ", "siobhan macleod"),
    ("name", "Dear Mrs ", "Ashworth"),
    ("name", "I spoke with ", "Jürgen von Braun"),
    ("name", "Kind regards,\n", "Priya Sharma"),
    ("birth_date", "born on ", "12 March 1985"),
    ("birth_date", "Geburtsdatum: ", "12.03.1985"),
)
AFTER = {"postgres://bob:": "@db.example.org/x"}
NOTHING = (
    "order 4155552671 of 12/03/2004 at 10:45:12",
    "ISBN 978-3-16-148410-0, version 1.2.3.4, build 10.0.19041.1",
    "she won 6-4 3-6 6-4 7-6 in 2003-2004 and paid $1,234,567.89",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b by @someone, logo@2x.png",
    "the password is wrong, the key is under the mat, the token: none",
    "Wall Street fell in 2004 and Goldman Sachs said nothing in April",
    "born in 1985; std::vector a::b; INV-0244-72757",
    "In 2004 Wall Street lost 4111 1111 1111 1112 points",
    "0.4111111111111111 and 0,4111111111111111 of /12/4111111111111111",
    "order 4155552671 12 34; 0.4155 0.5552 0.6715",
    "basic training, Basic mathematics, a basic 12345678; pw is wrong",
)


@pytest.mark.parametrize(("kind", "item"), [(kind, item) for kind, items in ITEMS.items() for item in items])
def test_an_item_is_masked_whole_in_a_sentence(kind, item):
    masked = mask_personal(raw_rows([f"It says {item}, they told us."]), ALL, "classify", None)

    assert masked.checked.table["input"].to_list() == [f"It says [{kind.upper()}], they told us."]
    assert masked.checked.notes == {0: f"masked: 1 {kind}"}
    assert [(each.fate, each.n_rows, each.reason) for each in masked.checked.findings] == [
        ("kept", 1, f"{kind} masked")
    ]
    assert masked.sealed == {}


@pytest.mark.parametrize(("kind", "before", "item"), IN_CONTEXT)
def test_what_words_call_personal_data_is_masked(kind, before, item):
    after = AFTER.get(before, ".")
    masked = mask_personal(raw_rows([f"{before}{item}{after}"]), ALL, "classify", None)
    assert masked.checked.table["input"].to_list() == [f"{before}[{kind.upper()}]{after}"]


BESIDE = (
    ("4111 1111 1111 1111 12/27", "[CARD] 12/27"),
    ("4111111111111111 123", "[CARD] 123"),
    ("card 1 4111 1111 1111 1111", "card 1 [CARD]"),
    ("5500 0000 0000 0004 11/28", "[CARD] 11/28"),
    ("42,4111111111111111,123", "42,[CARD],123"),
    ("3782 822463 10005 11 27", "[CARD] 11 27"),
    ("4111111111111111 5500000000000004", "[CARD] [CARD]"),
    ("+49 30 1234567 4111 1111 1111 1111", "[PHONE] [CARD]"),
    ("room 4 415-555-2671", "room 4 [PHONE]"),
    ("room 4 (415) 555-2671", "room 4 [PHONE]"),
    ("call room 12 415-555-2671", "call room 12 [PHONE]"),
    ("1234 5678 9012 415-555-2671 12", "1234 5678 9012 [PHONE] 12"),
    ("pw: Hunter2!x", "pw: [SECRET]"),
    ("DB_PW=hunter2", "DB_PW=[SECRET]"),
    ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [SECRET]"),
)


@pytest.mark.parametrize(("text", "masked"), BESIDE)
def test_what_stands_beside_other_numbers_or_behind_a_short_word_is_masked_alone(text, masked):
    assert mask_personal(raw_rows([text]), ALL, "classify", None).checked.table["input"].to_list() == [masked]


@pytest.mark.parametrize("text", NOTHING)
def test_what_only_looks_like_it_is_left_alone(text):
    table = raw_rows([text])
    checked = mask_personal(table, ALL, "classify", None).checked
    assert checked.table.equals(table)
    assert (checked.notes, checked.findings) == ({}, ())


def test_kinds_that_are_not_asked_for_stay():
    text = "Mr Ashworth, ann@example.org"
    masked = mask_personal(raw_rows([text]), PersonalData(), "classify", None)
    assert masked.checked.table["input"].to_list() == ["Mr Ashworth, [MAIL]"]


def test_with_a_key_the_same_value_has_the_same_token_in_every_part_and_can_be_turned_back():
    one = mask_personal(raw_rows(["to ann@example.org"]), ALL, "classify", KEY)
    other = mask_personal(raw_rows(["x", "ann@example.org and bob@example.org"]), ALL, "classify", KEY)

    token = one.checked.table["input"][0].removeprefix("to ")
    assert one.sealed == {token: "ann@example.org"}
    assert other.sealed[token] == "ann@example.org"
    assert unmask(other.checked.table["input"][1], other.sealed) == "ann@example.org and bob@example.org"
    assert token not in mask_personal(raw_rows(["ann@example.org"]), ALL, "classify", data_key("y" * 16)).sealed


def test_quarantine_says_kinds_and_never_values():
    settings = PersonalData(action="quarantine")
    masked = mask_personal(
        raw_rows(["fine", "ann@example.org, bob@example.org, +44 20 7946 0958"]), settings, "classify", KEY
    )
    assert masked.checked.table["input"].to_list() == ["fine"]
    (fate,) = masked.checked.fates.values()
    assert (fate.fate, fate.reason, fate.detail) == ("quarantined", "personal data", "2 mail, 1 phone")
    assert masked.sealed == {}


def test_reporting_changes_nothing():
    table = raw_rows(["ann@example.org"])
    checked = mask_personal(table, PersonalData(action="report"), "classify", KEY).checked
    assert checked.table.equals(table)
    assert [(each.fate, each.reason, each.examples) for each in checked.findings] == [("kept", "mail found", ("f:1",))]


def test_answers_are_masked_and_labels_are_not():
    columns = {"reference": ["ann@example.org"], "rejected": ["bob@example.org"]}
    generated = mask_personal(raw_rows(["x"], **columns), PersonalData(), "generate", None).checked.table
    labelled = mask_personal(raw_rows(["x"], **columns), PersonalData(), "classify", None).checked.table
    assert generated.select("reference", "rejected").row(0) == ("[MAIL]", "[MAIL]")
    assert labelled.select("reference", "rejected").row(0) == ("ann@example.org", "bob@example.org")


def test_a_conversation_is_masked_inside_and_stays_json():
    messages = [
        {"role": "user", "content": 'I am "ann"\nann@example.org'},
        {"role": "assistant", "content": "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----"},
    ]
    text = msgspec.json.encode(messages).decode()

    masked = mask_personal(raw_rows([text]), PersonalData(), "chat", KEY)

    said = [message["content"] for message in msgspec.json.decode(masked.checked.table["input"][0])]
    assert said[0].startswith('I am "ann"\n[MAIL:')
    assert said[1].startswith("[SECRET:")
    assert unmask(masked.checked.table["input"][0], masked.sealed) == text


def test_ids_and_groups_stay_apart_and_slices_hold_no_mail():
    columns = {
        "id": ["ann@example.org", "bob@example.org", "7"],
        "group": ["ann@example.org", "bob@example.org", "4155552671"],
        "slices": ['{"who":"ann@example.org"}', "{}", "{}"],
    }
    table = mask_personal(raw_rows(["x", "y", "z"], **columns), PersonalData(), "classify", None).checked.table
    assert table["id"].n_unique() == table["group"].n_unique() == 3
    assert not table["id"].str.contains("@").any()
    assert not table["group"].str.contains("@").any()
    assert table["group"][2] == "4155552671"
    assert table["slices"].to_list() == ['{"who":"[MAIL]"}', "{}", "{}"]


def test_unknown_kinds_and_regions_are_mistakes_of_the_brief():
    with pytest.raises(BriefError, match="shoe_size"):
        mask_personal(raw_rows(["x"]), PersonalData(kinds=("mail", "shoe_size")), "classify", None)
    with pytest.raises(BriefError, match="Atlantis"):
        mask_personal(raw_rows(["x"]), PersonalData(regions=("Atlantis",)), "classify", None)


def test_without_the_list_of_names_the_error_says_what_to_install(monkeypatch):
    import sys

    from lifeloop.guards.personal import names

    names._known.cache_clear()
    monkeypatch.setitem(sys.modules, "faker", None)
    monkeypatch.setitem(sys.modules, "faker.providers", None)
    with pytest.raises(DataError, match=r"lifeloop\[names\]"):
        mask_personal(raw_rows(["I met Anna Smith."]), ALL, "classify", None)
    names._known.cache_clear()


CARD = st.sampled_from(
    ["4111111111111111", "378282246310005", "5555555555554444", "6011111111111117", "30569309025904"]
)


@given(CARD, st.data())
def test_a_card_with_one_digit_changed_is_none(card, data):
    place = data.draw(st.integers(0, len(card) - 1))
    digit = data.draw(st.sampled_from([each for each in string.digits if each != card[place]]))
    changed = card[:place] + digit + card[place + 1 :]
    assert luhn.is_valid(card)
    assert cards(f"card {card}.") == [(5, 5 + len(card))]
    assert cards(f"card {changed}.") == []


GROUPS = st.lists(st.integers(0, 99).map(str), max_size=30).map(" ".join)


@given(GROUPS, CARD, st.sampled_from([" ", ",", ", ", "-"]), GROUPS)
def test_a_card_is_found_whatever_numbers_stand_around_it(before, card, gap, after):
    text = f"n {before}{gap}{card} {after}"
    start = text.index(card)
    covered = cards(text)
    if not before.endswith("0") or gap != ",":  # a decimal
        assert any(first <= start and start + len(card) <= end for first, end in covered)


def test_hints_of_official_forms_let_all_official_numbers_through():
    import phonenumbers

    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number(region)
        official = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL)
        groups = phones_module._GROUP.findall(official)
        number = phones_module._valid(official, region)
        if number and phones_module._written_as_phone(number, official, groups):
            assert phones_module._may_be_written_as_phone(groups, region), official


@given(st.sampled_from(["DE89370400440532013000", "GB82WEST12345698765432", "NL91ABNA0417164300"]), st.data())
def test_an_account_with_one_digit_changed_is_none(number, data):
    place = data.draw(st.sampled_from([index for index, sign in enumerate(number) if sign.isdigit()]))
    digit = data.draw(st.sampled_from([each for each in string.digits if each != number[place]]))
    assert ibans(f"to {number}") == [(3, 3 + len(number))]
    assert ibans(f"to {number[:place]}{digit}{number[place + 1 :]}") == []


PIECES = st.one_of(
    st.sampled_from([item for items in ITEMS.values() for item in items]),
    st.sampled_from([f"{before}{item}" for _, before, item in IN_CONTEXT]),
    st.sampled_from(NOTHING),
    st.sampled_from([text for text, _ in BESIDE]),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    st.sampled_from(["[MAIL]", "[PHONE:0123456789abcdef]", "[NAME", "\n", ", ", "Smith", "12", "@", "password: "]),
)
TEXTS = st.lists(PIECES, max_size=6).flatmap(
    lambda pieces: st.sampled_from([" ", "", "\n", ", "]).map(lambda gap: gap.join(pieces))
)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_masking_twice_is_masking_once_and_unmasking_gives_all_back(text):
    sealed = {}
    once, _, _ = masked_text(text, Masking(KINDS, REGIONS, KEY, sealed))
    twice, passes, _ = masked_text(once, Masking(KINDS, REGIONS, KEY, {}))
    assert (twice, passes) == (once, [])
    assert unmask(once, sealed) == text


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_no_text_that_holds_personal_data_escapes_the_hints_of_polars(text):
    import polars as pl

    for kind in {found.kind for found in find_personal(text, KINDS, REGIONS)}:
        assert pl.Series([text]).str.contains(hint_of(kind))[0], kind


def test_all_kinds_are_found_by_something():
    assert set(FINDERS) == set(KINDS)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["today", "ann@example.org", "at", "(415) 555-2671", "Mr Ashworth", "x"]),
        min_size=1,
        max_size=8,
    ),
    st.data(),
)
def test_entities_point_at_their_text_after_masking_and_again_after_unmasking(words, data):
    text = " ".join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first, len(words) - 1))
    start = sum(len(word) + 1 for word in words[:first])
    end = sum(len(word) + 1 for word in words[: last + 1]) - 1
    entity = {"type": "thing", "text": text[start:end], "start": start, "end": end}
    reference = msgspec.json.encode([entity]).decode()

    masked = mask_personal(raw_rows([text], reference=[reference]), ALL, "extract", KEY)

    after, moved = masked.checked.table.select("input", "reference").row(0)
    (now,) = msgspec.json.decode(moved)
    assert after[now["start"] : now["end"]] == now["text"]
    assert unmask(now["text"], masked.sealed) == entity["text"]
    assert unmask_entities(after, moved, masked.sealed) == (text, reference)


def test_an_entity_that_a_mask_cuts_grows_to_the_mask():
    text = "mail ann@example.org now"
    reference = '[{"type":"host","text":"example.org","start":9,"end":20}]'
    after = mask_personal(raw_rows([text], reference=[reference]), ALL, "extract", None).checked.table
    assert after["reference"][0] == '[{"type":"host","text":"[MAIL]","start":5,"end":11}]'
