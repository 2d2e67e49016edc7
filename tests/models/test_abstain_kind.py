import pytest

from lifeloop import plugins
from lifeloop.core.candidates import Answer, Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.models import abstain, cascade
from lifeloop.models.majority import Majority
from lifeloop.tasks.task import Scope

TASK = plugins.get("tasks", "classify")
LABELS = ("billing", "delivery", "other")


def load(member, **settings):
    table = {"members": ["m"], "threshold": 0.5, **settings}
    return abstain.KIND.load(Candidate("careful", "abstain", "classify", LABELS, table), None, (member,))


def said(sure: float, **settings) -> Answer:
    (answer,) = load(Majority("billing", sure), **settings).answer([Request("x")])
    return answer


def test_what_the_member_is_sure_of_stands_under_its_name():
    assert said(0.5, out_of_scope="other") == Answer("billing", 0.5, by="m")


def test_what_it_is_unsure_of_is_out_of_scope_or_nothing():
    assert said(0.3, out_of_scope="other") == Answer("other", 0.7, by="")
    assert said(0.3, out_of_scope="") == Answer("", 0.0, by="")
    assert said(0.3) == Answer("", 0.0, by="")


def test_who_says_out_of_scope_unsurely_has_still_said_so():
    (answer,) = load(Majority("other", 0.2), out_of_scope="other").answer([Request("x")])
    assert answer == Answer("other", 0.2, by="m")


def test_a_stream_holds_nothing_back_that_it_gave():
    *pieces, answer = load(Majority("billing", 0.2), out_of_scope="other").stream(Request("x"))
    assert pieces == ["other"]
    assert answer.output == "other"


def test_a_candidate_that_was_never_finished_does_not_load():
    with pytest.raises(ModelError, match="no threshold was chosen"):
        load(Majority("billing", 0.2), threshold=None)


EXAMPLES = [Example("0", "x", "billing", ""), Example("1", "x", "delivery", ""), Example("2", "x", "other", "")]
ANSWERS = [Answer("billing", 0.9, by="m"), Answer("other", 0.8), Answer("billing", 0.9, by="m")]


def test_with_an_out_of_scope_label_an_in_scope_request_that_is_withheld_is_lost():
    scope = Scope(LABELS, "other")
    assert abstain.losses({"out_of_scope": "other"}, TASK, EXAMPLES, ANSWERS, scope).tolist() == [0.0, 1.0]


def test_without_one_only_a_wrong_answer_is_lost():
    answers = [ANSWERS[0], Answer("", 0.8), ANSWERS[2]]
    assert abstain.losses({"out_of_scope": ""}, TASK, EXAMPLES, answers, Scope(LABELS)).tolist() == [0.0, 0.0, 1.0]
    failed = [Answer("", error="late"), *answers[1:]]
    assert abstain.losses({}, TASK, EXAMPLES, failed, Scope(LABELS)).tolist() == [1.0, 0.0, 1.0]


def test_a_cascade_loses_where_its_last_member_would_have_been_right():
    last = [Answer("delivery"), Answer("delivery"), Answer("other")]
    lost = cascade.losses(TASK, EXAMPLES, ANSWERS, last, Scope(LABELS, "other"))
    assert lost.tolist() == [0.0, 1.0, 1.0]
    counted = cascade.losses(TASK, EXAMPLES, ANSWERS, last, Scope(LABELS, "other"), "in_scope_accuracy")
    assert counted.tolist() == [0.0, 1.0]
