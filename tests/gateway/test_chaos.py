"""The chaos benchmark, shortened: upstreams fail and hang, the database stops, workers are killed, nobody notices."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "chaos" / "run.py"


@pytest.mark.alone
@pytest.mark.slow
def test_every_request_is_answered_and_every_answer_is_on_record():
    if not shutil.which("initdb") and not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("no PostgreSQL here")
    done = subprocess.run(
        [sys.executable, str(RUN), "20", "40"], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
