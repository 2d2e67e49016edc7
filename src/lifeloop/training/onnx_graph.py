"""From a sentence encoder of PyTorch to a graph that onnxruntime serves, in float32 or int8.

Takes an encoder, writes files. Knows nothing of heads and labels, nor whether what it wrote is still good enough:
whoever asks for int8 tries the ways in turn.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifeloop.core.errors import ModelError
from lifeloop.models.onnx_encoder import INPUT, OUTPUT

if TYPE_CHECKING:
    from lifeloop.models.transformers_encoder import SentenceEncoder

OPSET = 18
BLOCK = 64
"""Weights that share one scale in the more careful of the ways; divides the widths of usual encoders."""


def export_graph(encoder: "SentenceEncoder", path: Path) -> None:
    """Write the graph from the token ids of one text (1, n) to its unit vector (1, width), in float32.

    The encoder's attention is changed to the plain implementation, which exports to plain operators: it is the
    caller's alone. Raises ModelError where torch cannot export it.
    """
    import onnx
    import torch

    encoder.body.set_attn_implementation("eager")
    example = torch.tensor([encoder.tokens(["a text of some words"])[0]])
    longest = int(encoder.body.config.max_position_embeddings)
    with quiet():
        try:
            torch.onnx.export(
                _one_text(encoder).cpu(),
                (example,),
                path,
                dynamo=True,
                dynamic_shapes={INPUT: {1: torch.export.Dim("tokens", min=2, max=longest)}},
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # its own kinds, and those of everything it traces
            raise ModelError(
                f"torch cannot export this encoder: {error}", where="candidates", fix="serve it with PyTorch as it is"
            ) from error
    graph = onnx.load(path)
    _strip(graph)
    onnx.save(graph, path)


def _one_text(encoder: "SentenceEncoder") -> Any:
    import torch
    import torch.nn.functional as F

    class OneText(torch.nn.Module):
        """Mean of the token states, scaled to unit length; without padding there is nothing to mask."""

        def __init__(self) -> None:
            super().__init__()
            self.body = encoder.body

        def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
            states = self.body(input_ids=input_ids, attention_mask=None).last_hidden_state
            return F.normalize(states.mean(1), dim=1)

    return OneText().eval()


def _strip(graph: Any) -> None:
    """Take out where in which source file each operator came from: the same encoder gives the same file anywhere."""
    for part in (graph, graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def by_channel(source: Path, target: Path) -> None:
    """Write the graph with int8 weights, a scale for each output; inputs are scaled as they come, a text at a time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet():
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)


def by_block(source: Path, target: Path) -> None:
    """Write the graph with int8 weights, a scale for each block of them and of each token's input.

    More exact than `by_channel`, for what a few large values upset, and up to twice as slow.
    """
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    rule = DefaultWeightOnlyQuantConfig(block_size=BLOCK, is_symmetric=True, accuracy_level=4, bits=8)
    with quiet():
        quantiser = MatMulNBitsQuantizer(onnx.load(source), algo_config=rule)
        quantiser.process()
        quantiser.model.save_model_to_file(str(target), False)


WAYS: dict[str, Callable[[Path, Path], None]] = {"a scale a channel": by_channel, "a scale a block": by_block}
"""Ways to int8, the quickest to serve first."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' advice to authors of scripts from those who run trainings."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
