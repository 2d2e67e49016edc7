import math
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from report_records import crowded, promoted

from lifeloop.reports.axes import cost_axis, linear
from lifeloop.reports.blocks import Figure
from lifeloop.reports.document import document
from lifeloop.reports.labels import HEIGHT, Anchor, Box, place
from lifeloop.reports.letters import pixels, short_names, shortened
from lifeloop.reports.plot import forest, quality_cost
from lifeloop.reports.scene import Mark, Scene, front, near_marks

AREA = Box(60, 40, 420, 400)


def scene_of(*marks: Mark, target: float | None = None, direction="max") -> Scene:
    return Scene("accuracy", marks, direction, target, lambda value: f"{100 * value:.1f}%", True)


def mark(name: str, cost: float, value: float, *parts: str) -> Mark:
    return Mark(name, cost, value, value - 0.02, value + 0.02, parts)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(60, 420), st.integers(40, 400), st.integers(10, 200)), min_size=1, max_size=40))
def test_names_never_cover_each_other_or_a_point(spots):
    anchors = [Anchor(float(x), float(y), float(width)) for x, y, width in spots]
    points = [Box(a.x - 8, a.y - 8, a.x + 8, a.y + 8) for a in anchors]
    labels = place(anchors, AREA, points, [])
    assert len(labels) == len(anchors)
    assert not any(a.box.meets(b.box) for a, b in combinations(labels, 2))
    assert not any(label.box.meets(point) for label in labels for point in points if label.box.bottom <= AREA.bottom)
    assert all(math.isclose(label.box.bottom - label.box.top, HEIGHT) for label in labels)


def test_forty_candidates_are_all_named_in_both_figures():
    record = crowded()
    figures = [block for section in document(record).sections for block in section.blocks if isinstance(block, Figure)]
    assert len(figures) == 2
    for figure in figures:
        for standing in record.leaderboard.standings:
            assert standing.name in figure.wide  # as the title of its point, where the label had to be cut
            assert standing.name in figure.narrow
            assert standing.name in figure.letters


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 5.0]), st.floats(0, 1)), min_size=1, max_size=12))
def test_nobody_beats_the_front_for_its_money(field):
    marks = [mark(str(index), cost, value) for index, (cost, value) in enumerate(field)]
    best = front(marks, "max")
    for kept in best:
        assert not any(m.cost <= kept.cost and m.value > kept.value for m in marks)
    for left in (m for m in marks if m not in best):
        assert any(m.cost <= left.cost and m.value >= left.value for m in best)


def test_the_front_follows_the_direction_of_the_metric():
    slow, fast = mark("slow", 1.0, 0.9), mark("fast", 2.0, 0.1)
    assert front([slow, fast], "max") == (slow,)
    assert front([slow, fast], "min") == (slow, fast)


@given(st.lists(st.floats(1e-7, 1e5), min_size=1, max_size=20), st.booleans())
def test_the_cost_axis_keeps_the_order_and_its_ticks_apart(costs, with_free):
    costs = sorted([*costs, *([0.0] if with_free else [])])
    axis = cost_axis(costs, 60, 800)
    places = [axis.at(cost) for cost in costs]
    assert places == sorted(places) and all(60 <= place <= 800 for place in places)
    assert not with_free or len(costs) == 1 or places[0] < places[1]
    ticks = [x for x, _ in axis.ticks(70)]
    assert len(ticks) >= 1 and ticks == sorted(ticks)


def test_costs_of_nothing_and_identical_costs_have_a_place():
    for costs in ([0.0], [0.0, 0.0], [0.003], [0.003, 0.003], [0.0, 0.003]):
        marks = [mark(f"c{index}", cost, 0.8) for index, cost in enumerate(costs)]
        svg = quality_cost(scene_of(*marks), 800)
        assert all(f">c{index}</text>" in svg for index in range(len(costs)))
        assert (">0</text>" in svg) == (0.0 in costs)


def test_what_is_far_below_does_not_press_the_rest_together():
    good = [mark(f"good-{index}", 0.01, 0.85 + index / 100) for index in range(5)]
    far = mark("majority", 0.001, 0.04)
    scene = scene_of(*good, far)
    assert far not in near_marks(scene, scene.marks)
    assert "majority 4.0%" in quality_cost(scene, 800)  # off the scale its value stands beside it
    assert far in near_marks(scene_of(*good[:1], far), (*good[:1], far))  # two are never parted


@given(st.lists(st.floats(0, 1), min_size=1), st.booleans())
def test_an_axis_holds_all_its_values(values, share):
    axis = linear(values, 300, 20, share)
    assert axis.low <= min(values) and max(values) <= axis.high
    assert all(20 <= axis.at(value) <= 300 for value in values)
    assert len(axis.ticks(6)) >= 1


def test_the_parts_differ_in_shape_and_not_in_colour_alone():
    scene = scene_of(mark("a", 1, 0.9, "challenger"), mark("b", 2, 0.8, "champion"), mark("c", 3, 0.7), target=0.75)
    for svg in (quality_cost(scene, 800), forest(scene, 360)):
        assert '<path class="ours"' in svg and '<rect class="theirs"' in svg and '<circle class="rest"' in svg
        assert ">challenger</text>" in svg and ">champion</text>" in svg and ">target 75.0%</text>" in svg
    assert ">best for its cost</text>" in quality_cost(scene, 360)


@given(st.text(max_size=80), st.integers(40, 300))
def test_a_shortened_name_fits(text, width):
    assert pixels(shortened(text, width)) <= max(width, pixels("…"))


def test_names_that_become_the_same_get_their_number():
    names = ["prompt-alpha-with-examples", "prompt-gamma-with-examples", "tfidf"]
    short = short_names(names, 100)
    assert short[0].startswith("1. ") and short[1].startswith("2. ") and short[2] == "tfidf"
    assert short_names(names, 400) == names


def test_figures_are_drawn_for_both_widths():
    figure = next(b for s in document(promoted()).sections for b in s.blocks if isinstance(b, Figure))
    assert 'viewBox="0 0 820 ' in figure.wide and 'viewBox="0 0 360 ' in figure.narrow
