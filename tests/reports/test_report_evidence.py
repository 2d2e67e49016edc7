"""What a report says of races, overrides, thresholds, slices, repeats and confidence."""

import msgspec
import pytest
from report_reading import read_html, read_markdown
from report_records import identifier, promoted, raced

from lifeloop.core.evidence import Spot, VarianceSplit
from lifeloop.reports.html import render_html
from lifeloop.reports.markdown import render_markdown


@pytest.fixture(params=["html", "markdown"])
def text(request: pytest.FixtureRequest) -> str:
    record = raced()
    return read_html(render_html(record)).text if request.param == "html" else read_markdown(render_markdown(record))


def test_the_leaderboard_says_on_what_an_elimination_rested(text):
    assert "stopped early" in text
    assert "50 of 900 examples" in text
    assert "−45.0 to −22.0 points" in text
    assert "The race needed" in text and "less. A candidate is stopped" in text


def test_the_trade_stands_side_by_side(text):
    for shape in ("One specialist", "Specialists behind a router", "Cascade", "Specialist that abstains"):
        assert shape in text


def test_an_override_is_the_first_thing_that_is_said(text):
    said = "minilm-tuned goes to production against the gate, by Ada Lovelace: the regulator asks for it by Monday"
    assert said in text
    assert text.index(said) < text.index("Leaderboard")
    assert "Override by Ada Lovelace, against the gate:" in text


def test_a_broken_guard_of_a_slice_names_it_and_its_corrected_p_value(text):
    assert "domain=banking" in text
    assert "p = 0.004, corrected for the number of comparisons" in text


def test_what_a_threshold_promised_stands_beside_what_test_says(text):
    assert "an in-scope request is withheld or answered wrongly" in text
    assert "5.0%" in text and "4.1%" in text and "kept" in text


def test_always_valid_evidence_stands_beside_the_single_look(text):
    assert "Always-valid interval" in text
    assert "e-value 412" in text


def test_the_abstention_curve_is_drawn_and_written(text):
    assert "Accuracy on what is still answered" in text
    assert "99.0%" in render_markdown(raced())


def test_repeats_show_the_models_own_dice(text):
    assert "Variance that is the model's own dice" in text and "25.0%" in text


def test_what_a_judge_says_of_itself_is_shown(text):
    assert "The judge agrees with people on 82% of 40 labelled answers." in text


def test_a_cycle_without_any_of_it_shows_none_of_it():
    plain = render_markdown(promoted())
    for words in ("stopped early", "against the gate", "Accuracy on what is still", "own dice", "conformal"):
        assert words not in plain


def test_a_curve_that_never_withholds_anything_is_not_drawn():
    record = raced()
    flat = tuple(
        msgspec.structs.replace(trial, abstention=(Spot(0.0, 1.0, 0.9), Spot(0.5, 1.0, 0.9))) for trial in record.trials
    )
    assert "Accuracy on what is still" not in render_markdown(msgspec.structs.replace(record, trials=flat))


def test_a_variance_of_nothing_is_not_measured():
    record = raced()
    none = tuple(
        msgspec.structs.replace(trial, variance=(VarianceSplit("accuracy", 0.0, 0.0),))
        if trial.candidate == identifier("minilm-tuned")
        else trial
        for trial in record.trials
    )
    assert "not measured" in render_markdown(msgspec.structs.replace(record, trials=none))
