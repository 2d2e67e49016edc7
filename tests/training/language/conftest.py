import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tiny_training.py, tiny_parent.py


@pytest.fixture(scope="session")
def parent(tmp_path_factory):
    from tiny_parent import write_parent

    return write_parent(tmp_path_factory.mktemp("parent"))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Matrices of these sizes are multiplied faster by one thread than by two that wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
