"""The order of examples: by chance, the same again, and with rows of like length in a step."""

from hypothesis import given
from hypothesis import strategies as st

from lifeloop.training.language.order import ByLength

lengths = st.lists(st.integers(1, 200), min_size=1, max_size=300)


@given(lengths, st.integers(1, 16), st.integers(0, 5))
def test_every_pass_sees_every_example_once_and_the_same_pass_again_alike(rows, step, epoch):
    order = list(ByLength(rows, step, 7, lambda: float(epoch)))
    assert sorted(order) == list(range(len(rows)))
    assert order == list(ByLength(rows, step, 7, lambda: epoch + 0.5))


def test_passes_differ_and_little_is_padded():
    rows = [(number * 37) % 101 + 1 for number in range(400)]
    first, second = (list(ByLength(rows, 8, 1, lambda e=epoch: float(e))) for epoch in (0, 1))
    assert first != second
    padded = sum(8 * max(rows[place] for place in first[start : start + 8]) for start in range(0, 400, 8))
    assert padded < 1.1 * sum(rows)
