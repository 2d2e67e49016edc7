import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.errors import BriefError, DataError
from lifeloop.guards.personal.tokens import token
from lifeloop.guards.seal import data_key, seal, unmask, unmask_entities, unseal

KEY = data_key("a phrase that is long enough")
OTHER = data_key("another phrase, long enough too")
ANN = token("mail", "ann@example.org", KEY)


def test_a_key_is_the_same_for_the_same_phrase_and_no_other():
    assert data_key("a phrase that is long enough") == KEY
    assert KEY != OTHER
    assert len(KEY) == 64


def test_a_short_phrase_is_refused():
    with pytest.raises(BriefError, match="LIFELOOP_DATA_KEY"):
        data_key("x" * 15)


@given(st.dictionaries(st.text(), st.text(st.characters(exclude_categories=("Cs",))), max_size=5))
def test_what_was_sealed_is_unsealed(values):
    values = {name.encode("utf-8", "replace").decode(): value for name, value in values.items()}
    assert unseal(seal(values, KEY), KEY) == values


def test_equal_values_give_equal_bytes_whatever_their_order_and_show_nothing():
    one = seal({"a": "ann@example.org", "b": "bob@example.org"}, KEY)
    other = seal({"b": "bob@example.org", "a": "ann@example.org"}, KEY)
    assert one == other
    assert b"example.org" not in one
    assert one != seal({"a": "ann@example.org", "b": "bob@example.com"}, KEY)


def test_another_key_opens_nothing():
    with pytest.raises(DataError, match="do not open with this key"):
        unseal(seal({"a": "b"}, KEY), OTHER)


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda _: b"x"]
)
def test_changed_bytes_are_an_error(change):
    with pytest.raises(DataError):
        unseal(change(seal({"a": "b"}, KEY)), KEY)


def test_unmasking_turns_known_tokens_back_and_leaves_the_others():
    assert unmask(f"to {ANN}, not [MAIL] or [MAIL:0000000000000000]", {ANN: "ann@example.org"}) == (
        "to ann@example.org, not [MAIL] or [MAIL:0000000000000000]"
    )


def test_in_a_conversation_values_are_written_as_json():
    secret = token("secret", 'a"b\nc', KEY)
    text = msgspec.json.encode([{"role": "user", "content": f"it is {secret}"}]).decode()
    assert msgspec.json.decode(unmask(text, {secret: 'a"b\nc'})) == [{"role": "user", "content": 'it is a"b\nc'}]


def test_entities_move_back_with_their_text():
    text = f"mail {ANN} in Rome"
    place = text.index("Rome")
    reference = msgspec.json.encode([{"type": "town", "text": "Rome", "start": place, "end": place + 4}]).decode()

    plain, moved = unmask_entities(text, reference, {ANN: "ann@example.org"})

    (entity,) = msgspec.json.decode(moved)
    assert plain[entity["start"] : entity["end"]] == "Rome"
    assert plain == "mail ann@example.org in Rome"
