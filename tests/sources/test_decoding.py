import pytest

from lifeloop.sources.decoding import guess_encoding


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Café – 5 € le menu, naïve déjà vu “quoted”\n", "cp1252"),
        ("Müller wohnt in der Straße nach Köln\n", "cp1252"),
        ("Привет, как дела сегодня\n", "cp1251"),
        ("日本語のテキスト\n", "cp932"),
    ],
)
def test_the_encoding_of_a_text_is_guessed(text, encoding):
    assert guess_encoding((text * 20).encode(encoding)) == encoding


def test_utf_8_is_known_for_what_it_is():
    assert guess_encoding("Café 日本".encode()) == "utf-8"
