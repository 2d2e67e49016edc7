"""The reference pages say what the code says."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def _generate():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_commands_is_the_help_of_the_code():
    assert (DOCS / "commands.md").read_text() == _generate().commands(), "run python docs/generate.py"


def test_the_reference_of_the_brief_is_that_of_the_code():
    assert (DOCS / "brief.md").read_text() == _generate().brief_reference(), "run python docs/generate.py"
