import subprocess
import sys

import pytest

from lifeloop import plugins
from lifeloop.core.errors import BriefError


@pytest.mark.parametrize("seam", plugins.SEAMS)
def test_everything_that_is_declared_can_be_loaded(seam):
    assert plugins.names(seam)
    assert list(plugins.names(seam)) == sorted(plugins.names(seam))
    for name in plugins.names(seam):
        assert plugins.find(seam, name) is plugins.get(seam, name)


def test_a_name_that_is_not_there_is_answered_with_the_nearest():
    with pytest.raises(BriefError) as caught:
        plugins.get("models", "featurs", where="lifeloop.toml: candidates.tfidf.kind")
    assert caught.value.what == "there is no model kind 'featurs'"
    assert caught.value.where == "lifeloop.toml: candidates.tfidf.kind"
    assert caught.value.fix == "did you mean 'features'?"
    with pytest.raises(BriefError, match="use one of: chat, classify, extract, generate"):
        plugins.get("tasks", "zzz")
    assert plugins.find("tasks", "zzz") is None


def test_another_package_adds_its_own_by_its_metadata_alone(tmp_path):
    (tmp_path / "parrot.py").write_text("KIND = 'a model kind'\n")
    info = tmp_path / "parrot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lifeloop.models]\nparrot = parrot:KIND\n")
    script = "from lifeloop import plugins; print('parrot' in plugins.names('models'), plugins.get('models', 'parrot'))"
    run = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert run.stdout == "True a model kind\n"


def test_looking_names_up_loads_nothing_heavy():
    script = (
        "import sys\nfrom lifeloop import plugins\n[plugins.names(seam) for seam in plugins.SEAMS]\n"
        "[plugins.get('models', name) for name in plugins.names('models')]\n"
        "print([m for m in ('torch', 'transformers', 'sklearn', 'xllamacpp') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
