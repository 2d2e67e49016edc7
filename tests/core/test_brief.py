import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from lifeloop.core.brief import Brief, convert_settings, needs, order_of_making, parse_brief
from lifeloop.core.errors import BriefError

GOOD = """
[project]
name = "support"
task = "classify"

[data]
source = "data.csv"
splits = { train = 0.6, validation = 0.2, test = 0.15, guard = 0.05 }

[[objectives]]
metric = "accuracy"
target = 0.9

[[objectives]]
metric = "p95_ms"
guard = true

[candidates.majority]
kind = "majority"

[candidates.tfidf]
kind = "features"

[candidates.both]
kind = "cascade"
members = ["majority", "tfidf"]

[candidates.tuned]
parent = "tfidf"
adapt = "finetune"

[gate]
baseline = "majority"

[release]
fallback = ["tfidf"]
"""


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


@pytest.mark.parametrize(("known", "fix"), [('["channel"]', "did you mean 'channel'"), ("[]", "add it there")])
def test_a_guard_on_a_column_that_is_no_slice_is_found(known, fix):
    text = changed('source = "data.csv"', f'source = "data.csv"\nslices = {known}')
    text = text.replace("guard = true", 'guard = true\nslices = ["chanel"]', 1)
    with pytest.raises(BriefError, match=r"'chanel' is no column of data.slices") as caught:
        parse_brief(text)
    assert caught.value.where == "lifeloop.toml: objectives[1].slices"
    assert fix in caught.value.fix


def test_a_brief_is_read_whole_with_its_defaults():
    brief = parse_brief(GOOD)
    assert isinstance(brief, Brief)
    assert brief.primary.metric == "accuracy"
    assert brief.objectives[1].target is None
    assert brief.objectives[1].guard
    assert brief.data.splits.test == 0.15
    assert brief.gate.confidence == 0.95
    assert list(brief.candidates) == ["majority", "tfidf", "both", "tuned"]


def test_an_integer_will_do_where_a_number_is_wanted():
    assert parse_brief(changed("target = 0.9", "target = 1")).primary.target == 1.0


WRONG = {
    "unknown key with a near one": ('task = "classify"', 'tsk = "x"\ntask = "classify"', "project.tsk", "`task`"),
    "unknown section": ("[gate]", "[gates]", "gates", "`gate`"),
    "unknown key of a nested table": ("guard = 0.05 }", "gard = 0.05 }", "data.splits.gard", "`guard`"),
    "unknown key of an objective": ("target = 0.9", "target = 0.9\ntarge = 1", "objectives[0].targe", "`target`"),
    "unknown key like nothing there is": ("[gate]", "[gate]\nzzz = 1", "gate.zzz", "remove it"),
    "a key of a table within": ("[gate]", "[gateway]\nretries = 1\n[gate]", "gateway.retries", "[gateway.continuity]"),
    "a key of another table": (
        "[gate]",
        "[gateway.continuity]\nin_flight = 1\n[gate]",
        "gateway.continuity.in_flight",
        "[gateway.load]",
    ),
    "an origin with a path": (
        "[gate]",
        '[gateway.protection]\ncors = ["https://a.example/x"]\n[gate]',
        "gateway.protection.cors",
        "scheme, host and port",
    ),
    "a text for a number": ("target = 0.9", 'target = "high"', "objectives[0].target", "value of that kind"),
    "a number for a text": ('source = "data.csv"', "source = 3", "data.source", "value of that kind"),
    "a number for a table": (
        "splits = { train = 0.6, validation = 0.2, test = 0.15, guard = 0.05 }",
        "splits = 3",
        "data.splits",
        "value of that kind",
    ),
    "a share beyond 1": ("train = 0.6", "train = 1.6", "data.splits.train", "value of that kind"),
    "a confidence of 0": ("[gate]", "[gate]\nconfidence = 0", "gate.confidence", "value of that kind"),
    "not one of the words allowed": (
        "guard = 0.05 }",
        'guard = 0.05, by = "luck" }',
        "data.splits.by",
        "'time', 'stratified'",
    ),
    "a missing key": ('task = "classify"', "", "project.task", "add `task"),
    "a missing key of a section": ('source = "data.csv"', "", "data.source", "add `source"),
    "an objective without a target": ("guard = true", "", "objectives[1].target", "add `target = NUMBER`"),
    "a first objective that is a guard alone": (
        "target = 0.9",
        "guard = true",
        "objectives[0].target",
        "put an objective",
    ),
    "a project's name with spaces": ('name = "support"', 'name = "My Support"', "project.name", "lower-case"),
    "a candidate's name with capitals": ("[candidates.tfidf]", "[candidates.TFIDF]", "candidates", "lower-case"),
    "splits that do not add up": ("train = 0.6", "train = 0.7", "data.splits", "{ train = 0.6"),
    "splits that leave some out": ("train = 0.6", "train = 0.5", "data.splits", "{ train = 0.6"),
    "a split that is needed and empty": (
        "test = 0.15, guard = 0.05",
        "test = 0.0, guard = 0.2",
        "data.splits.test",
        "needed",
    ),
    "neither kind nor parent": ('kind = "features"', "", "candidates.tfidf", 'kind = "features"'),
    "kind and adapt": ('adapt = "finetune"', 'adapt = "finetune"\nkind = "features"', "candidates.tuned", "parent"),
    "an adapted candidate without a parent": ('parent = "tfidf"', "", "candidates.tuned.parent", "NAME"),
    "a parent that there is not": ('parent = "tfidf"', 'parent = "tfid"', "candidates.tuned.parent", "'tfidf'"),
    "a parent that is no name": (
        'kind = "features"',
        'kind = "features"\nparent = 3',
        "candidates.tfidf.parent",
        "NAME",
    ),
    "its own parent": ('parent = "tfidf"', 'parent = "tuned"', "candidates.tuned.parent", None),
    "an unknown member": ('"majority", "tfidf"', '"majority", "tfdif"', "candidates.both.members", "'tfidf'"),
    "a member that is no text": ('"majority", "tfidf"', '"majority", 3', "candidates.both.members", "name one of"),
    "members that are no list": ('["majority", "tfidf"]', "3", "candidates.both.members", 'members = ["A", "B"]'),
    "members that are a text": ('["majority", "tfidf"]', '"tfidf"', "candidates.both.members", 'members = ["A", "B"]'),
    "an unknown baseline": ('baseline = "majority"', 'baseline = "majorty"', "gate.baseline", "'majority'"),
    "an unknown fallback": ('fallback = ["tfidf"]', 'fallback = ["gpt"]', "release.fallback", "name one of"),
}


@pytest.mark.parametrize(("old", "new", "key", "remedy"), WRONG.values(), ids=WRONG)
def test_a_wrong_brief_names_the_file_the_key_and_a_remedy(old, new, key, remedy):
    with pytest.raises(BriefError) as caught:
        parse_brief(changed(old, new), "shop/lifeloop.toml")
    assert caught.value.where == f"shop/lifeloop.toml: {key}"
    assert caught.value.what
    assert caught.value.fix
    assert remedy is None or remedy in caught.value.fix


def test_an_impossible_value_is_shown():
    with pytest.raises(BriefError, match=r"<= 1\.0 \(it holds 1\.6\)"):
        parse_brief(changed("train = 0.6", "train = 1.6"))


def test_a_text_that_is_not_toml_names_the_line():
    with pytest.raises(BriefError, match="at line 3") as caught:
        parse_brief("[project]\nname = 'x'\ntask = classify\n")
    assert caught.value.where == "lifeloop.toml"
    assert caught.value.fix


@pytest.mark.parametrize("text", ["", "objectives = []", "candidates = 3", "[[project]]", "project = 'x'"])
def test_a_brief_that_is_hardly_begun_is_an_error_and_no_crash(text):
    with pytest.raises(BriefError):
        parse_brief(text)


@pytest.mark.parametrize("section", ["objectives", "candidates"])
def test_at_least_one_objective_and_one_candidate_are_wanted(section):
    kept = GOOD.partition("[[objectives]]")[0]
    rest = "[candidates.a]\nkind='majority'" if section == "objectives" else "[[objectives]]\nmetric='a'\ntarget=1"
    with pytest.raises(BriefError) as caught:
        parse_brief(
            f"{section} = {'[]' if section == 'objectives' else '{}'}\n{kept}\n{rest}".replace("candidates = {}", "")
        )
    assert section in caught.value.where


def test_a_ring_of_parents_is_named():
    ring = changed('kind = "features"', 'parent = "tuned"\nadapt = "finetune"')
    with pytest.raises(BriefError, match="made from one another: tfidf, both, tuned") as caught:
        parse_brief(ring)
    assert caught.value.where == "lifeloop.toml: candidates"


@given(st.permutations(["majority", "tfidf", "both", "tuned"]))
def test_what_others_are_made_from_comes_first_whatever_the_order_of_the_brief(order):
    sections = dict(re.findall(r"(?ms)^\[candidates\.(\w+)\]\n(.*?)\n\n", GOOD))
    head, tail = GOOD.partition("[candidates.")[0], "[gate]" + GOOD.partition("[gate]")[2]
    text = head + "".join(f"[candidates.{name}]\n{sections[name]}\n\n" for name in order) + tail
    brief = parse_brief(text)
    made = order_of_making(brief)
    assert sorted(made) == sorted(brief.candidates)
    for name in made:
        assert all(made.index(other) < made.index(name) for other in needs(brief.candidates[name]))


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    c: float = 0.5
    ngrams: tuple[int, int] = (1, 2)


def test_settings_of_a_kind_become_its_type():
    assert convert_settings({"c": 2}, Settings, "candidates.tfidf", "lifeloop.toml") == Settings(c=2.0)


@pytest.mark.parametrize(
    ("table", "key", "remedy"),
    [
        ({"ngram": [1, 2]}, "candidates.tfidf.ngram", "did you mean `ngrams`?"),
        ({"c": "strong"}, "candidates.tfidf.c", "write a value of that kind"),
        ({"ngrams": [1, "two"]}, "candidates.tfidf.ngrams[1]", "write a value of that kind"),
        ({"ngrams": [1]}, "candidates.tfidf.ngrams", "write a value of that kind"),
    ],
)
def test_wrong_settings_name_the_section_and_the_key(table, key, remedy):
    with pytest.raises(BriefError) as caught:
        convert_settings(table, Settings, "candidates.tfidf", "lifeloop.toml")
    assert caught.value.where == f"lifeloop.toml: {key}"
    assert caught.value.fix == remedy


toml_values = st.one_of(
    st.integers(-5, 5).map(str),
    st.sampled_from(['""', '"x"', "[]", "[1]", "{}", "{ a = 1 }", "true", "1.5", "-1.0", "1979-05-27", "nan", "inf"]),
)
keys = st.sampled_from(re.findall(r"(?m)^(\w+) = ", GOOD))


@given(keys, toml_values)
def test_any_value_under_any_key_gives_a_brief_or_a_clear_error(key, value):
    text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", GOOD, count=1)
    try:
        assert isinstance(parse_brief(text), Brief)
    except BriefError as error:
        assert error.where.startswith("lifeloop.toml")
        assert error.fix
