"""Opens a language model for OpenVINO: the tokenizer, the network that gives logits, the pipeline that writes.

Takes a GGUF file or a folder that was exported for OpenVINO. A GGUF file is converted anew each time, which takes a few
seconds and a temporary folder; nothing is written beside it. Adapters are not read: merge them first, as `sft` does.
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lifeloop.core.candidates import Message
from lifeloop.core.errors import ModelError
from lifeloop.models import turn_tokens
from lifeloop.models.language_files import GGUF
from lifeloop.models.weights import find_gguf, find_openvino

if TYPE_CHECKING:
    import openvino
    import openvino_genai

NETWORK = "openvino_model.xml"
LONGEST = 8191
"""Tokens of a text at most: OpenVINO's tokenizers cut what is longer without a word."""
BLOCK = 32
"""Tokens of a block of the pipeline's cache, on a CPU."""


class Tokens:
    """A tokenizer with its chat template, as `turn_tokens` wants them."""

    def __init__(self, tokenizer: "openvino_genai.Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._markers = _markers(tokenizer)
        self.end_of_text = int(tokenizer.get_eos_token_id())

    def __call__(self, text: str, *, special: bool = False) -> list[int]:
        """Return the token ids; without `special` a marker such as end-of-turn is but words."""
        if not special:
            for marker in self._markers:
                text = text.replace(marker, f"{marker[0]}\u200b{marker[1:]}")
        return [int(token) for token in self._tokenizer.encode(text, add_special_tokens=False).input_ids.data[0]]

    def template(self, messages: Sequence[Message]) -> str:
        """Return messages in the model's own chat template, up to where its turn begins."""
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return str(self._tokenizer.apply_chat_template(turns, add_generation_prompt=True))

    def without_markers(self, text: str) -> str:
        """Return the text with a zero-width space in every marker, so that it is but words wherever it is put."""
        for marker in self._markers:
            text = text.replace(marker, f"{marker[0]}\u200b{marker[1:]}")
        return text

    def end_of_turn(self) -> list[int]:
        """Return the token that ends the model's turn, or nothing where the template has none."""
        return turn_tokens.end_of_turn(self, self.template)

    def text(self, tokens: Sequence[int]) -> str:
        """Return what tokens say, markers left out."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True)) if tokens else ""


def _markers(tokenizer: "openvino_genai.Tokenizer") -> list[str]:
    """Return the texts of tokens that are no words: those that vanish where special tokens are left out."""
    ids = sorted(tokenizer.get_vocab().values())
    shown = tokenizer.decode([[token] for token in ids], skip_special_tokens=False)
    left = tokenizer.decode([[token] for token in ids], skip_special_tokens=True)
    return sorted((text for text, rest in zip(shown, left, strict=True) if text and not rest), key=len, reverse=True)


def find_weights(model: str, folder: Path | None, where: str) -> Path:
    """Return a GGUF file or an exported folder: what training made, or what the setting names. Raises ModelError."""
    if folder is not None and (folder / NETWORK).exists():
        return folder
    if folder is not None and (folder / GGUF).exists():
        return folder / GGUF
    return find_openvino(model, where) or find_gguf(model, where)


def open_network(
    weights: Path, threads: int, where: str, *, fast: bool = False
) -> tuple["openvino.CompiledModel", Tokens]:
    """Return the network, which gives the logits of the last position alone, and its tokens. Raises ModelError."""
    require(where)
    import openvino
    import openvino_genai

    with tempfile.TemporaryDirectory(prefix="lifeloop-openvino-") as place:
        try:
            folder = _converted(weights, Path(place), threads, where)
            tokenizer = openvino_genai.Tokenizer(folder)
            core = openvino.Core()
            network = core.read_model(folder / NETWORK)
            _keep_last_position(network)
            compiled = core.compile_model(network, "CPU", _properties(threads, fast))
        except RuntimeError as error:
            raise _unreadable(weights, where) from error
        return compiled, Tokens(tokenizer)


def open_pipeline(
    weights: Path, threads: int, where: str, *, context: int, slots: int, fast: bool = False
) -> tuple["openvino_genai.ContinuousBatchingPipeline", Tokens]:
    """Return what writes texts, for `slots` requests of `context` tokens at once, and its tokens. Raises ModelError."""
    require(where)
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = slots * (-(-context // BLOCK) + 1)
    scheduler.max_num_seqs = slots
    scheduler.enable_prefix_caching = slots > 1  # a warm cache changes what is batched, and so the last digits
    try:
        pipeline = openvino_genai.ContinuousBatchingPipeline(weights, scheduler, "CPU", _properties(threads, fast))
    except RuntimeError as error:
        raise _unreadable(weights, where) from error
    return pipeline, Tokens(pipeline.get_tokenizer())


def _properties(threads: int, fast: bool) -> dict[str, object]:
    """Return how OpenVINO computes. By itself it rounds activations and cache to eight bits, in groups of neighbours,
    so that a confidence depends on what else is read (by 0.1 at worst); `fast` leaves it to that.
    """
    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    shared = {"INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False}  # other processes use the cores too
    return shared | ({} if fast else exact)


def require(where: str) -> None:
    """Raise ModelError where openvino-genai is missing."""
    try:
        import openvino  # noqa: F401
        import openvino_genai  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{error.name} is not installed", where=where, fix="pip install 'lifeloop[openvino]'"
        ) from None


def _converted(weights: Path, place: Path, threads: int, where: str) -> Path:
    """Return a folder with the network; a GGUF file's is made in `place`."""
    import openvino_genai

    if weights.is_dir():
        return weights
    linked = place / "model.gguf"
    try:
        linked.symlink_to(weights.resolve())
    except OSError:
        shutil.copyfile(weights, linked)
    openvino_genai.LLMPipeline(linked, "CPU", enable_save_ov_model=True, **_properties(threads, fast=False))
    if not (place / NETWORK).exists():
        raise ModelError(f"OpenVINO cannot convert {weights.name}", where=where, fix="export it with optimum-intel")
    return place


def _keep_last_position(network: "openvino.Model") -> None:
    """Cut what goes into the last product to its last position: of a prompt only the next token is asked for."""
    from openvino import opset13 as ops

    node = network.output("logits").get_node()
    while node.get_type_name() != "MatMul":
        node = node.input_value(0).get_node()
    bounds = [np.array([number], dtype=np.int64) for number in (-1, np.iinfo(np.int64).max, 1, 1)]
    last = ops.slice(node.input_value(0), *bounds)
    node.input(0).replace_source_output(last.output(0))
    network.validate_nodes_and_infer_types()


def _unreadable(weights: Path, where: str) -> ModelError:
    fix = (
        'OpenVINO reads Llama, Qwen2 and Qwen3 from GGUF; others: kind = "llamacpp", or a folder exported for OpenVINO'
    )
    return ModelError(f"OpenVINO cannot load {weights.name}", where=where, fix=fix)
