import json

from hypothesis import given
from hypothesis import strategies as st

from lifeloop.gateway.asking.deltas import merged


def chunk(delta, index=0, reason=None):
    return json.dumps([{"index": index, "delta": delta, "finish_reason": reason}])


def test_a_tool_call_in_pieces_is_one_call():
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    chunks = [
        chunk({"role": "assistant", "content": None, "tool_calls": [call]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "call_2", "function": {"name": "time", "arguments": "{}"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Bern"}'}}]}),
        chunk({}, reason="tool_calls"),
    ]
    (choice,) = json.loads(merged(chunks))
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    first, second = choice["message"]["tool_calls"]
    assert first["function"] == {"name": "weather", "arguments": '{"city":"Bern"}'} and first["id"] == "call_1"
    assert second["function"]["name"] == "time"


def test_what_is_no_choice_adds_nothing():
    assert merged(["7", "{broken", "[3]", "{}"]) == "" and merged([]) == ""


def test_texts_of_any_name_are_put_together_and_those_that_come_whole_are_not():
    delta = {"role": "assistant", "reasoning": "It is ", "reasoning_details": [{"text": "so"}]}
    more = {"role": "assistant", "reasoning": "sunny.", "reasoning_details": [{"text": "then"}]}
    (choice,) = json.loads(merged([chunk(delta), chunk(more)]))
    details = [{"text": "so"}, {"text": "then"}]
    assert choice["message"] == {"role": "assistant", "reasoning": "It is sunny.", "reasoning_details": details}


def test_choices_and_calls_without_an_index_are_kept():
    calls = [{"id": name, "function": {"name": "f", "arguments": f'{{"city": "{name}"}}'}} for name in ("a", "b")]
    (choice,) = json.loads(merged(json.dumps([{"delta": {"tool_calls": [call]}}]) for call in calls))
    assert choice["message"]["tool_calls"] == calls and choice["index"] == 0


@given(pieces=st.lists(st.tuples(st.integers(0, 3), st.text(max_size=5)), max_size=30))
def test_the_texts_of_each_choice_come_in_their_order(pieces):
    whole = json.loads(merged(chunk({"content": text}, index) for index, text in pieces) or "[]")
    for choice in whole:
        expected = "".join(text for index, text in pieces if index == choice["index"])
        assert choice["message"]["content"] == expected
    assert {choice["index"] for choice in whole} == {index for index, _ in pieces}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["index", "content", "x"]), inner),
    max_leaves=8,
)


@given(chunks=st.lists(values, max_size=5))
def test_whatever_an_endpoint_sends_is_survived(chunks):
    merged(json.dumps([{"index": 0, "delta": value}]) for value in chunks)
    merged(json.dumps(value) for value in chunks)
