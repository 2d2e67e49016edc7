"""What any feature has to keep that a package declares under `lifeloop.features`, ours or a plugin's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifeloop import plugins
from lifeloop.models.feature_blocks.engineered import called

TEXTS = ["", "a", "Where is my parcel? It is late.", "x" * 50_000, "\0", "🎉", "أين طردي", "1 2 3", "A.\n\nB!"]


@pytest.fixture(params=plugins.names("features"))
def feature(request: pytest.FixtureRequest):
    return request.param, plugins.get("features", request.param)


def test_it_gives_one_row_of_numbers_a_text_always_of_the_same_length(feature):
    name, function = feature
    rows = called(name, function, TEXTS)
    assert rows.shape[0] == len(TEXTS)
    assert called(name, function, TEXTS[:1]).shape[1] == rows.shape[1]
    assert np.isfinite(rows).all()


def test_what_it_says_of_a_text_does_not_hang_on_its_neighbours(feature):
    name, function = feature
    together = called(name, function, TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        assert np.array_equal(called(name, function, [text])[0], row)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=200))
def test_any_text_will_do(text):
    for name in plugins.names("features"):
        assert called(name, plugins.get("features", name), [text]).shape[0] == 1
