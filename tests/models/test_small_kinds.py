import msgspec
import numpy as np
import pytest
from openai_endpoint import Reply, completion, serving

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.errors import ModelError
from lifeloop.models import cascade, gazetteer, linear, majority, remote
from lifeloop.models.gazetteer import Gazetteer
from lifeloop.models.majority import Majority
from lifeloop.tasks.extract import TASK


def found(names: dict[str, str], text: str) -> list[tuple[str, str]]:
    (answer,) = Gazetteer(names).answer([Request(text)])
    entities = TASK.parse(answer.output, ())
    assert all(text[entity.start : entity.end] == entity.text for entity in entities)
    return [(entity.type, entity.text) for entity in entities]


def test_names_are_found_whole_and_whatever_their_case():
    names = {"ann": "person", "new york": "place"}
    assert found(names, "ANN flew to New York") == [("person", "ANN"), ("place", "New York")]
    assert found(names, "Anna plans, annual") == []
    assert found(names, "(ann),ann.") == [("person", "ann")] * 2


def test_the_longest_name_wins():
    assert found({"york": "person", "new york": "place"}, "New York and York") == [
        ("place", "New York"),
        ("person", "York"),
    ]


def test_a_name_is_no_pattern():
    assert found({"c++": "tool", "a.b": "tool"}, "c++ and axb and a.b") == [("tool", "c++"), ("tool", "a.b")]


def test_without_names_nothing_is_found():
    assert found({}, "Ann") == []


def test_the_majority_says_the_same_to_all():
    answers = Majority("billing", 0.4).answer([Request("a"), Request("b")])
    assert [(answer.output, answer.confidence) for answer in answers] == [("billing", 0.4)] * 2


def test_a_head_answers_with_the_largest_logit_and_its_softmax():
    logits = np.array([[0.0, np.log(3)], [1000.0, 0.0], [0.0, -1e4]])
    answers = linear.answers(linear.softmax(logits), ("a", "b"))
    assert [answer.output for answer in answers] == ["b", "a", "a"]
    assert [answer.confidence for answer in answers] == pytest.approx([0.75, 1.0, 1.0])


# the cascade


def members(endpoint_url: str, sure: float):
    cheap = Majority("billing", sure)
    settings = {"url": endpoint_url, "model": "m", "retries": 0, "usd_per_million_in": 1.0}
    return cheap, remote.KIND.load(Candidate("api", "remote", "classify", ("billing", "delivery"), settings), None, ())


def load(loaded, threshold: float | None = 0.5):
    settings = {"members": ["cheap", "api"], "threshold": threshold}
    return cascade.KIND.load(Candidate("both", "cascade", "classify", ("billing", "delivery"), settings), None, loaded)


@pytest.mark.parametrize(
    ("sure", "output", "by", "asked"), [(0.5, "billing", "cheap", 0), (0.49, "delivery", "api", 1)]
)
def test_the_next_is_asked_where_the_first_is_not_sure(sure, output, by, asked):
    with serving(lambda _: "delivery") as endpoint:
        model = load(members(endpoint.url, sure))
        (answer,) = model.answer([Request("where is it?")])
        model.close()
    assert (answer.output, answer.by) == (output, by)
    assert len(endpoint.asked) == asked
    assert answer.usd == pytest.approx(asked * 10 / 1e6)


def test_where_the_last_fails_the_unsure_answer_stands_and_all_is_paid_for():
    with serving(lambda _: Reply({"usage": completion("")["usage"], "choices": []})) as endpoint:
        (answer,) = load(members(endpoint.url, 0.1)).answer([Request("x")])
    assert (answer.output, answer.by, answer.error) == ("billing", "cheap", "")
    assert answer.usd == pytest.approx(10 / 1e6)


def test_where_the_first_fails_the_next_is_asked():
    with serving(lambda asked: Reply({}, 400)) as endpoint:
        broken = members(endpoint.url, 1.0)[1]
        settings = {"members": ["api", "cheap"], "threshold": 0.9}
        candidate = Candidate("both", "cascade", "classify", (), settings)
        (answer,) = cascade.KIND.load(candidate, None, [broken, Majority("billing", 0.1)]).answer([Request("x")])
    assert (answer.output, answer.by, answer.error) == ("billing", "cheap", "")


def test_where_all_fail_there_is_an_error():
    with serving(lambda asked: Reply({}, 400)) as endpoint:
        both = [members(endpoint.url, 1.0)[1] for _ in range(2)]
        (answer,) = load(both).answer([Request("x")])
    assert answer.error == "the endpoint answered 400"
    assert answer.output == ""


def test_a_cascade_takes_as_many_threads_as_its_narrowest_member():
    with serving(lambda _: "delivery") as endpoint:
        cheap, api = members(endpoint.url, 0.1)
        model = load((cheap, api))
    assert model.concurrency == min(cheap.concurrency, api.concurrency)
    assert model.batch_size == cheap.batch_size


def test_a_cascade_that_was_never_finished_does_not_load():
    with pytest.raises(ModelError, match="no threshold was chosen"):
        load((Majority("a", 1.0), Majority("b", 1.0)), threshold=None)
    with pytest.raises(ModelError, match="two members at least"):
        load((Majority("a", 1.0),))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"members": ["a"]}, cascade.Settings)


def test_what_training_wrote_is_all_that_a_kind_reads(tmp_path):
    (tmp_path / majority.FILE).write_text('["billing", 0.75]')
    (tmp_path / gazetteer.FILE).write_text('{"ann": "person"}')
    one = majority.KIND.load(Candidate("m", "majority", "classify", (), {}), tmp_path, ())
    assert one.answer([Request("x")])[0].confidence == 0.75
    other = gazetteer.KIND.load(Candidate("g", "gazetteer", "extract", (), {}), tmp_path, ())
    assert "person" in other.answer([Request("Ann")])[0].output
