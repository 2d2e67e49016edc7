import msgspec
import pytest
from verdict_scene import BETTER, WORSE, judge, standing

from lifeloop.core.brief import Release as Section
from lifeloop.core.content import content_id
from lifeloop.core.errors import GateError
from lifeloop.core.evidence import Leaderboard
from lifeloop.stages.release import release

BOARD = Leaderboard("accuracy", (standing("challenger", 0.9), standing("floor", 0.5), standing("broken", None)), "", "")
SECTION = Section(fallback=("broken", "challenger", "floor"), timeout_seconds=3.0)


def test_a_verdict_that_promotes_makes_a_release():
    verdict = judge(BETTER)
    made = release(verdict, BOARD, SECTION, replaces="before")
    assert (made.candidate, made.name) == (verdict.challenger, "challenger")
    assert made.verdict == content_id(verdict)
    assert (made.cycle, made.replaces, made.timeout_seconds) == (1, "before", 3.0)


def test_the_fallback_leaves_out_what_failed_and_what_is_released_itself():
    assert release(judge(BETTER), BOARD, SECTION, "").fallback == ("id of floor",)


def test_the_fallback_keeps_the_order_of_the_brief():
    board = msgspec.structs.replace(BOARD, standings=(standing("b", 0.5), standing("a", 0.6)))
    assert release(judge(BETTER), board, Section(fallback=("b", "a")), "").fallback == ("id of b", "id of a")


@pytest.mark.parametrize("verdict", [judge(WORSE), judge()], ids=["reject", "undecided"])
def test_no_other_verdict_does(verdict):
    with pytest.raises(GateError, match=f"is '{verdict.decision}'") as caught:
        release(verdict, BOARD, SECTION, "")
    assert verdict.reason in caught.value.what
