"""Settings without sense are refused when the brief is read, by the name of their key."""

import math

import msgspec
import pytest

from lifeloop import plugins
from lifeloop.core.brief import convert_settings
from lifeloop.core.errors import BriefError

MODELLED = ("transformers", "tagger", "llamacpp", "openvino", "vllm")
REQUIRED = {"distil": {"teacher": "t"}} | {name: {"model": "m"} for name in MODELLED}
MODELS = {
    "scratch": [
        {"batch": 0},
        {"heads": 0},
        {"layers": -1},
        {"width": 0},
        {"epochs": 0.0},
        {"context": 63},
        {"vocabulary": 299},
        {"learning_rate": -1.0},
        {"threads": -1},
        {"warmup": 1.5},
    ],
    "transformers": [{"batch": 0}, {"context": 0}, {"max_words": 0}, {"threads": -1}, {"shots": -1}, {"calibrate": -1}],
    "tagger": [{"batch": 0}, {"learning_rate": math.inf}],
    "llamacpp": [{"context": 0}, {"max_words": 0}, {"threads": -1}, {"shots": -1}, {"calibrate": -1}],
    "openvino": [{"batch": 0}, {"context": 0}, {"threads": -1}, {"max_tokens": -1}],
    "vllm": [{"concurrency": 0}, {"start_seconds": 0.0}, {"timeout_seconds": math.inf}, {"temperature": -0.1}],
}
LANGUAGE = [{"batch": 0}, {"epochs": 0.0}, {"learning_rate": -1.0}, {"max_tokens": 0}, {"warmup": -0.1}]
LOW_RANK = [*LANGUAGE, {"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}, {"minutes": math.nan}]
SHARES = [{"shares": []}, {"shares": [0.0]}, {"shares": [0.5, 1.5]}]
ADAPTATIONS = {
    "sft": [*LOW_RANK, {"validation_items": -1}],
    "distil": [*LOW_RANK, {"min_confidence": 1.1}],
    "pretrain": LOW_RANK,
    "soft-prompt": [*LANGUAGE, {"vectors": 0}],
    "dpo": [*LOW_RANK, {"beta": -1.0}],
    "grpo": [*LOW_RANK, {"generations": 1}, {"temperature": 0.0}, {"reward_epochs": 0.0}],
    "finetune": [*SHARES, {"epochs": 0}, {"batch": 0}, {"learning_rate": -1.0}, {"layer_decay": 0.0}, {"hidden": 1.0}],
    "contrastive": [*SHARES, {"pairs": 1}, {"hard": 1.5}, {"validations": 0}, {"patience": -1}],
    "onnx": [{"agreement": 1.5}, {"agreement": -0.1}, {"threads": 0}],
}


def cases(group: str, tables: dict[str, list[dict]]) -> list:
    return [pytest.param(group, name, table, id=f"{name} {table}") for name, each in tables.items() for table in each]


@pytest.mark.parametrize(("group", "name", "table"), cases("models", MODELS) + cases("adaptations", ADAPTATIONS))
def test_a_value_out_of_bounds_is_refused_and_its_key_named(group, name, table):
    settings = plugins.get(group, name).settings
    with pytest.raises(BriefError, match=f"candidates.one.{next(iter(table))}"):
        convert_settings(REQUIRED.get(name, {}) | table, settings, "candidates.one", "lifeloop.toml")


@pytest.mark.parametrize(
    ("group", "name"), [("models", name) for name in MODELS] + [("adaptations", name) for name in ADAPTATIONS]
)
def test_the_defaults_are_within_bounds(group, name):
    settings = plugins.get(group, name).settings
    own = convert_settings(REQUIRED.get(name, {}), settings, "candidates.one", "lifeloop.toml")
    assert convert_settings(msgspec.to_builtins(own), settings, "candidates.one", "lifeloop.toml") == own
