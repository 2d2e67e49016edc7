import msgspec
import pytest

from lifeloop.core.brief import parse_brief
from lifeloop.core.candidates import Machine
from lifeloop.core.data import Profile
from lifeloop.core.errors import BriefError
from lifeloop.core.planning import Plan
from lifeloop.stages.plan import ESCALATED, kind_of, plan
from lifeloop.stats.power import items_for_any_look, items_for_difference, items_for_target, smallest_at_any_look

BRIEF = """
[project]
name = "support"
task = "classify"
[data]
source = "data.csv"
[[objectives]]
metric = "accuracy"
target = 0.9
[budget]
minutes = 30
memory_gb = 4
usd = 1
[candidates.floor]
kind = "majority"
[candidates.tfidf]
kind = "features"
[candidates.api]
kind = "remote"
url = "http://127.0.0.1:9/v1"
model = "m"
usd_per_million_in = 1.0
usd_per_million_out = 4.0
[candidates.both]
kind = "cascade"
members = ["tfidf", "api"]
"""
PROFILE = Profile(n_train=6000, n_validation=1500, n_test=2000, n_guard=500, n_labels=10, mean_chars=120.0)
MACHINE = Machine(cores=4, memory_gb=16.0, gflops=200.0)


def planned(text: str = BRIEF, profile: Profile = PROFILE) -> Plan:
    return plan(parse_brief(text), profile, MACHINE)


def changed(old: str, new: str) -> str:
    assert old in BRIEF
    return BRIEF.replace(old, new, 1)


def lines(found: Plan) -> dict:
    return {line.name: line for line in found.lines}


def test_every_candidate_has_a_line_in_the_order_of_the_brief():
    found = planned()
    assert [line.name for line in found.lines] == ["floor", "tfidf", "api", "both"]
    assert [line.kind for line in found.lines] == ["majority", "features", "remote", "cascade"]
    assert found.within_budget
    assert found.memory_gb == max(line.estimate.memory_gb for line in found.lines)
    assert found.usd == pytest.approx(sum(line.usd for line in found.lines))
    assert found.seconds > sum(line.estimate.build_seconds + line.trial_seconds for line in found.lines)


def test_a_cascade_costs_its_first_member_and_a_share_of_the_next():
    found = lines(planned())
    tfidf, api, both = (found[name].estimate for name in ("tfidf", "api", "both"))
    assert both.usd_per_item == pytest.approx(tfidf.usd_per_item + ESCALATED * api.usd_per_item)
    assert both.seconds_per_item == pytest.approx(tfidf.seconds_per_item + ESCALATED * api.seconds_per_item)
    assert both.memory_gb == pytest.approx(tfidf.memory_gb + api.memory_gb)


def test_fewer_items_cost_less_in_proportion():
    half = lines(planned(BRIEF + "[explore]\nmax_items = 750\n"))["api"]
    whole = lines(planned())["api"]
    assert half.usd == pytest.approx(whole.usd / 2)
    assert lines(planned(BRIEF + "[explore]\nmax_items = 9999\n"))["api"] == whole


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("memory_gb = 4", "memory_gb = 0.2", "memory"),
        ("minutes = 30", "minutes = 0.01", "time"),
        ("usd = 1", "usd = 0", "money"),
    ],
)
def test_what_breaks_the_budget_is_named(old, new, what):
    found = planned(changed(old, new))
    assert not found.within_budget
    over = [line for line in found.lines if what in line.too_much]
    assert over
    assert any(over[0].name in reason for reason in found.reasons)


def test_an_adapted_candidate_takes_the_kind_of_its_parent_and_its_passes():
    encoder = '[candidates.encoder]\nkind = "encoder"\nmodel = "nowhere"\n'
    tuned = '[candidates.tuned]\nparent = "encoder"\nadapt = "finetune"\nepochs = {epochs}\n'
    found = [lines(planned(BRIEF + encoder + tuned.format(epochs=epochs))) for epochs in (1, 4)]
    assert found[0]["tuned"].kind == "encoder"
    seconds = [each["tuned"].estimate.build_seconds - 5.0 for each in found]
    assert seconds[1] == pytest.approx(4 * seconds[0])
    assert found[0]["tuned"].estimate.memory_gb > found[0]["encoder"].estimate.memory_gb
    assert kind_of("b", {"a": {"kind": "x"}, "b": {"parent": "a"}}) == "x"


def test_the_items_that_each_question_needs_are_those_of_the_power_formulas():
    first, second = planned().items
    assert first.question == "is accuracy above 0.9?"
    assert first.needed == items_for_target(0.9, 0.9 + 0.1 / 3, 0.95, 0.8)
    assert second.needed == items_for_any_look(0.03, 0.1, 0.95, 0.8) > items_for_difference(0.03, 0.1, 0.95, 0.8)
    assert f"2000 examples find {smallest_at_any_look(2000, 0.1, 0.95, 0.8):.3f}" in second.basis
    assert "however often the gate looks" in second.basis
    assert first.available == second.available == 2000
    assert first.enough
    assert second.enough


def test_too_small_a_test_split_is_known_before_anything_is_spent():
    small = planned(profile=msgspec.structs.replace(PROFILE, n_test=100))
    assert [item.enough for item in small.items] == [False, False]


def test_questions_that_no_number_of_items_settles_are_left_out():
    others = {"p95_ms": 50, "calibration_error": 0.05, "valid": 1.0}
    written = "".join(f'[[objectives]]\nmetric = "{metric}"\ntarget = {target}\n' for metric, target in others.items())
    more = changed("[budget]", f"{written}[budget]")
    assert [item.question for item in planned(more).items] == [
        "is accuracy above 0.9?",
        "is the challenger better by 0.03?",
    ]


@pytest.mark.parametrize(
    ("old", "new", "profile", "scope"),
    [
        ("", "", {}, "narrow"),
        ("", "", {"n_train": 100}, "both"),
        ('task = "classify"', 'task = "classify"\nscope = "broad"', {}, "broad"),
    ],
)
def test_the_advice_follows_the_data_unless_the_brief_says_otherwise(old, new, profile, scope):
    found = planned(changed(old, new) if old else BRIEF, msgspec.structs.replace(PROFILE, **profile))
    assert found.scope == scope
    assert found.reasons


def test_free_text_is_what_broad_models_are_made_for():
    text = changed('task = "classify"', 'task = "generate"').replace('metric = "accuracy"', 'metric = "token_f1"')
    text = text.replace('kind = "majority"', 'kind = "nearest"').replace(
        '[candidates.tfidf]\nkind = "features"', '[candidates.tfidf]\nkind = "nearest"'
    )
    assert planned(text, msgspec.structs.replace(PROFILE, n_labels=0, n_train=1000)).scope == "broad"


def test_many_labels_and_slow_models_are_reasons():
    found = planned(profile=msgspec.structs.replace(PROFILE, n_labels=150))
    assert any("150 labels" in reason for reason in found.reasons)
    assert any("times as long" in reason for reason in found.reasons)


def test_an_adapted_prompt_costs_the_calls_of_its_search():
    tuned = '[candidates.worded]\nparent = "api"\nadapt = "prompt"\nbudget_calls = {calls}\n'
    few, many = (lines(planned(BRIEF + tuned.format(calls=calls)))["worded"] for calls in (500, 1500))
    api = lines(planned())["api"]
    assert many.usd - few.usd == pytest.approx(1000 * api.estimate.usd_per_item)
    assert many.estimate.build_seconds - few.estimate.build_seconds == pytest.approx(
        1000 * api.estimate.seconds_per_item
    )
    assert many.estimate.memory_gb == api.estimate.memory_gb


def test_only_who_draws_at_random_is_asked_several_times():
    repeated = BRIEF + "[explore]\nrepeats = 3\n"
    warm = repeated.replace('model = "m"', 'model = "m"\ntemperature = 0.7')
    assert lines(planned(repeated))["api"] == lines(planned())["api"]
    assert lines(planned(warm))["api"].usd == pytest.approx(3 * lines(planned())["api"].usd)
    assert lines(planned(warm))["tfidf"] == lines(planned())["tfidf"]


def test_wrong_settings_stop_the_plan():
    with pytest.raises(BriefError, match="unknown key"):
        planned(changed('kind = "features"', 'kind = "features"\nngrams = 3'))
