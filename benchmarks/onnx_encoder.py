"""An encoder served by PyTorch beside the same as an ONNX graph in int8: accuracy on CLINC150, and time a text alone.

python benchmarks/onnx_encoder.py [TEXTS] [FOLDER]     (test texts for accuracy, 0 for all; FOLDER is what
                                                        encoder_finetune.py kept, else the head alone is fitted here)

Both are asked one text at a time, turn by turn, as the gateway would ask them.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from encoder_finetune import DATA, MODEL, OTHER, materials, rows
from lifeloop.core.candidates import Candidate, Request
from lifeloop.core.progress import silent
from lifeloop.models import encoder, onnx_encoder
from lifeloop.training.encoder_head import TRAINER as HEAD
from lifeloop.training.onnx_export import TRAINER as ONNX
from lifeloop.training.record import load_record

TIMED = 300


def main() -> None:
    """Print both figures and their ratio."""
    if not DATA.exists():
        print("skipped: CLINC150 is not at shared/data")
        return
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with tempfile.TemporaryDirectory() as folder:
        settings = encoder.Settings(model=MODEL, max_tokens=64)
        parent = Path(sys.argv[2]) / "child" if len(sys.argv) > 2 else Path(folder) / "parent"
        if not parent.exists():
            parent.mkdir()
            HEAD.build(materials(settings, 1.0), parent, silent)
        run(n, parent, msgspec.to_builtins(settings), Path(folder))


def run(n: int, parent: Path, settings: dict[str, Any], folder: Path) -> None:
    """Export the parent, and ask both the same texts."""
    begun = time.monotonic()
    given = materials(ONNX.settings(), 1.0, parent=parent, parent_settings=settings, parent_kind="encoder")
    made = ONNX.build(given, folder, silent)
    took = time.monotonic() - begun
    candidate = Candidate("encoder", "encoder", "classify", given.labels, settings)
    exported = msgspec.structs.replace(candidate, kind=made.kind, settings=settings | made.settings)
    models = {
        "PyTorch": encoder.KIND.load(candidate, parent, ()),
        "ONNX int8": onnx_encoder.KIND.load(exported, folder, ()),
    }
    test = rows("test")[: n or None]
    requests = [Request(row.input) for row in test]
    inside = [place for place, row in enumerate(test) if row.reference != OTHER]
    # Before they are asked in bulk: PyTorch's keeps the vectors of its latest call.
    milliseconds = timed(models, requests[:TIMED])
    answers = {name: [answer.output for answer in model.answer(requests)] for name, model in models.items()}
    print(f"exported and compared on {len(given.validation)} validation texts in {took:.0f} s")
    print("served by     in-scope accuracy   ms a text alone (p50)")
    for name in models:
        right = 100 * sum(answers[name][place] == test[place].reference for place in inside) / len(inside)
        print(f"{name:<13} {right:17.2f}   {milliseconds[name]:21.2f}")
    same = sum(one == other for one, other in zip(*answers.values(), strict=True))
    print(f"same answers: {100 * same / len(test):.2f}% of {len(test)}")
    print(f"ONNX int8 is {milliseconds['PyTorch'] / milliseconds['ONNX int8']:.1f} times as fast")
    record = load_record(folder)
    for check in record.checks if record is not None else ():
        print(f"  {check.name}: parent {check.parent:.4f}, child {check.child:.4f} ({check.note})")


def timed(models: dict[str, Any], requests: list[Request]) -> dict[str, float]:
    """Return the median milliseconds of a text alone, the models asked turn by turn so that noise meets both."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for request in requests:
        for name, model in models.items():
            begun = time.perf_counter()
            model.answer([request])
            seconds[name].append(time.perf_counter() - begun)
    return {name: 1000 * median(taken) for name, taken in seconds.items()}


if __name__ == "__main__":
    main()
