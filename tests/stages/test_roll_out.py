"""Roll out: what becomes of a rollout, by what was seen in its step."""

import msgspec
import pytest

from lifeloop.core.rollout_brief import Rollout
from lifeloop.stages.roll_out import Observed, Seen, Shadowed, decide
from lifeloop.stages.shadow import same, similar
from lifeloop.stats.two_sides import weigh

SETTINGS = Rollout(as_good=("failures",))


def figure(name="failures", differences=(), n=None, means=(0.01, 0.01)) -> Seen:
    n = len(differences) if n is None else n
    evidence = weigh(differences, getattr(SETTINGS.margins, name))
    return Seen(name, evidence, (n, 10 * n), means)


def observed(*figures: Seen, units=(0, 0), hours=1.0, shadow=None) -> Observed:
    return Observed(figures, units, (100, 1000), hours, shadow)


def decided(*figures: Seen, settings=SETTINGS, strategy="canary", step=0, share=0.01, **rest):
    return decide(settings, strategy, step, share, observed(*figures, **rest))


EQUAL = figure(differences=[0.0] * 2000)
WORSE = figure(differences=[1.0] * 60, means=(1.0, 0.01))


def test_a_step_takes_a_number_of_answers():
    found = decided(figure(differences=[0.0] * 49))
    assert (found.action, found.reason) == ("stay", "49 of at least 50 answers counted")
    assert decided(figure(differences=[0.0] * 50)).action == "next"


def test_what_is_shown_to_be_worse_goes_back_at_once_however_few_the_answers():
    found = decided(figure(differences=[1.0] * 15, means=(1.0, 0.0)), step=3, share=0.5)
    assert found.action == "roll_back"
    assert found.reason == ("shown to be worse: failures 100.00% of 15 against 0.00% of 150 (margin 2.00%)")


def test_a_figure_that_is_not_watched_takes_nothing_back():
    settings = msgspec.structs.replace(SETTINGS, watch=("failures",))
    assert decided(EQUAL, figure("disliked", [1.0] * 60), settings=settings).action == "next"


def test_above_a_tenth_of_the_traffic_it_must_be_shown_to_be_as_good():
    open_yet = figure(differences=[0.0] * 60)
    assert decided(open_yet, step=1, share=0.05).action == "next", "to a tenth"
    found = decided(open_yet, step=2, share=0.1)
    assert found.action == "stay"
    assert found.reason == "open after 60 answers: whether it is as good in failures", "its figures stand beside it"
    assert decided(EQUAL, step=2, share=0.1).action == "next"
    assert decided(open_yet, step=3, share=0.5).action == "stay", "and anew for the rest"
    assert decided(EQUAL, step=3, share=0.5).action == "promote"


def test_whatever_it_must_be_as_good_in_and_nobody_has_seen_stays_open():
    settings = msgspec.structs.replace(SETTINGS, as_good=("failures", "disliked"))
    found = decided(EQUAL, figure("disliked"), settings=settings, step=2, share=0.1)
    assert (found.action, "as good in disliked answers: nothing seen" in found.reason) == ("stay", True)


def test_a_question_that_stays_open_ends_the_rollout():
    settings = msgspec.structs.replace(SETTINGS, most_events=60)
    found = decided(figure(differences=[0.0] * 60), settings=settings, step=2, share=0.1)
    assert found.action == "roll_back"
    assert found.reason.startswith("not shown after 60 answers: whether it is as good in failures 1.00% of 60 against ")


def test_so_does_time():
    found = decided(EQUAL, hours=337.0, step=3, share=0.5)
    assert found.action == "roll_back" and "within 336 hours" in found.reason


def test_a_split_that_is_off_holds_what_would_go_on():
    found = decided(EQUAL, units=(10, 9990), step=2, share=0.1)
    assert found.action == "hold"
    assert "it got 10 of 10,000 users or requests, 0.10%, where 10.00% were meant" in found.reason


def test_a_split_that_is_off_does_not_keep_what_is_worse():
    assert decided(WORSE, units=(10, 9990), step=2, share=0.1).action == "roll_back"


def test_a_b_takes_evidence_of_being_better():
    liked = figure("disliked", [-0.2] * 400, means=(0.1, 0.3))
    assert decided(EQUAL, strategy="ab", share=0.5, units=(500, 500)).action == "stay"
    found = decided(EQUAL, liked, strategy="ab", share=0.5)
    assert found.action == "promote" and "better in disliked answers" in found.reason
    assert decided(figure(differences=[0.0] * 60), liked, strategy="ab", share=0.5).action == "stay", (
        "as good elsewhere"
    )


SHADOW = Shadowed(n=500, same=0.9, similar=0.95, seconds=(0.2, 0.1), usd_per_1000=(1.0, 0.5))


def test_a_shadow_compares_answers_and_goes_on_to_a_canary():
    few = msgspec.structs.replace(SHADOW, n=499)
    assert decided(EQUAL, strategy="shadow", shadow=few).action == "stay"
    found = decided(EQUAL, strategy="shadow", shadow=SHADOW)
    assert found.action == "next"
    assert "500 answers compared: 90.0% the same, 95.0% of the words; median 200 ms against 100 ms" in found.reason
    assert decided(WORSE, strategy="shadow", shadow=SHADOW).action == "roll_back"


def test_or_waits_for_a_person():
    settings = msgspec.structs.replace(SETTINGS, after_shadow="wait")
    assert decided(EQUAL, settings=settings, strategy="shadow", shadow=SHADOW).action == "hold"


@pytest.mark.parametrize(
    ("one", "other", "alike", "share"),
    [
        ("Hello, world", "hello world", True, 1.0),
        ("a b c d", "a b x y", False, 0.5),
        ("", "", True, 1.0),
        ("a", "", False, 0.0),
    ],
)
def test_answers_compare_by_words(one, other, alike, share):
    assert (same(one, other), similar(one, other)) == (alike, share)
