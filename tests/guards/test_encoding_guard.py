import msgspec
import polars as pl
import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_rows import raw_rows

from lifeloop.core.data_brief import Encoding
from lifeloop.guards.encoding import check_encoding
from lifeloop.guards.mending import CONTROL, DISORDER, HIDDEN, LOST, MOJIBAKE, mend, suspicious

CLEAN = (
    "Der Fluß heißt „Elbe“ – 5 °C, 10 % für 3 €.",
    "L’été dernier, à Orléans : « déjà vu », cœur, naïve.",
    "¿Dónde está el niño? ¡Aquí! Nº 5, 1ª planta.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Zażółć gęślą jaźń — Łódź.",
    "Привет, как дела? «Хорошо» — ответил он.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "می‌خواهم به خانه‌ام بروم",
    "مرحبا بالعالم \u200e(ABC)\u200f",
    "שלום עולם \u200fABC\u200e 123",
    "क्‍ष और त्र, हिन्दी में",
    "ภาษาไทย\u200bไม่มี\u200bช่องว่าง",
    "日本語の「文章」です。全角ＡＢＣ",
    "去年夏天，这家公司“质量”不好……",
    "안녕하세요, 세계!",
    "👨‍👩‍👧‍👦 👩🏽‍🚀 ❤️ 🏳️‍🌈 1️⃣",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "x² + y³ ≤ ½ · π × 10⁻³ µm ± 2 ‰ © ® ™",
    "tab\tline\nreturn\r\nfeed\x0c no-break\u00a0space",
    "Ünïcödé Ñandú Çedilla ØRSTED ÅNGSTRÖM",
)


@pytest.mark.parametrize("text", CLEAN)
def test_clean_text_of_any_script_is_left_alone(text):
    table = raw_rows([text])
    checked = check_encoding(table, Encoding(), "classify")
    assert checked.table.equals(table)
    assert (checked.fates, checked.notes, checked.findings) == ({}, {}, ())


# Marks of direction are of use beside words from right to left alone.
WORDS = [word for text in CLEAN for word in text.split(" ") if "\u200e" not in word and "\u200f" not in word]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=30))
def test_clean_words_in_any_order_are_left_alone(words):
    text = " ".join(words)
    assert mend(text).text == text


@pytest.mark.parametrize(
    ("text", "mended", "what"),
    [
        ("cafÃ© au lait", "café au lait", MOJIBAKE),
        ("â€œhiâ€\x9d", "“hi”", MOJIBAKE),
        ("Ð\x9fÑ\x80Ð¸Ð²ÐµÑ\x82", "Привет", MOJIBAKE),
        ("fine é here\nand ÃŸ there", "fine é here\nand ß there", MOJIBAKE),
        ("a\0b", "ab", CONTROL),
        ("red \x1b[31malert\x1b[0m", "red alert", CONTROL),
        ("one\x1ftwo", "one two", CONTROL),
        ("pass\u200bword", "password", HIDDEN),
        ("\ufeffstart", "start", HIDDEN),
        ("left\u2066right\u2069", "leftright", HIDDEN),
        ("say \U000e0068\U000e0069 please", "say  please", HIDDEN),
    ],
)
def test_what_is_wrong_without_doubt_is_mended_and_noted(text, mended, what):
    checked = check_encoding(raw_rows(["fine", text]), Encoding(), "classify")

    assert checked.table["input"].to_list() == ["fine", mended]
    assert checked.notes == {1: f"mended: {what}"}
    assert [(each.fate, each.n_rows, each.reason) for each in checked.findings] == [("kept", 1, f"{what}: mended")]


def test_without_repair_what_could_be_mended_is_quarantined():
    checked = check_encoding(raw_rows(["fine", "cafÃ©"]), Encoding(repair=False), "classify")
    assert checked.table["input"].to_list() == ["fine"]
    assert [(fate.fate, fate.reason) for fate in checked.fates.values()] == [("quarantined", MOJIBAKE)]


@pytest.mark.parametrize(("text", "reason"), [("lost \ufffd letter", LOST), ("abc\u202edcba", DISORDER)])
def test_what_cannot_be_mended_without_doubt_is_quarantined(text, reason):
    checked = check_encoding(raw_rows([text]), Encoding(), "classify")
    assert [(fate.fate, fate.reason) for fate in checked.fates.values()] == [("quarantined", reason)]


def test_references_and_rejected_answers_are_mended_too():
    table = raw_rows(["x"], reference=["cafÃ©"], rejected=["thÃ©"])
    checked = check_encoding(table, Encoding(), "generate")
    assert checked.table.select("reference", "rejected").row(0) == ("café", "thé")


@pytest.mark.parametrize("escape", [False, True])
def test_a_conversation_is_mended_inside_and_stays_json(escape):
    import json

    messages = [{"role": "user", "content": 'the "cafÃ©" \u0001'}, {"role": "assistant", "content": "fine\n"}]
    table = raw_rows([json.dumps(messages, ensure_ascii=escape)])

    mended = msgspec.json.decode(check_encoding(table, Encoding(), "chat").table["input"][0])

    assert mended == [{"role": "user", "content": 'the "café" '}, {"role": "assistant", "content": "fine\n"}]


def test_entities_move_with_their_text():
    text = "\ufeffcafÃ© in MÃ¼nchen, at KÃ¶ln"
    entities = [{"type": "town", "text": "MÃ¼nchen", "start": text.index("M"), "end": text.index(",")}]
    table = raw_rows([text], reference=[msgspec.json.encode(entities).decode()])

    after = check_encoding(table, Encoding(), "extract").table
    (entity,) = msgspec.json.decode(after["reference"][0])

    assert after["input"][0] == "café in München, at Köln"
    assert after["input"][0][entity["start"] : entity["end"]] == entity["text"] == "München"


def test_an_entity_that_cuts_a_letter_in_half_is_quarantined():
    text = "cafÃ©s"
    reference = '[{"type": "drink", "text": "cafÃ", "start": 0, "end": 4}]'
    checked = check_encoding(raw_rows([text], reference=[reference]), Encoding(), "extract")
    assert [fate.reason for fate in checked.fates.values()] == ["entities that cannot be placed in the mended text"]


MESSY = st.text(
    st.one_of(
        st.sampled_from("".join(MOJIBAKE_CATEGORIES.values()).replace("-", "") + "ÃÂâ€ abc\n"),
        st.characters(exclude_categories=("Cs",)),
        st.sampled_from("\0\x1b\u200b\u200d\u202a\ufeff\ufe0f\U000e0041"),
    ),
    max_size=30,
)


@settings(max_examples=300)
@given(MESSY)
def test_mending_twice_is_mending_once(text):
    once = mend(text).text
    assert mend(once).text == once


@settings(max_examples=300)
@given(MESSY)
def test_no_row_that_would_be_changed_escapes_the_pattern_of_polars(text):
    looked_at = pl.Series([text]).str.contains(suspicious())[0]
    mended = mend(text)
    assert looked_at or (mended.text == text and not mended.doubt and not is_bad(text))
