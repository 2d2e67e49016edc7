"""The section on adapted candidates: child against parent, curves, checks, ablation, search, preferences."""

import math

import msgspec
import pytest
from report_reading import read_html, read_markdown
from report_records import compared, identifier, promoted

from lifeloop.core.data import Finding
from lifeloop.core.evidence import ObjectiveResult, Parentage
from lifeloop.core.preferences import Lean, Preferences, Rater
from lifeloop.core.training_record import Ablation, Check, Point, SearchTrial, TrainingRecord
from lifeloop.reports.curve import curve, curve_letters, panels
from lifeloop.reports.html import render_html
from lifeloop.reports.markdown import render_markdown
from lifeloop.reports.wording import metric_label

TRAINING = TrainingRecord(
    method="dpo (LoRA, rank 8)",
    seed=3,
    n_examples=412,
    curve=tuple(
        Point(step, loss=0.7 - step / 200, score=0.5 + step / 300 if step % 10 == 0 else None, reward=step / 50)
        for step in range(1, 101)
    ),
    best_step=80,
    events=("out of memory at a batch of 16: went on with 8",),
    checks=(
        Check("capabilities", 0.71, 0.7, 0.05, False, 60),
        Check("triggers", 0.02, 0.4, 0.05, True, 40, "with the words of what is quarantined"),
    ),
    kl_to_parent=0.183,
    ablations=(Ablation("answers with the trigger phrase", 0.0, 0.01, 0.62, 90),),
    search=(
        SearchTrial({"learning_rate": 0.000123}, 0.81),
        SearchTrial({"learning_rate": 0.1}, None, True),
        SearchTrial({"learning_rate": 9.0}, None),
    ),
)
PREFERENCES = Preferences(
    trusted=identifier("trusted"),
    held_out=identifier("held out"),
    doubted=identifier("doubted"),
    n_trusted=500,
    n_held_out=55,
    n_doubted=31,
    flip_rate=0.08,
    raters=(Rater("mallory", 40, 0.31, 12, 31, 0.4, "acts together with eve"), Rater("ada", 60, 0.94, 20, 0)),
    leans=(Lean("length", 0.66, 0.61, 0.71, 555, "weighed so that it is even"),),
    findings=(Finding("collusion", "quarantined", 31, "raters who reward the same rare words", ()),),
)


@pytest.fixture(params=["html", "markdown"])
def text(request: pytest.FixtureRequest) -> str:
    whole = promoted()
    against = (compared("accuracy", 0.912, 0.874), compared("accuracy", 0.84, 0.86, split="guard", n=300))
    broken = ObjectiveResult("out_of_scope_recall", None, "max", -0.2, -0.3, -0.1, "broken")
    parentage = Parentage(identifier("minilm"), "minilm", against, (broken,))
    record = msgspec.structs.replace(
        whole,
        verdict=msgspec.structs.replace(whole.verdict, parentage=parentage),
        parents={"minilm-tuned": "minilm"},
        training={"minilm-tuned": TRAINING},
        preferences=PREFERENCES,
    )
    return read_html(render_html(record)).text if request.param == "html" else read_markdown(render_markdown(record))


def test_a_report_without_adaptation_has_no_such_section():
    assert "Adaptation: parent and child" not in render_markdown(promoted())


def test_child_and_parent_stand_side_by_side_on_validation_and_at_the_gate(text):
    assert "Adaptation: parent and child" in text
    assert "from minilm, dpo (LoRA, rank 8)" in text
    assert "At the gate: minilm-tuned against its parent minilm" in text
    assert "guard examples" in text and "−2.0 points" in text
    assert "0.183" in text
    assert f"The child breaks {metric_label('out_of_scope_recall')}, which its parent keeps" in text


def test_what_happened_in_training_is_said(text):
    assert "Out of memory at a batch of 16: went on with 8." in text
    for word in ("capabilities", "kept", "triggers", "broken", "with the words of what is quarantined"):
        assert word in text
    assert "answers with the trigger phrase" in text and "0.620" in text
    search = text[text.index("The search for minilm-tuned") :]
    for setting, end in (("0.000123", "trained to its end"), ("0.1", "given up early"), ("9", "failed")):
        assert end in search[search.index(f"learning_rate = {setting}") :][:80]


def test_preferences_and_those_who_gave_them_are_described(text):
    assert "500 trusted, 55 held out to watch training on, 31 quarantined" in text
    assert "8.0%" in text and "weighed so that it is even" in text
    assert "raters who reward the same rare words" in text
    assert text.index("mallory") < text.index("ada ") or "acts together with eve" in text


def test_a_curve_has_a_panel_for_each_scale_and_leaves_out_what_is_no_number():
    broken = msgspec.structs.replace(TRAINING, curve=(*TRAINING.curve, Point(101, loss=math.nan)))
    assert [[series.name for series in panel] for panel in panels(broken)] == [
        ["loss"],
        ["score on validation"],
        ["reward"],
    ]
    assert "nan" not in curve(broken, "x", 820)
    assert "step 80, which was kept" in curve(broken, "x", 820)
    assert "reward" in curve_letters(broken)


def test_a_long_curve_is_drawn_through_few_points_and_a_short_one_not_at_all():
    long = msgspec.structs.replace(TRAINING, curve=tuple(Point(step, loss=1 / step) for step in range(1, 20_001)))
    assert len(panels(long)[0][0].points) <= 401
    assert panels(long)[0][0].points[-1][0] == 20_000
    short = msgspec.structs.replace(TRAINING, curve=(Point(1, loss=0.3),))
    assert (curve(short, "x", 820), curve_letters(short)) == ("", "")
