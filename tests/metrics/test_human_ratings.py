import json
import math

import pytest

from lifeloop.core.errors import DataError
from lifeloop.metrics.human_ratings import read_ratings


def written(tmp_path, rows):
    path = tmp_path / "ratings.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def rated(scores, **keys):
    return [{"example": f"e{n}", "score": score} | keys for n, score in enumerate(scores)]


def test_ratings_are_found_by_example_or_by_texts(tmp_path):
    rows = [
        *rated([0.1, 0.2, 0.3]),
        {"example": "e0", "output": "this one", "score": 0.9},
        {"input": "q", "output": "a", "score": 0.7},
    ]
    ratings = read_ratings(written(tmp_path, [*rows, "", "  "]), "ratings.jsonl")
    assert ratings.of("e0", "", "anything") == 0.1
    assert ratings.of("e0", "", "this one") == 0.9  # what is said of one answer goes before what is said of any
    assert ratings.of("e7", "q", "a") == 0.7
    assert math.isnan(ratings.of("e7", "q", "b"))
    assert not ratings.binary


def test_several_ratings_of_one_answer_are_averaged(tmp_path):
    ratings = read_ratings(written(tmp_path, [*rated([0.0, 1.0, 1.0, 0.0]), *rated([1.0])]), "r")
    assert ratings.of("e0", "", "") == 0.5
    assert ratings.binary  # each person said yes or no


def test_a_scale_from_1_to_5_is_brought_to_0_to_1(tmp_path):
    ratings = read_ratings(written(tmp_path, rated([1, 2, 3, 4, 5])), "r")
    assert [ratings.of(f"e{n}", "", "") for n in range(5)] == [0.0, 0.25, 0.5, 0.75, 1.0]


GOOD = rated([0.0, 0.5, 1.0, 0.2])


@pytest.mark.parametrize(
    ("rows", "where", "says"),
    [
        ([*GOOD, "{"], "r.jsonl:5", "no rating"),
        ([*GOOD, {"example": "x"}], "r.jsonl:5", "no rating"),
        ([GOOD[0], {"score": 0.5}], "r.jsonl:2", "what was rated"),
        ([GOOD[0], {"score": 0.5, "input": "q"}], "r.jsonl:2", "what was rated"),
        ([GOOD[0], {"score": 7, "example": "x"}], "r.jsonl:2", "the score is 7"),
        (GOOD, "r.jsonl", "4 ratings are too few"),
        (rated([1.0] * 5), "r.jsonl", "every score is 1"),
        (rated([0.5, 1, 2, 3, 4]), "r.jsonl", "scores go from 0.5 to 4"),
    ],
)
def test_a_row_that_is_no_rating_is_named(tmp_path, rows, where, says):
    with pytest.raises(DataError) as caught:
        read_ratings(written(tmp_path, rows), "r.jsonl")
    assert caught.value.where == where
    assert says in caught.value.what
    assert caught.value.fix
