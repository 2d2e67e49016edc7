"""An encoder as an ONNX graph answers as the one it was made from, without torch, in the same files each time."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))  # the small encoder that the tests of training make
from tiny_encoder import LABELS, make_encoder, materials, texts

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.models import encoder, onnx_encoder
from lifeloop.training import onnx_graph
from lifeloop.training.encoder_head import TRAINER as HEAD
from lifeloop.training.onnx_export import TRAINER
from lifeloop.training.record import load_record
from lifeloop.training.trainer import Decided

NEEDED = ("torch", "onnx", "onnxscript", "onnxruntime")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"{', '.join(NEEDED)} are not all installed"),
]

ASKED = [Request(row.input) for row in texts(8, offset=40)]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the files and the settings of a candidate with a small random encoder under a fitted head."""
    base = make_encoder(tmp_path_factory.mktemp("base"))
    folder = tmp_path_factory.mktemp("parent")
    settings = encoder.Settings(model=str(base), max_tokens=32)
    HEAD.build(materials(settings), folder, silent)
    return folder, msgspec.to_builtins(settings)


@pytest.fixture(scope="module")
def exported(parent, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Decided]:
    folder = tmp_path_factory.mktemp("exported")
    return folder, export(folder, parent)


def export(folder: Path, parent: tuple[Path, dict[str, Any]], **settings: Any) -> Decided:
    files, of_parent = parent
    given = materials(TRAINER.settings(**settings), parent=files, parent_settings=of_parent, parent_kind="encoder")
    return TRAINER.build(given, folder, silent)


def candidate(kind: str, settings: dict[str, Any]) -> Candidate:
    return Candidate("e", kind, "classify", LABELS, settings)


def load(parent: tuple[Path, dict[str, Any]], exported: tuple[Path, Decided]) -> Any:
    settings = parent[1] | exported[1].settings  # as `make` puts them together
    return onnx_encoder.KIND.load(candidate(exported[1].kind, settings), exported[0], ())


def test_it_answers_as_its_parent_does(parent, exported):
    before = encoder.KIND.load(candidate("encoder", parent[1]), parent[0], ()).answer(ASKED)
    after = load(parent, exported).answer(ASKED)
    assert [answer.output for answer in after] == [answer.output for answer in before]


def test_the_record_says_how_many_answers_are_the_same(exported):
    folder, decided = exported
    same, score = load_record(folder).checks
    assert same.name == "the same answers as its parent"
    assert same.child >= 0.99
    assert same.n == 36
    assert "int8" in same.note
    assert score.child == decided.score
    assert not score.broken


def test_it_has_nothing_but_graph_tokeniser_head_and_record(exported):
    names = {path.name for path in exported[0].iterdir()}
    assert names == {"encoder.onnx", "tokenizer.json", "head-weights.npy", "head-bias.npy", "training.json"}


def test_the_same_encoder_gives_the_same_file_and_no_path_of_this_machine_in_it(parent, exported, tmp_path):
    export(tmp_path, parent)
    graph = (tmp_path / onnx_encoder.GRAPH).read_bytes()
    assert graph == (exported[0] / onnx_encoder.GRAPH).read_bytes()
    assert b".py" not in graph


def test_it_serves_without_torch_and_transformers(parent, exported):
    """What serves imports neither: a process that loads and asks it holds neither."""
    script = f"""
import sys
from pathlib import Path
from lifeloop.core.candidates import Candidate, Request
from lifeloop.models import onnx_encoder
candidate = Candidate("e", "onnx-encoder", "classify", {LABELS!r}, {parent[1] | exported[1].settings!r})
model = onnx_encoder.KIND.load(candidate, Path({str(exported[0])!r}), ())
print(model.answer([Request("my courier please")])[0].output, "torch" in sys.modules, "transformers" in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.split()[1:] == ["False", "False"]


def test_a_long_text_is_cut_as_the_parent_cuts_it(parent, exported):
    long = [Request("parcel " * 500 + word) for word in ("", "invoice")]
    one, other = load(parent, exported).probabilities(long)
    assert np.array_equal(one, other)


@pytest.mark.parametrize("way", onnx_graph.WAYS)
def test_each_way_to_int8_keeps_vectors_close(parent, tmp_path, way):
    from lifeloop.models.encoder import open_encoder

    opened = open_encoder(parent[1]["model"], 32, "candidates")
    expected = opened.encode([request.text for request in ASKED])
    opened.tokeniser.save_pretrained(tmp_path)
    onnx_graph.export_graph(opened, tmp_path / "plain.onnx")
    for name in ("plain.onnx", "int8.onnx"):
        if name == "int8.onnx":
            onnx_graph.WAYS[way](tmp_path / "plain.onnx", tmp_path / name)
        vectors = onnx_encoder.OnnxVectors(tmp_path / name, tmp_path / "tokenizer.json", 32, 1, "candidates")
        found = vectors.encode([request.text for request in ASKED])
        assert (found * expected).sum(1).min() > (0.99999 if name == "plain.onnx" else 0.98)
    assert (tmp_path / "int8.onnx").stat().st_size < (tmp_path / "plain.onnx").stat().st_size


def test_where_int8_answers_otherwise_it_says_how_many(parent, tmp_path, monkeypatch):
    def ruin(source: Path, target: Path) -> None:
        """Write a graph whose vectors all point the other way."""
        import onnx

        graph = onnx.load(source)
        (last,) = [node for node in graph.graph.node if onnx_encoder.OUTPUT in node.output]
        last.output[0] = "right way round"
        graph.graph.node.append(onnx.helper.make_node("Neg", ["right way round"], [onnx_encoder.OUTPUT]))
        onnx.save(graph, target)

    monkeypatch.setattr("lifeloop.training.onnx_export.WAYS", {"upside down": ruin})
    with pytest.raises(ModelError, match=r"it answers \d\d of 36 examples otherwise than its parent"):
        export(tmp_path, parent)

    monkeypatch.setattr(
        "lifeloop.training.onnx_export.WAYS", {"upside down": ruin, "by block": onnx_graph.WAYS["a scale a block"]}
    )
    assert export(tmp_path, parent).score is not None  # the next way did
    assert "by block" in load_record(tmp_path).checks[0].note


def test_float32_is_the_graph_as_it_was(parent, tmp_path):
    decided = export(tmp_path, parent, precision="float32", agreement=1.0)
    assert decided.settings["precision"] == "float32"
    assert load_record(tmp_path).checks[0].child == 1.0


def test_one_that_nothing_was_made_for_says_how_it_is_made():
    with pytest.raises(ModelError, match="made from another candidate") as caught:
        onnx_encoder.KIND.load(candidate("onnx-encoder", {"model": "package:x"}), None, ())
    assert 'adapt = "onnx"' in caught.value.fix
