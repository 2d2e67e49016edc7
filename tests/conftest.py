import os
import shutil
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # each has one core; said before anything imports numpy or torch
    os.environ["OMP_NUM_THREADS"] = "1"

from small_project import Ran, run, small_project


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    folder = small_project(tmp_path_factory.mktemp("once") / "news")
    return folder, run(folder)


@pytest.fixture
def finished(_finished: tuple[Path, Ran], tmp_path: Path) -> Path:
    """A project after its first cycle, to do anything with."""
    return shutil.copytree(_finished[0], tmp_path / "finished")


@pytest.fixture
def first(_finished: tuple[Path, Ran]) -> Ran:
    """What its first cycle came to."""
    return _finished[1]
