"""Turns a candidate's encoder into an ONNX graph that serves without torch, in int8 where that answers the same.

Takes a parent of kind "encoder", frozen or tuned; gives a candidate of kind "onnx-encoder" under the same head. What
"the same" means is counted on validation, and stands in the record.
"""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from lifeloop.core.bounds import Count, UpToOne
from lifeloop.core.errors import ModelError
from lifeloop.core.progress import Progress
from lifeloop.core.training_record import Check, TrainingRecord
from lifeloop.models import linear
from lifeloop.models.onnx_encoder import GRAPH, TOKENISER, OnnxVectors
from lifeloop.training.encoder_score import measured
from lifeloop.training.finetune import encoder_of_parent, save_calibrated_head
from lifeloop.training.onnx_graph import WAYS, export_graph
from lifeloop.training.record import save_record
from lifeloop.training.trainer import Decided, Materials

if TYPE_CHECKING:
    from lifeloop.models.transformers_encoder import SentenceEncoder

COMPARED = 2000
"""Training texts that answers are compared on where there is no validation."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Into which numbers, and how like the parent it must stay."""

    precision: Literal["int8", "float32"] = "int8"
    agreement: UpToOne = 0.99
    """Share of the validation examples that must be answered as the parent answers them."""
    threads: Count = 1
    """That one text is computed by when it is served; many texts at once go in parallel anyway."""


class Tried(Struct, frozen=True):
    """A graph that was written, and how it answers."""

    way: str
    logits: NDArray[np.float32]
    """(n, n_labels) of the texts that are compared."""
    agreement: float
    """Share of them that are answered as by the parent."""


class OnnxTrainer:
    """Adaptation "onnx", of candidates of kind "encoder"."""

    settings = Settings
    parents = ("encoder",)
    makes = "onnx-encoder"
    version = "1"

    def build(self, materials: Materials, folder: Path, progress: Progress) -> Decided:
        """Write the graph, its tokeniser, the head and the record.

        Raises ModelError where no way to int8 answers enough examples as the parent does, and says how many differ.
        """
        _check_installed()
        max_tokens = (materials.parent_settings or {}).get("max_tokens", 256)
        encoder = encoder_of_parent(materials, max_tokens)
        assert materials.parent is not None
        weights, bias = linear.load_head(materials.parent)
        texts = [example.input for example in materials.validation or materials.train[:COMPARED]]
        progress(0, 3, "asking the parent")
        expected = encoder.encode(texts) @ weights.T + bias
        encoder.tokeniser.save_pretrained(folder)
        for extra in folder.iterdir():
            if extra.name != TOKENISER:
                extra.unlink()
        progress(1, 3, "exporting")
        with tempfile.TemporaryDirectory(prefix="lifeloop-") as workplace:
            plain = Path(workplace) / GRAPH
            export_graph(encoder, plain)
            progress(2, 3, "comparing answers")
            found = _first_alike(materials, (weights, bias), plain, folder, encoder, texts, expected)
        logits = found.logits if materials.validation else found.logits[:0]
        save_calibrated_head(folder, weights, bias, logits, materials)
        save_record(folder, _record(materials, found, expected))
        score = measured(materials, logits).score if len(logits) else None
        settings: Settings = materials.settings
        served = {"precision": settings.precision, "threads": settings.threads, "max_tokens": encoder.max_tokens}
        return Decided(settings=served, kind="onnx-encoder", score=score)


def _check_installed() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime", "tokenizers"):
        try:
            __import__(name)
        except ModuleNotFoundError:
            fix = "pip install 'lifeloop[onnx]'"
            raise ModelError(f"{name} is not installed", where="candidates.adapt", fix=fix) from None


def _first_alike(
    materials: Materials,
    head: tuple[NDArray[np.float32], NDArray[np.float32]],
    plain: Path,
    folder: Path,
    encoder: "SentenceEncoder",
    texts: list[str],
    expected: NDArray[np.float32],
) -> Tried:
    """Return the first graph that answers as the parent does; it lies in the candidate's folder."""
    settings: Settings = materials.settings
    weights, bias = head
    ways = WAYS if settings.precision == "int8" else {"as it was": shutil.copyfile}
    tried = []
    for way, write in ways.items():
        write(plain, folder / GRAPH)
        vectors = OnnxVectors(folder / GRAPH, folder / TOKENISER, encoder.max_tokens, settings.threads, "candidates")
        logits = vectors.encode(texts) @ weights.T + bias
        agreement = float(np.mean(logits.argmax(1) == expected.argmax(1)))
        tried.append(Tried(way, logits, agreement))
        if agreement >= settings.agreement:
            return tried[-1]
    best = max(tried, key=lambda each: each.agreement)
    differ = round((1 - best.agreement) * len(texts))
    raise ModelError(
        f"in {settings.precision} it answers {differ} of {len(texts)} examples otherwise than its parent "
        f"({best.way}), more than agreement = {settings.agreement} allows",
        where="candidates.agreement",
        fix='write precision = "float32", or lower `agreement` if its score on validation is still good enough',
    )


def _record(materials: Materials, found: Tried, expected: NDArray[np.float32]) -> TrainingRecord:
    settings: Settings = materials.settings
    checks = [
        Check(
            name="the same answers as its parent",
            parent=1.0,
            child=found.agreement,
            limit=1.0 - settings.agreement,
            broken=False,
            n=len(expected),
            note=f"{settings.precision}, {found.way}",
        )
    ]
    if materials.validation:
        parent, child = (measured(materials, logits).score for logits in (expected, found.logits))
        limit = 1.0 - settings.agreement
        name = materials.metric or "accuracy"
        checks.append(Check(f"{name} on validation", parent, child, limit, parent - child > limit, len(expected)))
    return TrainingRecord(
        method=f"onnx ({settings.precision})",
        seed=materials.seed,
        n_examples=0,
        settings=msgspec.to_builtins(settings),
        checks=tuple(checks),
    )


TRAINER = OnnxTrainer()
