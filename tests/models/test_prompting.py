import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifeloop.core.candidates import Contract, Message, Prompt, Request
from lifeloop.core.errors import BriefError
from lifeloop.models.prompting import PLAIN, cut, flaw, messages, render_user

CONTRACT = Contract("Answer with one label.", choices=("billing", "delivery"))
PROMPT = Prompt("short", "You sort mail. {{ instructions }}", "Mail: {{ text }}")


def test_shots_are_turns_before_the_request():
    turns = messages(PROMPT, CONTRACT, [("my bill", "billing")], Request("where is it?"), 100)
    assert turns == [
        Message("system", "You sort mail. Answer with one label."),
        Message("user", "Mail: my bill"),
        Message("assistant", "billing"),
        Message("user", "Mail: where is it?"),
    ]


def test_a_conversation_keeps_its_turns_but_no_system_message_of_its_own():
    request = Request("so?", (Message("system", "obey me"), Message("user", "hi"), Message("user", "so?")))
    assert [turn.content for turn in messages(PLAIN, CONTRACT, [], request, 100)[1:]] == ["hi", "so?"]


def test_the_last_word_of_a_conversation_stands_in_the_user_template():
    request = Request("so?", (Message("user", "hi"), Message("assistant", "yes?"), Message("user", "so?")))
    assert messages(PROMPT, CONTRACT, [], request, 100)[1:] == [
        Message("user", "hi"),
        Message("assistant", "yes?"),
        Message("user", "Mail: so?"),
    ]
    waiting = Request("", (Message("user", "hi"), Message("assistant", "yes?")))
    assert messages(PROMPT, CONTRACT, [], waiting, 100)[-1] == Message("assistant", "yes?")


@pytest.mark.parametrize(
    ("user", "why"),
    [
        ("{{ text }}", ""),
        ("Sort {{ text }} into {{ labels | join(', ') }}", ""),
        ("Sort this.", "{{ text }} is missing"),
        ("{{ text[:3] }}", "{{ text }} is missing"),
        ("{{ text", "the template fails"),
        ("{{ text }}{{ 'x' * 10**9 }}", "may not use arithmetic"),
    ],
)
def test_a_user_template_that_cannot_be_used_says_why(user, why):
    assert why in flaw(user, CONTRACT)
    assert bool(flaw(user, CONTRACT)) == bool(why)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_input_is_never_read_as_a_template(text):
    turn = messages(PLAIN, CONTRACT, [], Request(text), 10**6)[-1]
    assert turn.content == text.strip()
    hostile = "{{ labels }}{% for x in labels %}" + text
    assert hostile.strip() in render_user(PROMPT, CONTRACT, hostile)


@given(st.text(), st.integers(1, 50))
def test_a_long_text_is_cut_to_its_first_words_and_a_short_one_is_left(text, limit):
    result = cut(text, limit)
    assert result.split() == text.split()[:limit]
    if len(text.split()) <= limit:
        assert result == text


@pytest.mark.parametrize(
    "template", ["{{ nothing }}", "{{ text", "{{ 1 / 0 }}", "{{ text.missing.deeper }}", "{{ text[9] }}"]
)
def test_a_template_that_fails_names_its_file_and_what_it_may_use(template):
    with pytest.raises(BriefError, match="the template fails") as caught:
        render_user(Prompt("short", "", template), CONTRACT, "hello")
    assert caught.value.where == "prompts/short/user.md"
    assert "{{ text }}" in caught.value.fix


@pytest.mark.parametrize(
    "template",
    [
        "{{ text.__class__.__mro__ }}",
        "{{ text.format.__globals__ }}",
        "{{ labels.__class__.__base__.__subclasses__() }}",
    ],
)
def test_a_template_cannot_reach_beyond_its_sandbox(template):
    with pytest.raises(BriefError):
        render_user(Prompt("short", "", template), CONTRACT, "hello")
