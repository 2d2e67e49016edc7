import json

import pytest
from metric_scene import declared, scored, value_of

from lifeloop.core.errors import BriefError

SCHEMA = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number", "minimum": 0}}}


def keeps(tmp_path, output: str | None, **rules) -> bool:
    return bool(value_of(declared({"kind": "rule"} | rules, tmp_path), scored("generate", [("q", "a", output)])))


@pytest.mark.parametrize(
    ("rules", "kept", "broken"),
    [
        ({"must": ["(?i)parcel", r"\d+"]}, "Your PARCEL 7", "Your parcel"),
        ({"must_not": ["(?i)as an ai", "sorry"]}, "It comes today.", "As an AI I cannot say"),
        ({"min_words": 2}, "two words", "one"),
        ({"max_words": 2}, "two words", "now three words"),
        ({"starts": "Dear", "ends": "Yours"}, " Dear you. Yours\n", "Dear you."),
        ({"json": True}, '{"a": [1]}', "{'a': 1}"),
        ({"max_words": 3, "must": ["a"]}, "a b c", "b c"),
    ],
)
def test_an_output_keeps_all_rules_or_it_does_not(tmp_path, rules, kept, broken):
    assert keeps(tmp_path, kept, **rules)
    assert not keeps(tmp_path, broken, **rules)


@pytest.mark.parametrize("rules", [{"must_not": ["sorry"]}, {"max_words": 5}])
def test_a_failed_answer_keeps_no_rule(tmp_path, rules):
    assert not keeps(tmp_path, None, **rules)


def test_the_value_is_the_share_of_outputs_that_keep_them(tmp_path):
    metric = declared({"kind": "rule", "max_words": 1}, tmp_path)
    assert value_of(metric, scored("generate", [("", "", "a"), ("", "", "a b"), ("", "", None), ("", "", "c")])) == 0.5


def test_an_output_is_held_to_a_schema_of_the_project(tmp_path):
    (tmp_path / "invoice.json").write_text(json.dumps(SCHEMA))
    assert keeps(tmp_path, '{"total": 3.5, "more": 1}', schema="invoice.json")
    for output in ('{"total": -1}', '{"sum": 1}', "[]", "no JSON", '{"total": "3"}', "[" * 5000 + "]" * 5000):
        assert not keeps(tmp_path, output, schema="invoice.json")


@pytest.mark.parametrize(
    ("rules", "key", "says"),
    [
        ({}, "must", "there is no rule"),
        ({"must": ["fine", "(open"]}, "must[1]", "no regular expression"),
        ({"must_not": ["*"]}, "must_not[0]", "nothing to repeat"),
        ({"min_words": 5, "max_words": 3}, "max_words", "no output has at least 5 words"),
        ({"schema": "none.json"}, "schema", "there is no file 'none.json'"),
        ({"must": "text"}, "must", "expected `array`"),
    ],
)
def test_a_rule_that_cannot_be_read_is_named(tmp_path, rules, key, says):
    with pytest.raises(BriefError, match=r"metrics\.own") as caught:
        declared({"kind": "rule"} | rules, tmp_path)
    assert caught.value.where == f"lifeloop.toml: metrics.own.{key}"
    assert says in caught.value.what


@pytest.mark.parametrize("text", ["{", '{"type": "text"}', '{"$ref": "#/$defs/none"}', '{"$ref": "#"}', "[]", b"\xff"])
def test_a_schema_that_cannot_be_used_is_named(tmp_path, text):
    (tmp_path / "s.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BriefError) as caught:
        declared({"kind": "rule", "schema": "s.json"}, tmp_path)
    assert caught.value.where == "lifeloop.toml: metrics.own.schema (s.json)"


def test_nothing_is_fetched_for_a_schema(tmp_path):
    (tmp_path / "s.json").write_text('{"$ref": "http://127.0.0.1:9/schema.json"}')
    with pytest.raises(BriefError, match="leads nowhere"):
        declared({"kind": "rule", "schema": "s.json"}, tmp_path)
