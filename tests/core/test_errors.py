import pickle

import pytest

from lifeloop.core import errors
from lifeloop.core.errors import LifeloopError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LifeloopError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_processes_whole(kind):
    error = kind("the target is missing", where="lifeloop.toml: objectives[0]", fix="add it")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (copy.what, copy.where, copy.fix) == (error.what, error.where, error.fix)
    assert str(copy) == str(error) == "lifeloop.toml: objectives[0]: the target is missing\n  → add it"


def test_an_error_says_only_what_it_knows():
    assert str(LifeloopError("full")) == "full"
    assert str(LifeloopError("full", where="disk")) == "disk: full"
    assert str(LifeloopError("full", fix="free some space")) == "full\n  → free some space"


def test_the_tree_that_the_module_shows_is_the_tree_there_is():
    children = {kind.__name__ for kind in KINDS} - {"LifeloopError"}
    assert all(f"── {name} " in errors.__doc__ for name in children)
    assert errors.__doc__.count("── ") == len(children)
