"""What any trainer has to keep, ours or a plugin's. A new trainer of a kind adds one line to TABLES."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from contract_scene import Scene
from msgspec import Struct

from lifeloop import plugins
from lifeloop.core.brief import convert_settings
from lifeloop.core.data import Example
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import silent
from lifeloop.store.training_data import read_for_selection
from lifeloop.training.trainer import Decided, Materials, MemberAnswers

COUNTED = {"kind": "features", "min_examples": 1}
TABLES = {
    "majority": ("classify", {}),
    "features": ("classify", {"min_examples": 1}),
    "features, all at once": (
        "classify",
        {"statistics": True, "lexicons": {"polite": ["please"]}, "columns": ["half"], "select": 60, "head": "boosting"},
    ),
    "nearest": ("generate", {}),
    "gazetteer": ("extract", {}),
    "remote": ("classify", {"url": "http://127.0.0.1:9/v1", "model": "m", "shots": 3}),
    "vllm": ("classify", {"url": "http://127.0.0.1:9/v1", "model": "m", "shots": 3}),
    "cascade": ("classify", {"members": ["a", "b"], "threshold": 0.5}),
    "abstain": ("classify", {"members": ["a"], "threshold": 0.5}),
    "router": ("classify", {"by": "half", "router": COUNTED, "specialist": COUNTED}),
}
NEURAL = {"encoder", "tagger", "llamacpp", "transformers", "scratch", "openvino"}
"""Held to the contract in test_models.py, where their weights are loaded anyway."""


def materials_for(scene: Scene, kind: str, table: dict, seed: int = 0) -> Materials:
    return Materials(
        task=scene.task,
        labels=scene.labels,
        settings=convert_settings(table, plugins.get("models", kind).settings, f"candidates.{kind}", "lifeloop.toml"),
        train=tuple(read_for_selection(scene.vault, scene.dataset, "train")),
        validation=tuple(read_for_selection(scene.vault, scene.dataset, "validation")),
        prompt=None,
        parent=None,
        parent_settings=None,
        members=(),
        seed=seed,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=TABLES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Materials]:
    task, table = TABLES[request.param]
    kind = request.param.partition(",")[0]
    return kind, materials_for(Scene(tmp_path, task), kind, table)


def build(kind: str, materials: Materials, folder: Path) -> Decided:
    folder.mkdir()
    return plugins.get("trainers", kind).build(materials, folder, silent)


def test_every_trainer_that_is_installed_is_held_to_the_contract():
    assert {name.partition(",")[0] for name in TABLES} | NEURAL == set(plugins.names("trainers"))


def test_a_trainer_belongs_to_a_model_kind_and_an_adaptation_has_settings_of_its_own():
    assert set(plugins.names("trainers")) <= set(plugins.names("models"))
    for name in plugins.names("trainers"):
        assert plugins.get("trainers", name).settings is None
        assert plugins.get("trainers", name).version
    for name in plugins.names("adaptations"):
        settings = plugins.get("adaptations", name).settings
        assert issubclass(settings, Struct)
        assert settings.__struct_config__.forbid_unknown_fields
        assert plugins.get("adaptations", name).version


def test_there_is_no_field_to_hand_over_the_test_or_the_guard_split():
    fields = {field.name for field in msgspec.structs.fields(Materials)}
    assert fields == {
        "task",
        "labels",
        "settings",
        "train",
        "validation",
        "prompt",
        "parent",
        "parent_settings",
        "members",
        "seed",
        "parent_kind",
        "out_of_scope",
        "metric",
        "scoring",
        "preferences",
        "held_out",
        "doubted",
        "flip_rate",
        "corpus",
        "taught",
        "scratch",
        "project",
        "watch",
        "pay",
    }
    assert {field.name for field in msgspec.structs.fields(MemberAnswers)} == {"name", "answers", "usd_per_1000"}


def test_nothing_in_training_can_name_the_splits_that_only_evaluation_reads():
    """The modules of training, and all that they import, do not reach `read_for_evaluation`."""
    script = (
        "import importlib, pkgutil, sys, lifeloop.training as t\n"
        "[importlib.import_module(f'lifeloop.training.{m.name}') for m in pkgutil.iter_modules(t.__path__)]\n"
        "print('lifeloop.store.datasets' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"
    )


def test_the_same_materials_give_the_same_files(case, tmp_path):
    kind, materials = case
    decided = build(kind, materials, tmp_path / "one")
    assert build(kind, materials, tmp_path / "other") == decided
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_what_it_decides_are_settings_of_the_kind(case, tmp_path):
    kind, materials = case
    decided = build(kind, materials, tmp_path / "made")
    known = {field.name for field in msgspec.structs.fields(type(materials.settings))}
    assert set(decided.settings) <= known
    msgspec.json.encode(decided)


def test_it_writes_to_its_folder_and_reads_no_clock(case, tmp_path):
    kind, materials = case
    before = files(tmp_path)
    build(kind, materials, tmp_path / "made")
    assert set(files(tmp_path)) - set(before) == {f"made/{name}" for name in files(tmp_path / "made")}
    assert not [name for name in files(tmp_path / "made") if Path(name).suffix in (".pkl", ".joblib", ".bin", ".pt")]


def test_little_data_is_enough_or_refused_in_words(case, tmp_path):
    kind, materials = case
    rows = {e.reference: e for e in materials.train}
    few = tuple(rows[reference] for reference in sorted(rows))
    labels = plugins.get("tasks", materials.task).labels([e.reference for e in few])
    little = msgspec.structs.replace(materials, train=few, validation=(), labels=labels)
    try:
        assert isinstance(build(kind, little, tmp_path / "made"), Decided)
    except ModelError as error:
        assert error.where
        assert error.fix


def test_references_that_training_never_saw_do_not_stop_it(case, tmp_path):
    kind, materials = case
    strange = {"classify": "never seen", "extract": '[{"type":"never seen"}]', "generate": "never seen"}[materials.task]
    validation = (*materials.validation, Example("x", "text", strange, ""))
    build(kind, msgspec.structs.replace(materials, validation=validation), tmp_path / "made")
